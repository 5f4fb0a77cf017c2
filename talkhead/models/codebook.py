"""Synergizing Motion and Appearance: Multi-Scale Compensatory Codebooks (CVPR 2025)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.config import CodebookConfig
from talkhead.models.autoencoder import Decoder, Encoder, shadow
from talkhead.models.blending import BLEND_START, Blended, blend
from talkhead.models.compensation import AppearanceCompensator, MotionCompensator
from talkhead.models.grid import (
    displacement,
    from_flow,
    pixel_flow,
    resize,
    resize_grid,
    shrink,
    to_flow,
    warp,
)
from talkhead.models.mesh import MAPS, MeshKeypoints, face_maps, refine, unknown_mesh
from talkhead.models.motion import DenseMotionEstimator, KeypointDetector
from talkhead.models.mouth import MouthPainter
from talkhead.models.tracking import ROUNDS, follow_flow
from talkhead.structs import (
    NOWHERE,
    DenseMotion,
    Keypoints,
    Quantized,
    RenderParts,
    ScaleStep,
    SourceState,
    TrainOutputs,
    is_known,
)
from talkhead.topology import HEAD_GROUPS, MESH_POINTS


class CodebookModel(nn.Module):
    """Images in and out are RGB in [0, 1]; inside, the release's [-1, 1]."""

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self.keypoint_detector = KeypointDetector(config.keypoints, config.image_size)
        self.dense_motion = DenseMotionEstimator(
            config.dense_motion,
            config.keypoints.num_keypoints,
            config.image_size,
            mesh=config.mesh is not None and config.mesh.motion,
        )
        self.encoder = Encoder(config.channels, config.norm_groups)
        self.motion = MotionCompensator(config) if config.motion_codebook.scales else None
        self.appearance = (
            AppearanceCompensator(config) if config.appearance_codebook.scales else None
        )
        self.decoder = Decoder(
            config.channels,
            config.norm_groups,
            out_channels=3 + config.blend_source * (1 + 3 * config.shade_source),
            num_maps=MAPS if config.mesh is not None and config.mesh.maps else 0,
        )
        self.mouth = MouthPainter() if config.mesh is not None and config.mesh.mouth else None
        self._refines = config.mesh is not None and config.mesh.refine
        if config.mesh is not None and config.mesh.keypoints:
            self.register_buffer("mean_face", torch.zeros(MESH_POINTS, 2))
        if config.blend_source:
            assert self.decoder.out.bias is not None
            nn.init.constant_(self.decoder.out.bias[3:4], BLEND_START)
            for shade in (self.decoder.out.weight[4:], self.decoder.out.bias[4:]):
                nn.init.zeros_(shade)

    mean_face: Tensor

    def detect(self, images: Tensor, mesh: Tensor | None = None) -> Keypoints:
        """Keypoints of images (B, 3, H, W) in [0, 1], and of their meshes where they are known."""
        return self.read_mesh(self.keypoint_detector(self._enter(images)), mesh)

    def track(
        self, found: Keypoints, reference: Keypoints, small: Tensor, places: Tensor, trust: Tensor
    ) -> Keypoints:
        """Keypoints of which some follow the flow from a reference picture, see `tracking`.

        small: that picture, as `SourceState` has it. Masks are held, so no gradient passes them.
        """
        which = list(self.config.keypoints.tracked)
        for _ in range(ROUNDS):
            seen = with_common_mesh(reference, found)
            with torch.no_grad():
                dense = self.dense_motion(small, reference, seen)
            mask, deformation = dense.mask, dense.deformation
            if torch.is_grad_enabled():  # the same once more, of motions that can be learned
                motions = self.dense_motion.candidates(reference, seen, mask.shape[-2:])
                deformation = (mask[..., None] * motions).sum(1)
            found = follow_flow(found, reference, mask, deformation, places, trust, which)
        return found

    def see_small(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] as dense motion sees sources, (B, 3, h, w)."""
        return self.dense_motion.down(self._enter(images))

    def read_mesh(self, found: Keypoints, mesh: Tensor | None) -> Keypoints:
        """Keypoints (of a detector, say), the first of them replaced by those of their meshes.

        Where there is no mesh, or it is not known, they stay as they were found.
        """
        if self.config.mesh is None or mesh is None:
            return found
        if not self.config.mesh.keypoints:
            return replace(found, mesh=mesh)
        exact, count = MeshKeypoints.of(self.mean_face.float())(mesh.float()), len(HEAD_GROUPS)
        assert found.jacobian is not None
        assert exact.jacobian is not None
        sure = is_known(mesh)[:, None, None]
        value = torch.where(sure, exact.value, found.value[:, :count])
        jacobian = torch.where(sure[..., None], exact.jacobian, found.jacobian[:, :count])
        return Keypoints(
            torch.cat([value, found.value[:, count:]], dim=1),
            torch.cat([jacobian, found.jacobian[:, count:]], dim=1),
            mesh,
        )

    def _follow_mesh(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        """Driving keypoints as their meshes say, where the source has one, too."""
        driving = with_common_mesh(source, driving)
        return self.read_mesh(driving, driving.mesh)

    def encode_source(self, image: Tensor, mesh: Tensor | None = None) -> SourceState:
        """All that depends on the source (B, 3, H, W) alone."""
        image = self._enter(image)
        return SourceState(
            keypoints=self.read_mesh(self.keypoint_detector(image), mesh),
            image=image,
            small=self.dense_motion.down(image),
            features=self.encoder(self._working(image)),
        )

    def render(self, state: SourceState, driving: Keypoints) -> Tensor:
        """The source moved to the driving keypoints: (B, 3, H, W) in [0, 1]."""
        state, driving, steps = self._move(state, driving)
        image, _, _ = self._picture(state, steps, driving)
        return self._leave(image).clamp(0, 1)

    def render_parts(self, state: SourceState, driving: Keypoints) -> RenderParts:
        """The same, with where it came from."""
        state, driving, steps = self._move(state, driving)
        size = (self.config.image_size,) * 2
        image, kept, painted = self._picture(state, steps, driving)
        return RenderParts(
            self._leave(image).clamp(0, 1),
            pixel_flow(resize_grid(self._shown(steps), size)),
            (kept * (1 - painted)).float(),
            resize(steps[-1].occlusion, size).float() * (1 - painted),
        )

    def _picture(
        self, state: SourceState, steps: tuple[ScaleStep, ...], driving: Keypoints
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The image with its mouth painted, and the shares (B, 1, H, W) of source and of paint."""
        drawn = self._draw(state, steps, self._maps(driving))
        if self.mouth is None:
            return drawn.image, drawn.kept, torch.zeros_like(drawn.kept)
        image, painted = self.mouth.paint(drawn, state, self._shown(steps), driving)
        return image, drawn.kept, painted

    def reconstruct(
        self,
        source: Tensor,
        driving: Tensor,
        *,
        coarse: bool = True,
        detail: float = 1.0,
        meshes: tuple[Tensor | None, Tensor | None] = (None, None),
        flow: tuple[Tensor, Tensor] | None = None,
    ) -> TrainOutputs:
        """A training step's forward pass on images in [0, 1] of one person, (B, 3, H, W) each.

        `coarse` also decodes the auxiliary image from the coarsest feature alone. detail: how far
        `detail_skips` apply. meshes: of source and driving image, where they are known. flow:
        places and trust, as `track` takes them. The painter of mouths, taught alone, takes no part.
        """
        state = self.encode_source(source, meshes[0])
        keypoints = self.detect(driving, meshes[1])
        if flow is not None:
            keypoints = self.track(keypoints, state.keypoints, state.small, *flow)
        dense = self.dense_motion(state.small, state.keypoints, keypoints)
        maps = self._maps(keypoints)
        steps = self.compensate(state, dense, keypoints)
        motion = steps[-1].motion
        drawn = self._draw(state, steps, maps, detail)
        return TrainOutputs(
            image=self._leave(drawn.image),
            coarse_image=self._leave(self._decode_coarse(steps, maps)) if coarse else None,
            warped_source=self._leave(warp(state.image, motion)),
            source=state.keypoints,
            driving=keypoints,
            dense=dense,
            motion=motion,
            losses=self._motion_losses(dense, steps) | self._appearance_losses(driving),
            own_image=self._leave(drawn.own) if self.config.blend_source else None,
        )

    def training_arguments(self, progress: float, coarse: bool) -> dict[str, Any]:
        """What `reconstruct` is told by the step: whether the coarse image is wanted."""
        return {"coarse": coarse}

    @torch.no_grad()
    def adopt_face(self, mean: Tensor) -> None:
        """Take a mean face (478, 2), and prefer the motion of meshes where they are, in place."""
        self.mean_face.copy_(mean)
        if self.dense_motion.mesh:
            assert self.dense_motion.mask.bias is not None
            self.dense_motion.mask.bias[-1] = 0

    def shallow_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the appearance codes are learned from, of driving images (B, 3, H, W) in [0, 1]."""
        return self.encoder.shallow(self._working(self._enter(images)))

    def _move(
        self, state: SourceState, driving: Keypoints
    ) -> tuple[SourceState, Keypoints, tuple[ScaleStep, ...]]:
        """The state, repeated for every driving frame, keypoints with meshes, all scales moved."""
        state = state.expand(len(driving)) if len(state.image) != len(driving) else state
        driving = self._follow_mesh(state.keypoints, driving)
        dense = self.dense_motion(state.small, state.keypoints, driving)
        return state, driving, self.compensate(state, dense, driving)

    def compensate(
        self, state: SourceState, dense: DenseMotion, driving: Keypoints
    ) -> tuple[ScaleStep, ...]:
        """Refine motion, then appearance, at every scale from coarse to fine."""
        motion, occlusion = dense.deformation, dense.occlusion[0]
        keypoint_query = None
        if self.motion is not None:
            keypoint_query = self.motion.encode_keypoints(dense.heatmap.to(state.small.dtype))
        steps = []
        for scale, feature in enumerate(state.features):
            residual = embedding = eyes = None
            if keypoint_query is not None and scale in self.config.motion_codebook.scales:
                assert self.motion is not None
                flow = to_flow(motion).to(feature.dtype)
                pixels, logits, embedding = self.motion(
                    flow, feature, motion, keypoint_query, scale
                )
                residual = from_flow(pixels.float())
                motion = motion + residual
                # parity: the previous occlusion enters as a probability, not as a logit.
                occlusion = torch.sigmoid(occlusion + logits.float())
            if self._refines and scale == len(state.features) - 1:
                motion, eyes = refine(motion, state.keypoints, driving, feature.shape[-1])
            size = (feature.shape[-2], feature.shape[-1])
            warped = warp(feature, motion) * resize(occlusion, size).to(feature.dtype)
            compensated = warped
            if self.appearance is not None and scale in self.config.appearance_codebook.scales:
                compensated = self.appearance(warped, motion, scale)
            steps.append(
                ScaleStep(motion, residual, embedding, occlusion, warped, compensated, eyes)
            )
        return tuple(steps)

    def _maps(self, driving: Keypoints) -> tuple[Tensor, ...]:
        """What the decoder is told of the driving face, at every scale; nothing if it asks not."""
        if self.config.mesh is None or not self.config.mesh.maps:
            return ()
        mesh = unknown_mesh(driving) if driving.mesh is None else driving.mesh
        maps = [face_maps(mesh, self.config.scale_sizes[-1])]
        for _ in self.config.channels[1:]:
            maps.insert(0, F.avg_pool2d(maps[0], 2))
        return tuple(each.to(self.encoder.stem.weight.dtype) for each in maps)

    def _draw(
        self,
        state: SourceState,
        steps: tuple[ScaleStep, ...],
        maps: tuple[Tensor, ...],
        detail: float = 1.0,
    ) -> Blended:
        """The decoder's picture, mixed with the source that is shown."""
        coarse, *finer = (step.compensated for step in steps)
        if self.config.detail_skips:
            finer = [feature - detail * shadow(feature) for feature in finer]
        decoded = resize(self.decoder(coarse, finer, maps), (self.config.image_size,) * 2)
        if not self.config.blend_source:
            return Blended(decoded, decoded, None, torch.zeros_like(decoded[:, :1]))
        warped = warp(state.image, self._shown(steps))
        return blend(decoded, warped, steps[-1].eyes, state.sharpness)

    def _shown(self, steps: tuple[ScaleStep, ...]) -> Tensor:
        """The final deformation; of a source that is shown the rim goes on, not grey."""
        motion = steps[-1].motion
        return motion.clamp(-1, 1) if self.config.blend_source else motion

    def _decode_coarse(self, steps: tuple[ScaleStep, ...], maps: tuple[Tensor, ...]) -> Tensor:
        nothing = [None] * (len(steps) - 1)
        coarse = self.decoder(steps[0].compensated, nothing, maps)[:, :3]
        return resize(coarse, (self.config.image_size,) * 2)

    def quantize_motion(self, steps: tuple[ScaleStep, ...]) -> dict[int, Quantized]:
        """The flow that entered each compensated scale as its nearest codes, by scale."""
        if self.motion is None:
            return {}
        codebook = self.motion.codebook
        return {
            scale: codebook.quantize(step.embedding, scale)
            for scale, step in enumerate(steps)
            if step.embedding is not None
        }

    def decode_motion(self, quantized: Quantized) -> Tensor:
        """The displacement (B, h, w, 2) in grid units that motion codes stand for."""
        assert self.motion is not None
        return from_flow(self.motion.decode_flow(quantized.vectors).float())

    def quantize_appearance(self, images: Tensor) -> dict[int, Quantized]:
        """The patches of images (B, 3, H, W) in [0, 1] as their nearest codes, by scale."""
        if self.appearance is None:
            return {}
        features = self.shallow_features(images)
        codebook = self.appearance.codebook
        return {
            scale: codebook.quantize(self.appearance.embed(features[scale], scale), scale)
            for scale in self.config.appearance_codebook.scales
        }

    def _motion_losses(self, dense: DenseMotion, steps: tuple[ScaleStep, ...]) -> dict[str, Tensor]:
        """Code losses and the reconstruction of each step's incoming flow from its codes."""
        if self.motion is None:
            return {}
        incoming = [dense.deformation, *(step.motion for step in steps)]
        code = reconstruction = dense.deformation.new_zeros(())
        for scale, quantized in self.quantize_motion(steps).items():
            code = code + quantized.loss
            target = displacement(incoming[scale]).detach()
            reconstruction = reconstruction + (self.decode_motion(quantized) - target).abs().mean()
        return {"motion_code": code, "motion_reconstruction": reconstruction}

    def _appearance_losses(self, driving: Tensor) -> dict[str, Tensor]:
        """Code losses of the driving image's patches."""
        if self.appearance is None:
            return {}
        losses = [quantized.loss for quantized in self.quantize_appearance(driving).values()]
        return {"appearance_code": sum(losses[1:], losses[0])}

    def _working(self, images: Tensor) -> Tensor:
        """Entered images at the size of the finest features."""
        return shrink(images, self.config.scale_sizes[-1])

    def _enter(self, images: Tensor) -> Tensor:
        return (images * 2 - 1).to(self.encoder.stem.weight.dtype)

    @staticmethod
    def _leave(images: Tensor) -> Tensor:
        return images.float() * 0.5 + 0.5


def with_common_mesh(source: Keypoints, driving: Keypoints) -> Keypoints:
    """Driving keypoints with their meshes where the source's are known, too."""
    if driving.mesh is None or source.mesh is None:
        return replace(driving, mesh=None)
    seen = is_known(source.mesh)[:, None, None]
    return replace(driving, mesh=torch.where(seen, driving.mesh, NOWHERE))
