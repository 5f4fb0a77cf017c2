"""One training step: forward, loss, backward, update; generator first, then discriminator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch._functorch.config as functorch_config
from torch import Tensor, nn

from talkhead.config import is_tracked, uses_mesh
from talkhead.errors import TalkheadError, is_out_of_memory, shown
from talkhead.models import Network
from talkhead.structs import NOWHERE, TrainOutputs
from talkhead.training.compute import Compute
from talkhead.training.data.batches import Batch
from talkhead.training.distributed import ProcessGroup, share_batch_norm
from talkhead.training.loop.partial_models import partial_model
from talkhead.training.losses.adversarial import AdversarialLoss, GeneratedBatch
from talkhead.training.losses.objective import Objective, total
from talkhead.training.optimizer import (
    Average,
    clip_gradients,
    gradient_norm,
    make_optimizer,
    rate_factor,
    set_rates,
)
from talkhead.training.phases.codebooks import codes, revive_codes
from talkhead.training.recipes.recipe import Recipe

log = logging.getLogger(__name__)

REVIVAL_STEPS = 20  # between two looks for codes that fell out of use
MAX_SKIPPED = 50  # steps in a row without a finite gradient before giving up

Reconstruct = Callable[..., TrainOutputs]


class Diverged(TalkheadError):
    """Nothing finite has come out for long; what was saved before is worth more than this."""


class Trainer:
    """A model being trained, with all that belongs to it."""

    def __init__(
        self,
        model: Network,
        recipe: Recipe,
        objective: Objective,
        compute: Compute,
        processes: ProcessGroup,
        seed: int,
    ) -> None:
        self.recipe, self.objective, self.seed = recipe, objective, seed
        self.compute, self.processes = compute, processes
        model = model.to(compute.device).train()
        if not recipe.keypoint_rate:
            model.keypoint_detector.requires_grad_(False)
        for name, parameter in model.named_parameters():
            if recipe.learned and not name.startswith(recipe.learned):
                parameter.requires_grad_(False)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and not learns(module):
                module.eval()
        for parameter in model.parameters():  # convolutions run faster so; a few have five axes
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        share_batch_norm(model, processes)
        self.model = model
        self.average = Average(model, recipe.ema, recipe.ema_excludes)
        self.optimizer = make_optimizer(model, recipe)
        half = compute.precision is torch.float16
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=half)
        self.adversarial: AdversarialLoss | None = None
        if recipe.adversarial:
            self.adversarial = AdversarialLoss(
                recipe.adversarial, recipe, model.config, compute.device, processes
            )
        self.skipped = 0
        self._skipped_in_a_row = 0
        stage = partial_model(model, recipe)
        self._whole = stage is model
        self._reconstruct: Reconstruct = stage.reconstruct
        if compute.compile:
            if self.adversarial is not None and self.adversarial.how.kind == "hinge":
                # It goes backward through parts of a step twice.
                functorch_config.donated_buffer = False
            self._reconstruct = torch.compile(stage.reconstruct)

    def train_step(self, batch: Batch, step: int, progress: float) -> dict[str, Tensor]:
        """Learn one batch (this process's part of it); the weighted terms by name.

        `progress` is the share of the run that is done before this step. Raises Diverged when
        nothing finite comes out for many steps.
        """
        # Every step has its own random numbers, so a resumed run needs no random state.
        torch.manual_seed(((self.seed * 1_000_003 + step) * 1009 + self.processes.rank) % 2**63)
        factor = rate_factor(self.recipe, step, progress)
        set_rates(self.optimizer, factor)
        self.optimizer.zero_grad(set_to_none=True)
        terms, drawn = self._backward(batch, step, progress)
        if self._update(terms):
            if self.recipe.revive_codes and step % REVIVAL_STEPS == 0:
                revive_codes(self.model, batch, self.recipe.revive_codes)
                self.processes.copy_from_main(codes(self.model))
            self.average.update(step)
            if drawn and self.adversarial:
                autocast = self.compute.autocast()
                terms["discriminator"] = self.adversarial.train_step(drawn, factor, autocast)
        return terms

    @contextmanager
    def explain_memory(self) -> Iterator[None]:
        """Around all that handles batches: memory that runs out becomes a TalkheadError."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one of the latter
            if not is_out_of_memory(error):
                raise
            raise TalkheadError(
                f"a batch of {self.recipe.batch_size} does not fit into the memory of "
                f"{self.compute.device}; use a smaller --batch-size, --bf16, or --accumulate "
                f"{2 * self.compute.parts} (the same batch in smaller pieces)"
            ) from error

    def _backward(
        self, batch: Batch, step: int, progress: float
    ) -> tuple[dict[str, Tensor], list[GeneratedBatch]]:
        """Compute gradients of the whole batch, piece by piece.

        Returns mean terms, and the images for the adversary when it plays.
        """
        adversarial = (
            self.adversarial if self.adversarial and self.adversarial.plays(step) else None
        )
        pieces = split(batch, self.compute.parts)
        sums: dict[str, Tensor] = {}
        drawn: list[GeneratedBatch] = []
        for piece in pieces:
            share = len(piece) / len(batch)
            with self.compute.autocast():
                outputs = self._forward(piece, progress)
                terms = self.objective(self.model, piece, outputs, progress)
                if adversarial:
                    terms |= adversarial.terms(self.model, outputs, piece.driving, terms)
                    image, points = outputs.image.detach(), outputs.driving.value.detach()
                    drawn.append(GeneratedBatch(image, piece.driving, points, share))
            self.scaler.scale(total(terms) * share).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0) + value.detach() * share
        return sums, drawn

    def _forward(self, batch: Batch, progress: float) -> TrainOutputs:
        coarse = self.recipe.weights.coarse > 0
        how = self.model.training_arguments(progress, coarse) if self._whole else {}
        if self.recipe.detail_ramp and self._whole:
            how["detail"] = min(1.0, progress / self.recipe.detail_ramp)
        if meshes := self._meshes(batch):
            how["meshes"] = meshes
        if flow := self._flow(batch):
            how["flow"] = flow
        return self._reconstruct(batch.source, batch.driving, **how)

    def _meshes(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """The meshes that a model is shown: some pairs learn to do without."""
        if not uses_mesh(self.model.config):
            return None
        rest = torch.rand(len(batch), 1, 1, device=batch.source.device) < self.recipe.mesh_dropout
        return (
            batch.source_landmarks.masked_fill(rest, NOWHERE),
            batch.driving_landmarks.masked_fill(rest, NOWHERE),
        )

    def _flow(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """The flow that keypoints follow: in some pairs it is not to be trusted."""
        if not is_tracked(self.model.config):
            return None
        assert batch.flow is not None
        assert batch.confidence is not None
        rest = torch.rand(len(batch), 1, 1, device=batch.source.device) < self.recipe.mesh_dropout
        return batch.flow, batch.confidence.masked_fill(rest, 0.0)

    def _update(self, terms: dict[str, Tensor]) -> bool:
        """Step the optimiser unless something is not finite, in any process."""
        self.scaler.unscale_(self.optimizer)
        self.processes.average_gradients(self.model.parameters())
        sound = torch.isfinite(gradient_norm(self.model.parameters()) + total(terms))
        if self.processes.any(not bool(sound), self.compute.device):
            self._skip(terms)
            return False
        self._skipped_in_a_row = 0
        clip_gradients(self.model, self.recipe)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return True

    def _skip(self, terms: dict[str, Tensor]) -> None:
        self.skipped += 1
        self._skipped_in_a_row += 1
        bad = [name for name, value in terms.items() if not torch.isfinite(value)]
        culprit = ", ".join(bad) if bad else "a gradient"
        if not self.scaler.is_enabled():  # under fp16 an overflow only means: scale down
            log.warning("%s is not finite; this step is skipped", culprit)
        else:
            self.scaler.update(self.scaler.get_scale() / 2)
        if self._skipped_in_a_row >= MAX_SKIPPED:
            raise Diverged(
                f"{culprit} has not been finite for {MAX_SKIPPED} steps; go on from "
                "the last checkpoint, if there is one, with a lower recipe.learning_rate or --bf16"
            )


def check_learned(model: Network, recipe: Recipe) -> None:
    """Whether the steps have something to learn; raises TalkheadError for names that mean none."""
    names = [name for name, _ in model.named_parameters()]
    for start in recipe.learned:
        if not any(name.startswith(start) for name in names):
            known = ", ".join(sorted({name.split(".")[0] for name in names}))
            raise TalkheadError(
                f"recipe.learned: no parameter's name begins with {shown(start)}; they begin with "
                f"{known}"
            )
    learned = [name for name in names if name.startswith(recipe.learned or "")]
    frozen = ("mouth.",) if recipe.keypoint_rate else ("mouth.", "keypoint_detector.")
    if all(name.startswith(frozen) for name in learned):
        raise TalkheadError("recipe.learned names nothing that the steps of this run teach")
    hinge = recipe.adversarial is not None and recipe.adversarial.kind == "hinge"
    if hinge and "decoder.out.weight" not in learned:
        raise TalkheadError(
            "a hinge adversary is balanced at the decoder's last layer, so that has to learn: add "
            "decoder.out to recipe.learned, or --set recipe.adversarial=null"
        )


def learns(module: nn.Module) -> bool:
    """Whether any parameter of a module is to be learned."""
    return any(parameter.requires_grad for parameter in module.parameters())


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch in about equal pieces."""
    size = -(-len(batch) // parts)
    return [batch[start : start + size] for start in range(0, len(batch), size)]
