"""Options classes: frozen dataclasses whose fields say what a person can choose.

A field's type hint holds all that is known of it: its kind and bounds (see `schema`), and an
`Option` with the words for people. The command line and the browser page are made from them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from talkhead.errors import TalkheadError, shown
from talkhead.schema import Range, fitting

MOST = 1_000_000_000  # where a number has no bound of its own
Count = Annotated[int, Range(1, MOST)]
Index = Annotated[int, Range(0, MOST)]
Share = Annotated[float, Range(0, 1)]
Strength = Annotated[float, Range(0, 2)]  # of motion; 1 is as it was seen
LARGEST_SIDE = 4096  # pixels of a result
Side = Annotated[int, Range(16, LARGEST_SIDE)]
Seconds = Annotated[float, Range(0, MOST)]

# Topics, in the order in which help shows them.
PANELS = (
    MOTION, FACE, PICTURE, VIDEO, DATA, MODEL, LEARNING, SCORES, DEVICE, OUTPUT,
) = (
    "Motion", "Face and crop", "Picture", "Video and sound", "Data", "Model", "Training", "Scores",
    "Device", "Output",
)  # fmt: skip


@dataclass(frozen=True)
class Option:
    """How a field is shown to people.

    help:    one plain line. panel: its topic, where help has topics.
    flags:   on the command line, where they differ from the field's name; of a choice with
             `switches`, one flag for each value but the default.
    metavar: what stands for the value in help texts.
    """

    help: str
    panel: str = ""
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    switches: bool = False


@dataclass(frozen=True, kw_only=True)
class Options:
    """What people choose. TalkheadError names the first value of another kind, or out of bounds."""

    def __post_init__(self) -> None:
        for name, kind in _checked_kinds(cast("Any", type(self))):
            value = getattr(self, name)
            try:
                fitting(kind, value, name)
            except TalkheadError as error:
                raise TalkheadError(
                    f"{name} must be {Kind.of(kind)}, not {shown(value)}"
                ) from error


@dataclass(frozen=True)
class Kind:
    """What a field may hold, as far as people choose it.

    base:    of a number, a text, a switch or a path; of a sequence, what it is of.
    words:   that may stand in its place; without a base these alone.
    bounds:  of a number. optional: nothing, too. several: a sequence of such values.
    """

    base: Any
    words: tuple[str, ...] = ()
    bounds: Range | None = None
    optional: bool = False
    several: bool = False

    @classmethod
    def of(cls, hint: Any) -> Kind:
        """From a type hint without an `Option`."""
        origin, parts = get_origin(hint), get_args(hint)
        if origin is Literal:
            return cls(None, parts)
        if origin is Annotated:
            return replace(cls.of(parts[0]), bounds=parts[1])
        if origin is tuple:
            return replace(cls.of(parts[0]), several=True)
        if origin in (Union, UnionType):
            first, *others = (cls.of(part) for part in parts if part is not NoneType)
            words = sum((other.words for other in others), first.words)
            return replace(first, words=words, optional=NoneType in parts)
        return cls(hint)

    def __str__(self) -> str:
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        text = names.get(self.base, str(self.base))
        if self.base is None:
            text = f"one of {', '.join(self.words)}"
        if self.bounds:
            upper = f" to {self.bounds.most:g}" if self.bounds.most < MOST else " or more"
            text += f", {self.bounds.least:g}{upper}"
        if self.base is not None and self.words:
            text += f", or {' or '.join(self.words)}"
        return f"a sequence, each {text}" if self.several else text


@dataclass(frozen=True)
class OptionField:
    """A field of an options class: its type hint is without the `Option`."""

    name: str
    hint: Any
    default: Any
    option: Option

    @property
    def kind(self) -> Kind:
        """What it may hold."""
        return Kind.of(self.hint)

    @property
    def flag(self) -> str:
        """Its name on the command line, the first of several."""
        return self.option.flags[0] if self.option.flags else f"--{self.name.replace('_', '-')}"


def option_fields(options: type) -> Iterator[OptionField]:
    """The fields of an options class that have an `Option`, in order."""
    hints = get_type_hints(options, include_extras=True)
    found = (option_of(f.name, hints[f.name], f.default) for f in fields(cast("Any", options)))
    return (option for option in found if option is not None)


def option_of(name: str, hint: Any, default: Any) -> OptionField | None:
    """A field, or a command's parameter, by its type hint; None for one without an `Option`."""
    kind, notes = _taken_apart(hint)
    option = next((note for note in notes if isinstance(note, Option)), None)
    return None if option is None else OptionField(name, kind, default, option)


@functools.cache
def _checked_kinds(options: type) -> tuple[tuple[str, Any], ...]:
    """Names and kinds of what is checked; files are where they are opened.

    Worked out once: a page of the studio asks of hundreds of settings at every change.
    """
    hints = get_type_hints(options, include_extras=True)
    kinds = ((name, _taken_apart(hint)[0]) for name, hint in hints.items())
    return tuple((name, kind) for name, kind in kinds if Kind.of(kind).base is not Path)


def _taken_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A hint without its `Option`, and all its notes. Bounds stay with the kind."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    kind, *notes = get_args(hint)
    bounds = tuple(note for note in notes if not isinstance(note, Option))
    return (Annotated[(kind, *bounds)] if bounds else kind), tuple(notes)
