"""Options classes: frozen dataclasses whose fields say what a person can choose.

A field's type hint holds all that is known of it: its kind and bounds (see `schema`), and an
`Option` with the words for people. The command line and the browser page are made from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from talkhead.schema import Range, fitting

MOST = 1_000_000_000  # where a number has no bound of its own
Count = Annotated[int, Range(1, MOST)]
Index = Annotated[int, Range(0, MOST)]
Share = Annotated[float, Range(0, 1)]
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

    help:    one plain line. panel: its topic.
    flags:   on the command line, where they differ from the field's name; of a choice with
             `switches`, one flag for each value but the default.
    metavar: what stands for the value in help texts.
    """

    help: str
    panel: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    switches: bool = False


@dataclass(frozen=True)
class OptionField:
    """A field of an options class: kind is its type hint without the `Option`."""

    name: str
    kind: Any
    default: Any
    option: Option


def option_fields(options: type) -> Iterator[OptionField]:
    """The fields of an options class that have an `Option`, in order."""
    hints = get_type_hints(options, include_extras=True)
    for field in fields(cast("Any", options)):
        kind, notes = _taken_apart(hints[field.name])
        option = next((note for note in notes if isinstance(note, Option)), None)
        if option is not None:
            yield OptionField(field.name, kind, field.default, option)


def check_options(options: Any) -> None:
    """Raise TalkheadError that names the first value of another kind or beyond its bounds."""
    for field in option_fields(type(options)):
        if not _holds_paths(field.kind):  # files are checked where they are opened
            fitting(field.kind, getattr(options, field.name), field.name)


def _holds_paths(kind: Any) -> bool:
    return kind is Path or any(_holds_paths(part) for part in get_args(kind))


def _taken_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A hint without its `Option`, and all its notes. Bounds stay with the kind."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    kind, *notes = get_args(hint)
    bounds = tuple(note for note in notes if not isinstance(note, Option))
    return (Annotated[(kind, *bounds)] if bounds else kind), tuple(notes)
