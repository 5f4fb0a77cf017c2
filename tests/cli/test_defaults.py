"""What a command does when nothing is asked for is what its library function does."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from talkhead.ablation.options import AblationOptions
from talkhead.animation.settings import RenderSettings
from talkhead.batch.options import BatchOptions
from talkhead.benchmark.options import BenchmarkOptions
from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.evaluation.options import EvaluateOptions
from talkhead.inference.engine import Engine
from talkhead.preparation.options import PrepareOptions
from talkhead.synthetic.options import SynthOptions
from talkhead.training.options import TrainOptions

DATA, OUT = Path("data"), Path("out")


@pytest.mark.parametrize(
    ("command", "module", "defaults"),
    [
        ("animate data out -o out/", "cli.animate", RenderSettings()),
        ("inspect data out -o out", "figures.inspect", RenderSettings()),
        ("batch data -o out", "batch.batch", BatchOptions()),
        ("benchmark", "benchmark.benchmark", BenchmarkOptions()),
        ("evaluate --data data", "evaluation.evaluate", EvaluateOptions(data=DATA)),
        ("ablate", "ablation.ablate", AblationOptions()),
        ("prepare data -o out", "preparation.prepare", PrepareOptions(videos=(DATA,), output=OUT)),
        ("synth -o out", "synthetic.synth", SynthOptions(output=OUT)),
        ("train --data data -o out", "training.train", TrainOptions(data=(DATA,), output=OUT)),
    ],
    ids=lambda each: each.split()[0] if isinstance(each, str) else "",
)
def test_a_command_without_options_has_the_librarys_defaults(
    command: str, module: str, defaults: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def remember(*given: Any, **named: Any) -> None:
        asked.extend(each for each in (*given, *named.values()) if type(each) is type(defaults))
        raise TalkheadError("that is all")

    function = "plan" if module == "cli.animate" else module.rpartition(".")[2]
    monkeypatch.setattr(import_module(f"talkhead.{module}"), function, remember)
    monkeypatch.setattr(Engine, "load", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command.split())
    assert "that is all" in result.stderr
    assert asked == [defaults]
