"""The settings as a form: what can be chosen, what contradicts what, and the command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_type_hints

from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.options import MOST, OptionField, bounds_of, option_fields

# Settings that mean nothing on the page: it takes no sequences of pictures.
HIDDEN = ("rate", "hardware")
# Shown only on request; all others at once, so that a new setting is seen.
ADVANCED = (
    "adapt_scale", "crop_source", "crop_driving", "face", "driving_face", "detector", "max_side",
    "start", "end", "frames", "sound", "track", "video_track", "codec", "crf", "preset",
)  # fmt: skip
WHOLE = (1, 0, 256)
# By kind of control, values that are tried to learn whether a setting can be changed at all.
PROBES: dict[str, tuple[object, ...]] = {
    "whole": WHOLE,
    "whole or word": WHOLE,
    "number": (0.5, 0.0),
    "text": ("none", "first"),
}


@dataclass(frozen=True)
class Control:
    """One setting as the page shows it, and as the command line spells it.

    kind: choice, switch, whole, "whole or word", number or text. choices: the values of a choice.
    flag: such as `--smooth`; off: the flag that turns a switch off. minimum, maximum: of a number.
    """

    name: str
    kind: str
    default: object
    optional: bool
    advanced: bool
    help: str
    flag: str
    off: str | None
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None


def controls() -> list[Control]:
    """A control for every setting, in their order."""
    return [_control(each) for each in option_fields(RenderSettings) if each.name not in HIDDEN]


def _control(setting: OptionField) -> Control:
    annotation = get_type_hints(RenderSettings)[setting.name]
    word = setting.name.replace("_", "-")
    kind = _kind(annotation)
    bounds = bounds_of(setting.kind)
    return Control(
        setting.name,
        kind,
        setting.default,
        type(None) in get_args(annotation),
        setting.name in ADVANCED,
        setting.option.help,
        setting.flag,
        f"--no-{word}" if setting.default is True else None,
        get_args(annotation) if kind == "choice" else (),
        bounds.least if bounds and bounds.least > -MOST else None,
        bounds.most if bounds and bounds.most < MOST else None,
    )


def _kind(annotation: Any) -> str:
    wanted = _plain_types(annotation)
    if str in wanted:
        if int in wanted:
            return "whole or word"
        return "text" if annotation is str or str in get_args(annotation) else "choice"
    return {bool: "switch", int: "whole", float: "number"}[wanted[0]]


def _plain_types(annotation: Any) -> list[type]:
    """`int | None` -> [int]; a Literal -> the types of its values."""
    parts = get_args(annotation) or (annotation,)
    plain: list[type] = []
    for part in parts:
        if part is type(None):
            continue
        if isinstance(part, type):
            plain.append(part)
        elif get_args(part):
            plain += _plain_types(part)
        else:
            plain.append(type(part))
    return plain


def read_settings(values: dict[str, Any]) -> RenderSettings:
    """Settings from the page's JSON. Raises TalkheadError for what they do not take."""
    types = get_type_hints(RenderSettings)
    known = {}
    for name, value in values.items():
        if name not in types:
            raise TalkheadError(f"there is no setting {name!r}; reload the page")
        wanted = _plain_types(types[name])
        if isinstance(value, str) and int in wanted and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and float in wanted:
            value = float(value)
        optional = type(None) in get_args(types[name])
        if not (value is None and optional) and type(value) not in wanted:
            kinds = " or ".join(sorted({kind.__name__ for kind in wanted}))
            raise TalkheadError(f"{name.replace('_', ' ')} is {kinds}, not {value!r}")
        known[name] = value
    return RenderSettings(**known)


def impossible(settings: RenderSettings, forms: Iterable[Control]) -> dict[str, dict[str, str]]:
    """What cannot be chosen beside these settings, and why: {setting: {value: sentence}}.

    The value is "*" where a setting cannot be changed at all.
    """
    found: dict[str, dict[str, str]] = {}
    for control in forms:
        now = getattr(settings, control.name)
        if control.kind in ("choice", "switch"):
            values = control.choices or (not now,)
            refused = {_text(v): _refusal(settings, control.name, v) for v in values if v != now}
            refused = {value: why for value, why in refused.items() if why}
        else:
            refused = _refused_at_all(settings, control)
        if refused:
            found[control.name] = refused  # type: ignore[assignment]
    return found


def _refused_at_all(settings: RenderSettings, control: Control) -> dict[str, str | None]:
    if getattr(settings, control.name) != control.default:
        return {}  # it can at least be given back
    reasons = [_refusal(settings, control.name, value) for value in PROBES[control.kind]]
    return {"*": reasons[-1]} if all(reasons) else {}


def _refusal(settings: RenderSettings, name: str, value: object) -> str | None:
    try:
        replace(settings, **{name: value})  # type: ignore[arg-type]
    except TalkheadError as error:
        return str(error)
    return None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def command_line(
    inputs: Sequence[str],
    output: str,
    settings: RenderSettings,
    more: Sequence[str] = (),
) -> str:
    """The `talkhead animate` command that makes the same file."""  # fmt: skip
    words = ["talkhead", "animate", *inputs, "-o", output]
    for control in controls():
        value = getattr(settings, control.name)
        if value == control.default:
            continue
        if isinstance(value, bool):
            words.append(control.flag if value else control.off or control.flag)
        else:
            words += [control.flag, str(value)]
    return shlex.join([*words, *more])
