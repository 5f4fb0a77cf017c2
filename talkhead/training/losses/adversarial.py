"""The adversarial loss and the discriminator's own step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.config import ModelConfig
from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.structs import TrainOutputs
from talkhead.training.distributed import ProcessGroup, share_batch_norm
from talkhead.training.losses.discriminator import KeypointDiscriminator, PatchDiscriminator
from talkhead.training.losses.objective import IMAGE_TERMS, total
from talkhead.training.optimizer import gradient_norm, restore_memory, set_rates
from talkhead.training.recipes.recipe import Adversarial, Recipe

EPSILON = 1e-4  # beside the gradient's norm in the adaptive weight (codebook release)


@dataclass(frozen=True)
class GeneratedBatch:
    """What the generator drew, for the discriminator to be taught with, without gradients.

    image, target: (B, 3, H, W) in [0, 1]; keypoints: (B, K, 2) of the driving image.
    share:         of the whole batch.
    """

    image: Tensor
    target: Tensor
    keypoints: Tensor
    share: float


class AdversarialLoss:
    """A discriminator with its optimiser."""

    def __init__(
        self,
        how: Adversarial,
        recipe: Recipe,
        config: ModelConfig,
        device: torch.device,
        processes: ProcessGroup,
    ) -> None:
        self.how, self.processes = how, processes
        self.discriminator = make_discriminator(how, config).to(device)
        share_batch_norm(self.discriminator, processes)
        self.optimizer = torch.optim.Adam(
            [{"params": self.discriminator.parameters(), "base": recipe.learning_rate}],
            lr=recipe.learning_rate,
            betas=recipe.betas,
        )

    def plays(self, step: int) -> bool:
        """Whether it takes part in step number `step` (from 0)."""
        return step + 1 >= self.how.start

    def terms(
        self, model: Network, outputs: TrainOutputs, target: Tensor, terms: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """What the generator is to learn from it, weighted; `terms` are those that it has."""
        keypoints = outputs.driving.value.detach()
        self.discriminator.requires_grad_(False)
        logits, found = self.discriminator(outputs.image, keypoints)
        added: dict[str, Tensor] = {}
        if self.how.kind == "hinge":
            assert isinstance(model, CodebookModel)
            loss = -logits.float().mean()
            images = total({name: terms[name] for name in IMAGE_TERMS if name in terms})
            weight = adaptive_weight(images, loss, model.decoder.out.weight, self.how.weight)
            added["adversarial"] = weight * loss
        else:
            added["adversarial"] = self.how.weight * (1 - logits.float()).square().mean()
        if self.how.feature_matching:
            with torch.no_grad():
                _, wanted = self.discriminator(target, keypoints)
            distances = [(a - b).float().abs().mean() for a, b in zip(found, wanted, strict=True)]
            added["feature_matching"] = self.how.feature_matching * torch.stack(distances).sum()
        self.discriminator.requires_grad_(True)
        return added

    def train_step(
        self, drawn: Sequence[GeneratedBatch], rate: float, autocast: torch.autocast
    ) -> Tensor:
        """Learn to tell the drawn pictures from the real ones, at a share of its rate; its loss."""
        set_rates(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        total_loss = drawn[0].image.new_zeros(())
        for piece in drawn:
            with autocast:
                real, _ = self.discriminator(piece.target, piece.keypoints)
                fake, _ = self.discriminator(piece.image, piece.keypoints)
                judge = hinge if self.how.kind == "hinge" else least_squares
                loss = judge(real.float(), fake.float()) * piece.share
            loss.backward()  # small logits: they need no scaling against underflow
            total_loss = total_loss + loss.detach()
        self.processes.average_gradients(self.discriminator.parameters())
        if bool(torch.isfinite(gradient_norm(self.discriminator.parameters()))):
            self.optimizer.step()
        return total_loss

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint; one without a discriminator leaves the new one as it is."""
        if "discriminator" in state:
            self.discriminator.load_state_dict(state["discriminator"])
            restore_memory(self.optimizer, state["discriminator_optimizer"])


def make_discriminator(how: Adversarial, config: ModelConfig) -> nn.Module:
    """The discriminator of a recipe's kind for a model."""
    if how.kind == "hinge":
        return PatchDiscriminator(how.base_channels)
    return KeypointDiscriminator(config.num_points, how.base_channels)


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss on its logits (codebook release)."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def least_squares(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss on its logits (FOMM release; Mao et al. 2017)."""
    return (1 - real).square().mean() + fake.square().mean()


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, weight: Tensor, largest: float
) -> Tensor:
    """Balance both losses' gradients at one layer's weight: largest * clamp(ratio, 0, 1)."""
    wanted = torch.autograd.grad(reconstruction, weight, retain_graph=True)[0].norm()
    given = torch.autograd.grad(adversarial, weight, retain_graph=True)[0].norm()
    return largest * (wanted / (given + EPSILON)).clamp(0, 1).detach()
