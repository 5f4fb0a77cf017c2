"""Command-line options made from the fields of options classes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import MISSING, is_dataclass
from typing import Annotated, Any, Literal

import typer

from talkhead.cli.console import say
from talkhead.errors import TalkheadError, sentence
from talkhead.options import MOST, PANELS, Kind, OptionField, option_fields, option_of


def with_options(without: Collection[str] = ()) -> Callable[[Callable[..., None]], Any]:
    """Expand a command's parameters that are options classes into one option for each field.

    A parameter with an `Option` becomes one of its own. without: names of fields that this command
    does not offer; they keep their defaults. The command receives instances. What an options class
    refuses is told as wrong usage.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        given = inspect.signature(command, eval_str=True).parameters.values()
        own = [option for p in given if (option := option_of(p.name, p.annotation, p.default))]
        classes: dict[str, type[Any]] = {
            p.name: p.annotation  # type: ignore[misc]
            for p in given
            if is_dataclass(p.annotation)
        }
        fields = {
            name: [field for field in option_fields(kind) if field.name not in without]
            for name, kind in classes.items()
        }
        shown = [
            p for each in (own, *fields.values()) for field in each for p in _parameters(field)
        ]
        expanded = {*classes, *(option.name for option in own)}
        plain = [p.replace(kind=p.KEYWORD_ONLY) for p in given if p.name not in expanded]

        @functools.wraps(command)
        def call(**values: Any) -> None:
            taken = {
                name: {field.name: _take(field, values) for field in each}
                for name, each in fields.items()
            }
            try:
                made = {name: classes[name](**taken[name]) for name in classes}
            except TalkheadError as error:
                say(f"error: {sentence(error)}")
                raise typer.Exit(1) from None
            made |= {option.name: _take(option, values) for option in own}
            command(**values, **made)

        ordered = sorted([*plain, *shown], key=_panel)
        call.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in ordered}
        paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
        call.__doc__ = "\n\n".join(" ".join(each.split()) for each in paragraphs)
        return call

    return decorate


def _panel(parameter: inspect.Parameter) -> int:
    """Where help shows a parameter; arguments and options without a topic come first."""
    info = parameter.annotation.__metadata__[0]
    return PANELS.index(info.rich_help_panel) if info.rich_help_panel in PANELS else -1


def _parameters(field: OptionField) -> list[inspect.Parameter]:
    """What Typer is told of a field: one parameter, or one for each switch."""
    option = field.option
    if option.switches:
        flags = dict(zip(_switches(field), option.flags, strict=True))
        return [
            _parameter(name, bool, False, typer.Option(flag, help=f"{option.help}: {name}.",
                       rich_help_panel=option.panel))
            for name, flag in flags.items()
        ]  # fmt: skip
    bounds = None if _is_either(field.kind) else field.kind.bounds
    default = [] if field.kind.several and field.default == () else field.default
    if _is_numbers(field.kind):
        default = ",".join(map(str, field.default or ())) or None
    is_switch = field.default is False  # which needs no --no-...
    names = option.flags or ((field.flag,) if is_switch else ())
    info = typer.Option(
        *names, help=option.help, rich_help_panel=option.panel, metavar=option.metavar,
        min=bounds.least if bounds and bounds.least > -MOST else None,
        max=bounds.most if bounds and bounds.most < MOST else None,
    )  # fmt: skip
    return [_parameter(field.name, _for_typer(field.kind), default, info)]


def _parameter(name: str, kind: Any, default: Any, info: Any) -> inspect.Parameter:
    if default is MISSING:
        default = inspect.Parameter.empty
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _for_typer(kind: Kind) -> Any:
    """A kind of value as Typer knows it."""
    if _is_either(kind):
        return str
    base: Any = str if _is_numbers(kind) else kind.base or Literal[kind.words]
    if kind.several and not _is_numbers(kind):
        return list[base]
    return base | None if kind.optional or kind.several else base


def _is_numbers(kind: Kind) -> bool:
    """Whether a field holds whole numbers, which are written with commas between them."""
    return kind.several and kind.base is int


def _is_either(kind: Kind) -> bool:
    """Whether a word, such as `auto`, may stand in place of a whole number."""
    return kind.base is int and bool(kind.words)


def _switches(field: OptionField) -> list[str]:
    return [name for name in field.kind.words if name != field.default]


def _take(field: OptionField, values: dict[str, Any]) -> Any:
    """A field's value, out of what Typer has parsed."""
    if field.option.switches:
        chosen = [name for name in _switches(field) if values.pop(name)]
        if len(chosen) > 1:
            raise typer.BadParameter(f"choose one of {' and '.join(field.option.flags)}")
        return chosen[0] if chosen else field.default
    value = values.pop(field.name)
    if _is_numbers(field.kind):
        return _numbers(value) if value else field.default
    if _is_either(field.kind):
        return value if value in field.kind.words else _number(value, field)
    return tuple(value) if isinstance(value, list) else value


def _number(text: str, field: OptionField) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"write a whole number or {' or '.join(field.kind.words)}, not {text!r}",
            param_hint=f"'--{field.name.replace('_', '-')}'",
        ) from None


def _numbers(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and int(word) for word in words):
        raise typer.BadParameter(f"write whole numbers with commas between them, not {text!r}")
    return tuple(int(word) for word in words)
