"""What a frame shows."""

import numpy as np

from talkhead.animation.layout import arrange


def plain(level: int, side: int = 8) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def test_result_alone_is_resized_to_the_side() -> None:
    assert arrange("result", [plain(1)], None, [plain(7)], 16).shape == (16, 16, 3)


def test_side_by_side_shows_source_driver_result() -> None:
    sheet = arrange("side-by-side", [plain(1)], plain(2), [plain(3)], 8)
    assert sheet.shape == (8, 24, 3)
    assert [sheet[0, x, 0] for x in (0, 8, 16)] == [1, 2, 3]


def test_grid_is_nearly_square_and_black_where_nothing_is_left() -> None:
    sheet = arrange("grid", [plain(1)] * 4, plain(9), [plain(n) for n in (1, 2, 3, 4)], 8)
    assert sheet.shape == (16, 24, 3)
    assert [int(sheet[y, x, 0]) for y in (0, 8) for x in (0, 8, 16)] == [9, 1, 2, 3, 4, 0]
