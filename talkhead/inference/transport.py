"""Asynchronous copies between CPU and device."""

from __future__ import annotations

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device. To CUDA through pinned memory, so that the CPU goes on meanwhile."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Download:
    """Tensors on their way to the CPU; `arrived` waits for them.

    stream: of CUDA, for copies alone: they begin when all that was asked of the device so far is
    done, and whatever is asked next runs beside them. None: they are there at once.
    """

    def __init__(self, tensors: tuple[Tensor, ...], stream: torch.cuda.Stream | None) -> None:
        self._event: torch.cuda.Event | None = None
        if stream is None:
            self._tensors = tuple(tensor.cpu() for tensor in tensors)
            return
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        with torch.cuda.stream(stream):
            # Copies that need not be waited for go into pinned memory by themselves.
            self._tensors = tuple(tensor.to("cpu", non_blocking=True) for tensor in tensors)
            self._event = stream.record_event()
        for tensor in tensors:
            tensor.record_stream(stream)  # its memory is not used again before the copy is done

    def arrived(self) -> tuple[Tensor, ...]:
        """The tensors on the CPU, waited for."""
        if self._event is not None:
            self._event.synchronize()
        return self._tensors
