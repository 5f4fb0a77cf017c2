"""Lists, results and the files of runs that were damaged or tampered with: one sentence each."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import DEEP, sentence
from media import make_pictures
from miniatures import mini_config

from talkhead import config
from talkhead.benchmark.table import read_result
from talkhead.errors import TalkheadError, shown, told
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.published import read_published
from talkhead.schema import read_json
from talkhead.training.loop import state
from talkhead.training.loop.logging import LOSSES, RUN, RunLog
from talkhead.training.recipes.recipe import Recipe


@pytest.mark.parametrize(
    "row",
    [
        "anna.mp4/" + "9" * 5000 + ",anna.mp4/0",
        "anna.mp4/" + "x" * 5000 + ",anna.mp4/0",
        "x" * 5000 + "/0,anna.mp4/0",
        "anna.mp4/\x1b[31m,anna.mp4/0",
        "anna.mp4/\0,anna.mp4/0",
        "..,.",
        "/,/",
    ],
)
def test_rows_that_no_clip_has_are_left_out_in_a_sentence(row: str, tmp_path: Path) -> None:
    make_pictures(tmp_path / "data" / "anna.mp4", 2)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"source,driving\n{row}\n")
    sentence(lambda: plan_evaluation("pairs", tmp_path / "data", pair_list=pairs))
    pairs.write_text(f"\ufeffsource,driving\n{row}\nanna.mp4/frame_1,anna.mp4/frame_2\n")
    found = plan_evaluation("pairs", tmp_path / "data", pair_list=pairs)
    assert [case.numbers for case in found.cases] == [(1,)]
    assert len(found.missing) == 1


def test_a_list_that_is_a_folder_is_one_sentence(tmp_path: Path) -> None:
    make_pictures(tmp_path / "data" / "anna.mp4", 2)
    sentence(lambda: plan_evaluation("pairs", tmp_path / "data", pair_list=tmp_path))
    sentence(lambda: read_published(tmp_path, "pairs"))


@pytest.mark.parametrize("row", ["a", "a,b,pairs,nan", "a,b,pairs,1,2", ",b,pairs,1", "a,,pairs,1"])
def test_published_rows_that_are_incomplete_are_named(row: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"name,source,protocol,psnr\n{row}\n")
    assert "line 2" in sentence(lambda: read_published(path, "pairs"))


def stored_state(**changes: Any) -> dict[str, Any]:
    model_config = mini_config("fomm")
    content = {
        "step": 3,
        "seconds": 1.5,
        "seed": 0,
        "skipped": 0,
        "config": json.dumps(config.to_dict(model_config)),
        "recipe": json.dumps(asdict(Recipe("a test"))),
    }
    return content | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -1},
        {"step": True},
        {"step": "3"},
        {"seconds": float("nan")},
        {"seed": None},
        {"skipped": [0]},
        {"config": DEEP},
        {"config": "[]"},
        {"config": None},
        {"recipe": "{"},
        {"recipe": '{"source": 3}'},
        {"recipe": '{"source": "x", "weights": []}'},
    ],
)
def test_the_state_of_a_run_that_was_tampered_with_is_one_sentence(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    wanted = mini_config("fomm"), Recipe("a test")
    torch.save(stored_state(), tmp_path / state.STATE)
    assert state.read(tmp_path, *wanted)["step"] == 3
    torch.save(stored_state(**changes), tmp_path / state.STATE)
    assert "state.pt is damaged" in sentence(lambda: state.read(tmp_path, *wanted))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (RUN, "{"),
        (RUN, "[]"),
        (RUN, DEEP),
        (RUN, '{"validations": 3}'),
        (RUN, '{"validations": [{"step": "x"}]}'),
        (LOSSES, "{\n"),
        (LOSSES, "[]\n"),
        (LOSSES, '{"step": null}\n'),
        (LOSSES, DEEP + "\n"),
    ],
)
def test_files_of_a_run_that_were_tampered_with_are_one_sentence(
    name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert f"{name} is damaged" in sentence(lambda: RunLog(tmp_path, {}, done=3))
    assert (tmp_path / name).read_text() == text


@pytest.mark.parametrize("text", ["", "\n", "[]", "3", DEEP, '{"peak": "x"}', "\udcff"])
def test_what_is_no_result_of_the_benchmark_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "is no result of" in sentence(lambda: read_result(tmp_path / "old.json"))


def test_values_from_files_are_told_short_and_without_control_codes() -> None:
    assert shown("\x1b[31m\n") == "'\\x1b[31m\\n'"
    assert len(shown("a" * 10_000)) < 100
    assert shown(1 << 20_000) == "a number of 20001 bits"
    assert told(ValueError("bad\nuse weights_only=False")) == "bad"
    with pytest.raises(TalkheadError, match="nested too deeply"):
        read_json(DEEP)
