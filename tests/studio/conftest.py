"""A running studio with toy weights, and pages of it, for all tests of this folder."""

# What needs the extra is imported where it is used, so that its tests can skip without it.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from media import loop, make_clip

if TYPE_CHECKING:
    import numpy as np
    from studio_page import Client

    from talkhead.faces.finder import FaceFinder
    from talkhead.structs import Face
    from talkhead.studio.state import Studio


@pytest.fixture(scope="module", autouse=True)
def faces_are_found_once() -> Iterator[None]:
    """The same few pictures are chosen in page after page: each is searched for faces once."""
    from talkhead.faces.finder import FaceFinder

    find, found = FaceFinder.find, {}

    def remembered(self: FaceFinder, rgb: np.ndarray, every: bool = False) -> list[Face]:
        key = (rgb.shape, rgb.tobytes(), every)
        if key not in found:
            found[key] = find(self, rgb, every)
        return list(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceFinder, "find", remembered)
        yield


@pytest.fixture(scope="module")
def running(toy_weights: Path) -> Iterator[tuple[Studio, int]]:
    """The studio and its port."""
    from studio_page import serving

    with serving(toy_weights) as found:
        yield found


@pytest.fixture
def client(running: tuple[Studio, int]) -> Client:
    from studio_page import Client

    return Client(running[1]).begin()


@pytest.fixture(scope="session")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driving video of an hour, at one frame per second."""
    folder = tmp_path_factory.mktemp("hour")
    clip = make_clip(folder / "clip.mp4", frames=10, rate=1, audio=False)
    return loop(clip, folder / "hour.mp4", 360)


@pytest.fixture
def ready(client: Client, portrait: Path, tmp_path: Path) -> Client:
    """A page with a portrait and a driving video of 12 frames, with sound."""
    client.upload("portrait", portrait)
    client.upload("driving", make_clip(tmp_path / "drive.mp4", frames=12))
    return client
