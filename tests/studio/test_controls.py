"""The settings as the page shows them, and the command line that they mean."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from studio_page import Client  # isort: skip - it skips this file without the extra
from media import make_clip
from typer.testing import CliRunner

from talkhead.animation.settings import RenderSettings
from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.studio.controls import command_line, controls, impossible, read_settings

CHANGED: dict[str, Any] = {
    "motion": "absolute", "adapt_scale": False, "anchor": "first", "smooth": 0.25,
    "sharpness": 0.25,
    "mouth": 0.5, "eyes": 1.5, "head": 0.0, "gaze": 2.0,
    "crop_source": "1,2,30", "crop_driving": "none", "face": 2, "driving_face": 3,
    "detector": "yunet", "layout": "grid", "paste_back": True, "size": 512, "max_side": 640,
    "start": 0.5,
    "end": 2.0, "frames": 9, "sound": False, "track": 1, "video_track": 1, "codec": "hevc",
    "crf": 20, "preset": "slow",
}  # fmt: skip


def groups_that_go_together() -> list[dict[str, Any]]:
    """Every setting once, as many at a time as do not contradict each other."""
    groups: list[dict[str, Any]] = [{}]
    for control in controls():
        one = {control.name: CHANGED[control.name]}
        for group in groups:
            with suppress(TalkheadError):
                read_settings(group | one)
                group |= one
                break
        else:
            groups.append(one)
    return groups


def test_every_setting_reaches_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, portrait: Path
) -> None:
    seen: list[RenderSettings] = []

    def record(
        sources: object, drivings: object, output: str, settings: RenderSettings, *_: object
    ) -> None:
        seen.append(settings)
        raise TalkheadError("seen")

    monkeypatch.setattr(sys.modules["talkhead.cli.animate"], "plan", record)
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    for group in groups_that_go_together():
        settings = read_settings(group)
        line = command_line([str(portrait), str(driving)], str(tmp_path / "out.mp4"), settings)
        CliRunner().invoke(app, shlex.split(line)[1:])
        assert seen.pop() == settings, line


def test_settings_that_contradict_each_other_cannot_be_chosen() -> None:
    forms = controls()
    assert set(impossible(RenderSettings(), forms)) == {"max_side"}
    pasted = impossible(RenderSettings(paste_back=True), forms)
    assert set(pasted) == {"layout", "size"}
    assert set(pasted["layout"]) == {"side-by-side", "grid"}
    assert "pasted back" in pasted["size"]["*"]
    assert "anchor" in impossible(RenderSettings(motion="absolute"), forms)
    assert "track" in impossible(RenderSettings(sound=False), forms)
    assert "avd" in impossible(RenderSettings(head=0.5), forms)["motion"]
    grid = impossible(RenderSettings(layout="grid"), forms)
    assert set(grid) == {"paste_back", "max_side"}


def test_motion_that_the_weights_cannot_draw_cannot_be_chosen(client: Client) -> None:
    found = client.own("POST", "check", {"settings": {}})["impossible"]
    assert "AVD" in found["motion"]["avd"]
    assert "do not know which keypoints belong to the mouth" in found["mouth"]["*"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": "large"}, "size must be a whole number"),
        ({"smooth": 2}, "smooth must be a number, 0 to 1"),
        ({"smooth": None}, "smooth must be a number, 0 to 1, not None"),
        ({"face": True}, "face must be a whole number, 1 or more, not True"),
        ({"wings": 1}, "no setting 'wings'"),
        ({"paste_back": True, "layout": "grid"}, "choose one of both"),
    ],
)
def test_wrong_settings_are_told_of(client: Client, values: dict[str, Any], said: str) -> None:
    assert said in client.own("POST", "check", {"settings": values})["error"]
