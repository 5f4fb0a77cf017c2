"""Single settings changed by name: `recipe.weights.pixel=1`."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from talkhead.config import ModelConfig
from talkhead.errors import TalkheadError
from talkhead.training.recipe import Recipe

Settings = TypeVar("Settings")


def apply_settings(
    config: ModelConfig, recipe: Recipe, settings: list[str]
) -> tuple[ModelConfig, Recipe]:
    """Apply `model.a.b=value` and `recipe.a=value`, values as JSON or plain text."""
    for setting in settings:
        name, equals, text = setting.partition("=")
        part, *path = name.strip().split(".")
        if not equals or not path or part not in ("model", "recipe"):
            raise TalkheadError(
                f"--set {setting}: write model.NAME=VALUE or recipe.NAME=VALUE, "
                "such as recipe.weights.pixel=1"
            )
        if part == "model":
            config = change(config, path, text, name)
        else:
            recipe = change(recipe, path, text, name)
    return config, recipe


def change(settings: Settings, path: list[str], text: str, name: str) -> Settings:
    """The same settings with one of them replaced; an unknown name lists the known ones."""
    head, *rest = path
    assert is_dataclass(settings)
    assert not isinstance(settings, type)
    known = [each.name for each in fields(settings)]
    if head not in known:
        raise TalkheadError(f"there is no setting {name}; {head!r} is none of {', '.join(known)}")
    old = getattr(settings, head)
    if not rest:
        return replace(settings, **{head: parse_value(text, old, name)})
    if not is_dataclass(old):
        raise TalkheadError(f"there is no setting {name}: {head} is {old!r} and has no parts")
    return replace(settings, **{head: change(old, rest, text, name)})


def parse_value(text: str, old: Any, name: str) -> Any:
    """JSON, or plain text, of the same kind as the value that it replaces."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    value = _tuples(value)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = old is None or value is None or type(value) is type(old)
    if not fits or (is_dataclass(old) and value is not None):
        raise TalkheadError(f"--set {name}={text}: expected something like {old!r}")
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
