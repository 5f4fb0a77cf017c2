"""What compiling needs of the models, as far as a machine without a GPU can tell."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from miniatures import FAMILIES, mini_bundled, mini_config
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from talkhead.config import uses_mesh
from talkhead.inference.fusion import fold
from talkhead.models import build
from talkhead.models.points import mesh_points
from talkhead.topology import MESH_POINTS


class DeviceWatch(TorchDispatchMode):
    """Notes every operation whose result lies on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.on_cpu: list[str] = []
        self.operations = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        self.operations += 1
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.device.type == "cpu":
                self.on_cpu.append(str(operation))
        return result


@pytest.mark.parametrize("name", [*FAMILIES, "bundled"])
def test_drawing_stays_on_its_device_and_waits_for_no_value_of_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else it could not be recorded as one CUDA graph. On the meta device values do not exist:
    whatever asks for one raises."""
    monkeypatch.setattr("torch.autocast", lambda *_, **__: nullcontext())  # which knows no meta
    config = mini_bundled() if name == "bundled" else mini_config(name)
    model = build(config).eval().requires_grad_(False)
    fold(model)
    model.to("meta")
    size = model.config.image_size
    pictures = torch.empty(3, 3, size, size, device="meta")
    mesh = torch.empty(3, MESH_POINTS, 3, device="meta")
    with torch.inference_mode(), DeviceWatch() as watch:
        if uses_mesh(config):
            state = model.encode_source(pictures[:1], mesh[:1])
            state = replace(state, sharpness=torch.ones(1, device="meta"))
            keypoints = model.detect(pictures, mesh)
        else:
            state = model.encode_source(pictures[:1])
            keypoints = model.detect(pictures)
        assert model.render(state, keypoints).shape == pictures.shape
        assert model.render_parts(state, keypoints).image.shape == pictures.shape
    assert watch.operations > 50
    assert watch.on_cpu == []


def test_compiled_code_takes_the_constants_that_are_there_and_says_nothing() -> None:
    mesh = torch.rand(2, MESH_POINTS, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = torch.compile(lambda mesh: mesh_points(mesh, (3, 1)), backend="eager")
        assert torch.equal(compiled(mesh), mesh[:, [3, 1]])
