"""The decoder's picture and the source that is shown, mixed."""

from __future__ import annotations

import pytest
import torch

from talkhead.models.blending import SHARPEST, blend

SIZE = 8


def mixed(sharpness: float | None, eyes: tuple[float, float] | None = None) -> torch.Tensor:
    """The share of the source where the decoder is undecided, (1, 1, S, S)."""
    decoded = torch.zeros(1, 4, SIZE, SIZE)
    found = blend(
        decoded,
        torch.ones(1, 3, SIZE, SIZE),
        None if eyes is None else torch.tensor(eyes)[None, :, None, None].expand(1, 2, 4, 4),
        None if sharpness is None else torch.tensor([sharpness]),
    )
    assert torch.equal(found.image, found.kept.expand(-1, 3, -1, -1))  # white source, black own
    return found.kept


@pytest.mark.parametrize(
    ("sharpness", "eyes", "logit"),
    [
        (None, None, 0.0),
        (0.0, None, 0.0),
        (0.5, None, SHARPEST / 2),
        (1.0, (0.0, 0.0), SHARPEST),
        (1.0, (0.0, 1.0), SHARPEST / 2),  # lids that shut
        (0.0, (0.0, 1.0), 0.0),
    ],
)
def test_sharpness_prefers_the_source_and_of_shut_lids_half_as_much(
    sharpness: float | None, eyes: tuple[float, float] | None, logit: float
) -> None:
    assert torch.allclose(mixed(sharpness, eyes), torch.sigmoid(torch.tensor(logit)))


def test_open_eyes_are_the_sources_whatever_is_decoded() -> None:
    assert torch.allclose(mixed(None, (1.0, 0.0)), torch.ones(()))
    assert torch.allclose(mixed(None, (0.5, 0.5)), torch.tensor(0.75))


def test_light_is_added_to_the_source_that_is_shown() -> None:
    decoded = torch.zeros(1, 7, SIZE, SIZE)
    decoded[:, 4:] = 0.25
    found = blend(decoded, torch.ones(1, 3, SIZE, SIZE), None, None)
    assert torch.allclose(found.image, torch.tensor(0.625))
    assert found.warped is not None
    assert torch.equal(found.warped, torch.ones(1, 3, SIZE, SIZE))
