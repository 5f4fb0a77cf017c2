"""The interface of all model families."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from talkhead.structs import Keypoints, RenderParts, SourceState, TrainOutputs


class Model(Protocol):
    """What drawing and training need of a model. Images are RGB in [0, 1], (B, 3, H, W)."""

    def detect(self, images: Tensor) -> Keypoints:
        """Where the faces' parts are."""
        ...

    def encode_source(self, image: Tensor) -> SourceState:
        """All that does not depend on the driver."""
        ...

    def render(self, state: SourceState, driving: Keypoints) -> Tensor:
        """Images of the source, moved to the driving keypoints; inference only."""
        ...

    def render_parts(self, state: SourceState, driving: Keypoints) -> RenderParts:
        """The same images with what drawing at another size needs; see `detail`."""
        ...

    def training_arguments(self, progress: float, coarse: bool) -> dict[str, Any]:
        """Keyword arguments of `reconstruct` when the share `progress` of a run is done.

        coarse: the auxiliary image of the coarsest features is wanted, where there is one.
        """
        ...

    def reconstruct(self, source: Tensor, driving: Tensor) -> TrainOutputs:
        """A training step's forward pass: draw the driving image from the source."""
        ...
