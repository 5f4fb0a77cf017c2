"""Adam, its rates over a run, gradient clipping and the average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from talkhead.models import Network
from talkhead.training.recipes.recipe import Recipe

M = TypeVar("M", bound=nn.Module)

KEYPOINTS = "keypoint_detector"


def make_optimizer(model: Network, recipe: Recipe) -> torch.optim.Adam:
    """Two groups: the keypoint detector and the rest, each with its `base` rate."""
    keypoints: dict[str, Any] = {"params": [], "base": recipe.keypoint_rate}
    others: dict[str, Any] = {"params": [], "base": recipe.learning_rate}
    for name, parameter in model.named_parameters():
        (keypoints if name.startswith(KEYPOINTS) else others)["params"].append(parameter)
    return torch.optim.Adam(
        [keypoints, others],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def rate_factor(recipe: Recipe, step: int, progress: float) -> float:
    """Share of the base rates at a step, when `progress` (0 to 1) of the run is done."""
    warmup = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    if recipe.schedule == "steps":
        return warmup * recipe.factor ** sum(progress >= share for share in recipe.milestones)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return warmup * (recipe.final + (1 - recipe.final) * cosine)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its base rate times the factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor


def restore_memory(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Take over what an optimiser remembers of the past; rates and betas stay as they are now."""
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Norm of all gradients together; not finite if any of them is not."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def clip_gradients(model: nn.Module, recipe: Recipe) -> None:
    """Bound the gradients of each group of parameters that the recipe names."""
    norm = math.inf if recipe.clip_norm == "max" else 2.0
    left = dict(model.named_parameters())
    for prefix, largest in recipe.clip:
        group = {name: p for name, p in left.items() if name.startswith(prefix)}
        left = {name: p for name, p in left.items() if name not in group}
        torch.nn.utils.clip_grad_norm_(group.values(), largest, norm_type=norm)


class Average(Generic[M]):
    """Exponential average of a model's parameters; its `model` is what is saved and judged.

    decay:    0: no average, `model` is the model itself.
    excludes: beginnings of the names of parameters that are copied instead. Buffers always are.
    """

    def __init__(self, model: M, decay: float, excludes: tuple[str, ...] = ()) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False) if decay else model
        self._fresh = model
        own, fresh = dict(self.model.named_parameters()), dict(model.named_parameters())
        averaged = [name for name in own if not name.startswith(excludes or "\0")]
        copied = [name for name in own if name not in set(averaged)]
        self._averaged = [(own[name].data, fresh[name].data) for name in averaged]
        self._copied = [(own[name].data, fresh[name].data) for name in copied]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average after step number `step`.

        Early on it is short, or it would remember nothing but the untrained weights.
        """
        if not self.decay:
            return
        decay = min(self.decay, (step + 1) / (step + 21))
        if self._averaged:
            own, fresh = zip(*self._averaged, strict=True)
            torch._foreach_lerp_(list(own), list(fresh), 1 - decay)
        buffers = zip(self.model.buffers(), self._fresh.buffers(), strict=True)
        if copied := [*self._copied, *buffers]:
            own, fresh = zip(*copied, strict=True)
            torch._foreach_copy_(list(own), list(fresh))

    @torch.no_grad()
    def restart(self) -> None:
        """Forget: take the model's weights as they are."""
        if self.decay:
            self.model.load_state_dict(self._fresh.state_dict())
