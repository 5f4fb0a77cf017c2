"""Several processes, one training: the only part of talkhead that knows torch.distributed.

Gradients are averaged by hand after the backward pass instead of through DDP's wrapper: a step
makes several passes (generator, adaptive weight, discriminator) over parts of one model, which the
wrapper does not allow without slower settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from talkhead.errors import TalkheadError

BUCKET = 25_000_000  # numbers that are averaged in one message


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run and which of them this one is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes; a missing one counts as 0.

        What does not learn gets none: an optimizer moves whatever has a gradient, be it 0.
        """
        if self.size == 1:
            return
        for bucket in _buckets([p for p in parameters if p.requires_grad]):
            for p in bucket:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
            gradients = [p.grad for p in bucket if p.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            flat /= self.size
            parts = flat.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))  # in its own memory layout

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        shared = torch.tensor(float(flag), device=device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared.item())

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values = values / self.size
        return values

    @torch.no_grad()
    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values."""
        if self.size > 1:
            for tensor in tensors:
                whole = tensor.contiguous()  # channels-last tensors cannot be sent as they are
                dist.broadcast(whole, 0)
                tensor.copy_(whole)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def process_group(device_type: str) -> Iterator[ProcessGroup]:
    """The processes that torchrun started, or this one alone."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield ProcessGroup()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device_type == "cuda":
        if local_rank >= (count := torch.cuda.device_count()):
            raise TalkheadError(
                f"process {local_rank + 1} of this machine has no GPU of its own, {count} are "
                "here; start fewer processes, or give --device cpu"
            )
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield ProcessGroup(
            dist.get_rank(),
            dist.get_world_size(),
            local_rank,
            int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        )
    finally:
        dist.destroy_process_group()


def may_restart() -> bool:
    """Whether torchrun starts processes again that end too early: the same command, once more."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def _buckets(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        bucket.append(parameter)
        if sum(p.numel() for p in bucket) > BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


class SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; so is its gradient, as all processes use the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The sum over all processes."""
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The sum of all processes' gradients."""
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all processes; torch's own exists for CUDA only."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Vectors (B, C) and maps (B, C, h, w) alike."""

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, C) or maps (B, C, h, w) -> the same shape."""
        if not self.training or dist.get_world_size() == 1:
            return super().forward(x)
        y = x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        moments = torch.stack([y.mean(axes), y.square().mean(axes)])
        # Differentiable, and every process has as many items: the mean of means is the mean.
        mean, square = SumOverProcesses.apply(moments) / dist.get_world_size()
        variance = (square - mean.square()).clamp(min=0)
        self._remember(mean.detach(), variance.detach(), x.numel() // x.shape[1])
        assert self.weight is not None
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        shape = (-1, *(1 for _ in axes[1:]))
        return (y * scale.view(shape) + shift.view(shape)).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        count *= dist.get_world_size()
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = self.momentum or 0.1
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), momentum)
        self.num_batches_tracked.add_(1)


def share_batch_norm(module: nn.Module, processes: ProcessGroup) -> None:
    """Make every batch norm of a module count all processes' items; a frozen one stays frozen."""
    if processes.size == 1:
        return
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.load_state_dict(child.state_dict())
            shared.train(child.training).requires_grad_(child.weight.requires_grad)
            setattr(module, name, shared.to(child.weight.device))
        else:
            share_batch_norm(child, processes)
