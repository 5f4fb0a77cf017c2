"""Override single settings by name: `recipe.weights.pixel=1`."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_type_hints

from talkhead.config import ModelConfig
from talkhead.errors import TalkheadError
from talkhead.schema import fitting
from talkhead.training.recipes.recipe import OLD_NAMES, Recipe

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
    head = OLD_NAMES.get(head, head)
    assert is_dataclass(settings)
    assert not isinstance(settings, type)
    known = [each.name for each in fields(settings)]
    if head not in known:
        raise TalkheadError(f"there is no setting {name}; {head!r} is none of {', '.join(known)}")
    if not rest:
        kind = get_type_hints(type(settings), include_extras=True)[head]
        return replace(settings, **{head: fitting(kind, _plain(text), f"--set {name}")})
    old = getattr(settings, head)
    if not is_dataclass(old):
        raise TalkheadError(f"there is no setting {name}: {head} is {old!r} and has no parts")
    return replace(settings, **{head: change(old, rest, text, name)})


def _plain(text: str) -> Any:
    """JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
