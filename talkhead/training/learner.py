"""One training step: forward, loss, backward, update; generator first, then discriminator."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.models.tpsmm import TpsmmModel
from talkhead.structs import TrainOutputs
from talkhead.training.batches import Batch
from talkhead.training.config import Recipe
from talkhead.training.discriminator import PatchDiscriminator, adaptive_weight, hinge
from talkhead.training.distributed import Team, share_batch_norm
from talkhead.training.objective import IMAGE_TERMS, Objective, total
from talkhead.training.optimizer import (
    Average,
    clip_gradients,
    gradient_norm,
    make_optimizer,
    rate_factor,
    set_rates,
)
from talkhead.training.stages import stage_of

log = logging.getLogger(__name__)

MAX_SKIPPED = 50  # steps in a row without a finite gradient before giving up
# TPSMM's dropout of splines and its background motion, in shares of its 100 epochs (release).
DROPOUT_RISE, DROPOUT_END, BACKGROUND_START, FIRST_DROPOUT = 0.1, 0.35, 0.1, 0.1

Reconstruct = Callable[..., TrainOutputs]


@dataclass(frozen=True)
class Compute:
    """Where and how a step is computed.

    precision: of autocast; float32: none. parts: the batch is learned in so many pieces.
    """

    device: torch.device
    precision: torch.dtype = torch.float32
    compile: bool = False
    parts: int = 1


class Learner:
    """A model being trained, with all that belongs to it."""

    def __init__(
        self,
        model: Network,
        recipe: Recipe,
        objective: Objective,
        compute: Compute,
        team: Team,
        seed: int,
    ) -> None:
        self.recipe, self.objective, self.compute, self.team = recipe, objective, compute, team
        self.seed = seed
        model = model.to(compute.device).train()
        for parameter in model.parameters():  # convolutions run faster so; a few have five axes
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        share_batch_norm(model, team)
        self.model = model
        self.average = Average(model, recipe.ema, recipe.ema_excludes)
        self.optimizer = make_optimizer(model, recipe)
        half = compute.precision is torch.float16
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=half)
        self.discriminator: PatchDiscriminator | None = None
        if recipe.adversarial:
            discriminator = PatchDiscriminator(recipe.adversarial.base_channels)
            self.discriminator = discriminator.to(compute.device)
            share_batch_norm(self.discriminator, team)
            self.discriminator_optimizer = torch.optim.Adam(
                [{"params": self.discriminator.parameters(), "base": recipe.learning_rate}],
                lr=recipe.learning_rate,
                betas=recipe.betas,
            )
        self.skipped = 0
        self._skipped_in_a_row = 0
        stage = stage_of(model, recipe)
        self._whole = stage is model
        self._reconstruct: Reconstruct = stage.reconstruct
        if compute.compile:
            self._reconstruct = torch.compile(stage.reconstruct)

    def learn(self, batch: Batch, step: int, progress: float) -> dict[str, Tensor]:
        """Learn one batch (this process's part of it); the weighted terms by name.

        `progress` is the share of the run that is done before this step. Raises TalkheadError when
        the batch does not fit into memory or nothing finite comes out for many steps.
        """
        # Every step has its own random numbers, so a resumed run needs no random state.
        torch.manual_seed((self.seed * 1_000_003 + step) * 1009 + self.team.rank)
        factor = rate_factor(self.recipe, step, progress)
        set_rates(self.optimizer, factor)
        self.optimizer.zero_grad(set_to_none=True)
        try:
            terms, fakes = self._backward(batch, step, progress)
            if self._update(terms):
                self.average.update(step)
                if fakes:
                    set_rates(self.discriminator_optimizer, factor)
                    terms["discriminator"] = self._discriminate(batch, fakes)
        except torch.OutOfMemoryError as error:
            raise self._too_large() from error
        except RuntimeError as error:
            if "DefaultCPUAllocator" in str(error):
                raise self._too_large() from error
            raise
        return terms

    def _too_large(self) -> TalkheadError:
        size = self.recipe.batch_size
        return TalkheadError(
            f"a batch of {size} does not fit into the memory of {self.compute.device}; use "
            f"--accumulate {2 * self.compute.parts} (same result, less memory), --bf16 or a "
            "smaller --batch-size"
        )

    def _backward(
        self, batch: Batch, step: int, progress: float
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Gradients of the whole batch, piece by piece; mean terms, and the images if wanted."""
        adversarial = self.recipe.adversarial
        against = adversarial is not None and step + 1 >= adversarial.start
        pieces = split(batch, self.compute.parts)
        sums: dict[str, Tensor] = {}
        fakes: list[Tensor] = []
        for piece in pieces:
            share = len(piece) / len(batch)
            with self._autocast():
                outputs = self._forward(piece, progress)
                terms = self.objective(self.model, piece, outputs, progress)
                if against:
                    terms["adversarial"] = self._fool(outputs, terms)
                    fakes.append(outputs.image.detach())
            self.scaler.scale(total(terms) * share).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0) + value.detach() * share
        return sums, fakes

    def _forward(self, batch: Batch, progress: float) -> TrainOutputs:
        if not self._whole:
            return self._reconstruct(batch.source, batch.driving)
        if isinstance(self.model, TpsmmModel):
            rise = min(1.0, progress / DROPOUT_RISE)
            dropout = FIRST_DROPOUT + rise * (self.model.config.dropout - FIRST_DROPOUT)
            dropout = round(dropout * 20) / 20  # in few steps: a compiled model is built for each
            return self._reconstruct(
                batch.source,
                batch.driving,
                background=progress >= BACKGROUND_START,
                dropout=dropout if progress < DROPOUT_END else 0.0,
            )
        if isinstance(self.model, CodebookModel):
            coarse = self.recipe.weights.coarse > 0
            return self._reconstruct(batch.source, batch.driving, coarse=coarse)
        return self._reconstruct(batch.source, batch.driving)

    def _fool(self, outputs: TrainOutputs, terms: dict[str, Tensor]) -> Tensor:
        """The adversarial term, balanced with the reconstruction at the decoder's last layer."""
        assert self.discriminator is not None
        assert self.recipe.adversarial is not None
        assert isinstance(self.model, CodebookModel)
        self.discriminator.requires_grad_(False)
        loss = -self.discriminator(outputs.image).float().mean()
        self.discriminator.requires_grad_(True)
        images = total({name: terms[name] for name in IMAGE_TERMS if name in terms})
        last = self.model.decoder.out.weight
        weight = adaptive_weight(images, loss, last, self.recipe.adversarial.weight)
        return weight * loss

    def _update(self, terms: dict[str, Tensor]) -> bool:
        """Step the optimiser unless something is not finite, in any process."""
        self.scaler.unscale_(self.optimizer)
        self.team.average_gradients(self.model.parameters())
        sound = torch.isfinite(gradient_norm(self.model.parameters()) + total(terms))
        if self.team.any(not bool(sound), self.compute.device):
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
            raise TalkheadError(
                f"{culprit} has not been finite for {MAX_SKIPPED} steps; the last checkpoint is "
                "sound: resume from it with a lower recipe.learning_rate or with --bf16"
            )

    def _discriminate(self, batch: Batch, fakes: list[Tensor]) -> Tensor:
        """Teach the discriminator the same batch; its loss."""
        assert self.discriminator is not None
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss = batch.source.new_zeros(())
        for piece, fake in zip(split(batch, self.compute.parts), fakes, strict=True):
            with self._autocast():
                judged = hinge(
                    self.discriminator(piece.driving).float(), self.discriminator(fake).float()
                )
            # Small logits: this loss needs no scaling against underflow.
            (judged * (len(piece) / len(batch))).backward()
            loss = loss + judged.detach() * (len(piece) / len(batch))
        self.team.average_gradients(self.discriminator.parameters())
        if bool(torch.isfinite(gradient_norm(self.discriminator.parameters()))):
            self.discriminator_optimizer.step()
        return loss

    def _autocast(self) -> torch.autocast:
        half = self.compute.precision is not torch.float32
        return torch.autocast(self.compute.device.type, self.compute.precision, enabled=half)


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch in about equal pieces."""
    size = -(-len(batch) // parts)
    return [batch[start : start + size] for start in range(0, len(batch), size)]
