"""Plain values from outside (JSON, headers of files) as the dataclasses that they are meant to be.

What may stand where is said once, by a dataclass's type hints: `int`, `float | None`,
`tuple[str, ...]`, `Literal`, another dataclass, or one of these with bounds, as in
`Annotated[int, Range(1, 64)]`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from talkhead.errors import TalkheadError, shown

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Bounds of a number, or of the length of a tuple, a list or a text; both included."""

    least: float
    most: float

    def __contains__(self, value: Any) -> bool:
        size = value if isinstance(value, int | float) else len(value)
        return bool(self.least <= size <= self.most)  # nothing holds for NaN

    def __str__(self) -> str:
        return f"{self.least} to {self.most}"


Finite = Annotated[float, Range(-1e300, 1e300)]


def read_json(text: str | bytes) -> Any:
    """Parse JSON. Raises TalkheadError for anything else, however deep it is nested."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise TalkheadError("it is nested too deeply") from error
    except ValueError as error:
        raise TalkheadError(f"it is not JSON ({error})") from error


def read_dataclass(kind: type[T], values: Any) -> T:
    """A dataclass from a dict of plain values; one without a default must be there.

    Raises TalkheadError that names the value that is strange, missing or of another kind.
    """
    if not isinstance(values, dict):
        raise TalkheadError(f"{kind.__name__} is {shown(values)}, not an object")
    hints = _hints(cast("Any", kind))
    for name in values:
        if name not in hints:
            raise TalkheadError(f"{kind.__name__} has no setting {shown(name)}")
    for field in fields(cast("Any", kind)):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in values:
            raise TalkheadError(f"{kind.__name__} lacks {field.name!r}")
    return kind(**{name: fitting(hints[name], value, name) for name, value in values.items()})


# What the fields of a dataclass may hold; worked out once, since lists hold thousands.
_hints = functools.cache(functools.partial(get_type_hints, include_extras=True))


def fitting(kind: Any, value: Any, name: str) -> Any:
    """A plain value from outside as what an annotation asks for.

    Lists become tuples where tuples are asked for, dicts become dataclasses, whole numbers serve
    as floats. Raises TalkheadError when `value` is none of what `kind` allows; `name` says whose
    value it is.
    """
    for choice, bounds in _choices(kind):
        if is_dataclass(choice) and isinstance(value, dict):
            return read_dataclass(cast("type[Any]", choice), value)
        if _matches(choice, value) and all(value in bound for bound in bounds):
            return _converted(choice, value, name)
    raise TalkheadError(f"{name} is {shown(value)}, which is not {_words(kind)}")


@functools.cache
def _choices(kind: Any) -> tuple[tuple[Any, tuple[Range, ...]], ...]:
    """What an annotation allows, each with its bounds."""
    allowed = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    bounded = (get_args(each) if get_origin(each) is Annotated else (each,) for each in allowed)
    return tuple((choice, tuple(bounds)) for choice, *bounds in bounded)


@functools.cache
def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Of `tuple[int, str]`: tuple, and (int, str)."""
    return get_origin(kind), get_args(kind)


def _matches(kind: Any, value: Any) -> bool:
    """Whether a value is of this kind as far as can be seen without looking inside."""
    origin, parts = _parts(kind)
    if kind is Any:
        return True
    if kind is NoneType:
        return value is None
    if origin is Literal:
        return value in parts
    if origin is tuple:
        any_length = parts[-1] is Ellipsis
        return isinstance(value, list | tuple) and (any_length or len(value) == len(parts))
    if kind is float:
        return type(value) in (int, float)
    return type(value) is (origin or kind)


def _converted(kind: Any, value: Any, name: str) -> Any:
    """A value of this kind with all that it holds."""
    origin, parts = _parts(kind)
    if kind is float:
        try:
            return float(value)
        except OverflowError as error:
            raise TalkheadError(f"{name} is {shown(value)}, which is too large") from error
    if origin is tuple:
        kinds = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return tuple(fitting(k, v, name) for k, v in zip(kinds, value, strict=True))
    if origin is list:
        return [fitting(parts[0], each, name) for each in value]
    if origin is dict:
        return {fitting(parts[0], k, name): fitting(parts[1], v, name) for k, v in value.items()}
    return value


def _words(kind: Any) -> str:
    """An annotation for people."""
    if get_origin(kind) is Annotated:
        base, *bounds = get_args(kind)
        unit = "" if base in (int, float) else " entries" if base is not str else " characters"
        return f"{_words(base)} of {' and '.join(map(str, bounds))}{unit}"
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(_words(choice) for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return f"tuple[{', '.join(_words(part) for part in get_args(kind))}]"
    if kind is Ellipsis:
        return "..."
    if kind is NoneType:
        return "None"
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
