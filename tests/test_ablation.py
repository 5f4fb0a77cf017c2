"""The ablation tables: every row exists at the small size, and a whole table runs."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import write_clips

from talkhead.ablation import ablate as ablation
from talkhead.ablation.ablate import (
    RECIPE,
    TABLES,
    ablate,
    draw_heads,
    runs,
    small_settings,
)
from talkhead.ablation.options import AblationOptions
from talkhead.config import preset
from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.synthetic import synth
from talkhead.training.options import TrainOptions
from talkhead.training.plan import plan


@pytest.mark.parametrize("row", [row for rows in TABLES.values() for row in rows])
def test_every_row_is_small_and_differs_from_the_others(row: str) -> None:
    settings = (*small_settings(preset(row)), *RECIPE)
    config, recipe = plan(TrainOptions((), Path("out"), preset=row, settings=settings))
    with torch.device("meta"):
        model = build(config)
    assert config.image_size == 64
    assert sum(parameter.numel() for parameter in model.parameters()) < 3e6
    assert recipe.adversarial is None


def test_rows_of_a_table_are_different_models() -> None:
    for rows in TABLES.values():
        assert len({repr(preset(row)) for row in rows}) == len(rows)


def test_seeds_are_told_apart_by_name(tmp_path: Path) -> None:
    names = [name for name, _, _ in runs(AblationOptions("mcnet", tmp_path, seeds=2))]
    assert len(set(names)) == 2 * len(TABLES["mcnet"])
    assert names[0] == "mcnet-baseline, seed 0"


def test_an_unknown_table_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match="one of codebook, mcnet"):
        AblationOptions("fomm", tmp_path)  # type: ignore[arg-type]


def test_data_without_test_clips_is_refused_before_any_row_is_trained(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips").joinpath("test").rename(tmp_path / "elsewhere")
    with pytest.raises(TalkheadError, match="no test/"):
        ablate(AblationOptions("codebook", tmp_path / "out", data=tmp_path / "clips"))


def test_a_table_is_trained_once_and_scored_with_the_baseline_of_doing_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES, "codebook", ("codebook-baseline", "codebook-mmc"))
    data = write_clips(tmp_path / "clips")
    options = AblationOptions(
        "codebook", tmp_path / "out", data, steps=1, batch_size=2, device="cpu", quiet=True
    )
    result = ablate(options)
    assert [row.name for row in result.rows] == ["codebook-baseline", "codebook-mmc", "do nothing"]
    assert all(row.scores["l1"].frame_mean is not None for row in result.rows)
    assert "keypoints" not in result.metrics

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(ablation, "train", refuse)
    again = ablate(options)
    assert [row.scores for row in again.rows] == [row.scores for row in result.rows]
    other = write_clips(tmp_path / "other")
    for changed in (replace(options, batch_size=1), replace(options, data=other)):
        with pytest.raises(AssertionError, match="trained again"):
            ablate(changed)


def test_heads_that_are_half_drawn_are_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = {"identities": 2, "clips": 1, "seconds": 0.1, "size": 32}
    monkeypatch.setattr(ablation, "SYNTHETIC", tiny)
    drawn: list[Path] = []
    real = synth.write_clip

    def interrupted(clip: synth.Clip) -> None:
        if drawn:
            raise KeyboardInterrupt
        drawn.append(clip.path)
        real(clip)

    with monkeypatch.context() as patch:
        patch.setattr(synth, "write_clip", interrupted)
        with pytest.raises(KeyboardInterrupt):
            draw_heads(tmp_path, nullcontext)
    data = draw_heads(tmp_path, nullcontext)
    clips = sorted(data.rglob("*.mp4"))
    assert [clip.parent.name for clip in clips] == ["test", "train"]
    monkeypatch.setattr(synth, "write_clip", interrupted)  # all are there: none is drawn
    assert draw_heads(tmp_path, nullcontext) == data
