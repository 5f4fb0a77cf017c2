"""Toy models and media that all tests share."""

# Heavy imports wait: what divides tests among processes reads this file, and needs none of them.

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from talkhead.inference.engine import Engine

# Tests run side by side: each has one core, and so have the processes that it starts.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
# A shell lets its background jobs ignore these, and what tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, so that tests side by side end together."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.fixture(scope="session")
def toy_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of a model so small that it draws at once."""
    import torch
    from miniatures import TOY

    from talkhead import checkpoint
    from talkhead.models import build

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    checkpoint.save(path, build(TOY), checkpoint.Provenance("untrained, for tests", "MIT"))
    return path


@pytest.fixture(scope="session")
def face() -> Tensor:
    """(1, 478, 2), the mesh of the example portrait, whose face fills a third of its crop."""
    import torch

    from talkhead.faces.landmarker import Landmarker
    from talkhead.faces.regions import Region
    from talkhead.io.image import read_image

    portrait = Path(__file__).parents[1] / "examples" / "portrait.jpg"
    points = Landmarker().refine([read_image(portrait)], [Region(224, 124, 165)])[0]
    return (torch.from_numpy(points[None, :, :2]).float() - torch.tensor([224.0, 124.0])) / 165


@pytest.fixture(scope="session")
def engine(toy_weights: Path) -> Engine:
    """With the toy weights; what a test changes of it, it changes back."""
    from talkhead.inference.engine import Engine

    return Engine.load(toy_weights, device="cpu", batch_size=4)


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smooth picture of 96 x 80 pixels; nobody is in it."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[0:80, 0:96]
    rgb = np.stack([x * 2, y * 3, 255 - x - y], axis=-1).astype(np.uint8)
    path = tmp_path_factory.mktemp("photos") / "portrait.png"
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Toy clips in the VoxCeleb layout, and presets of toys to learn them."""
    import toys

    from talkhead import config

    for name, model in toys.PRESETS.items():
        monkeypatch.setitem(config.PRESETS, name, model)
    return toys.write_clips(tmp_path / "clips")
