"""The settings as a form: what can be chosen, what contradicts what, and the command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.options import MOST, OptionField, option_fields

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
    kind, bounds = setting.kind, setting.kind.bounds
    names = {bool: "switch", int: "whole", float: "number", str: "text", None: "choice"}
    return Control(
        setting.name,
        "whole or word" if kind.base is int and kind.words else names[kind.base],
        setting.default,
        kind.optional,
        setting.name in ADVANCED,
        setting.option.help,
        setting.flag,
        f"--no-{setting.name.replace('_', '-')}" if setting.default is True else None,
        () if kind.base else kind.words,
        bounds.least if bounds and bounds.least > -MOST else None,
        bounds.most if bounds and bounds.most < MOST else None,
    )


def read_settings(values: dict[str, Any]) -> RenderSettings:
    """Settings from the page's JSON. Raises TalkheadError for what they do not take."""
    bases = {setting.name: setting.kind.base for setting in option_fields(RenderSettings)}
    known = {}
    for name, value in values.items():
        if name not in bases:
            raise TalkheadError(f"there is no setting {name!r}; reload the page")
        if bases[name] is int and isinstance(value, str) and value.isdecimal():
            value = int(value)
        if bases[name] is float and type(value) is int:
            value = float(value)
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
            others = {_text(v): {control.name: v} for v in values if v != now}
            refused = {
                v: why for v, o in others.items() if (why := refusal(replace, settings, **o))
            }
        else:
            refused = _refused_at_all(settings, control)
        if refused:
            found[control.name] = refused
    return found


def _refused_at_all(settings: RenderSettings, control: Control) -> dict[str, str]:
    if getattr(settings, control.name) != control.default:
        return {}  # it can at least be given back
    tried = ({control.name: value} for value in PROBES[control.kind])
    reasons = [refusal(replace, settings, **each) for each in tried]
    return {"*": reasons[-1]} if all(reasons) else {}


def refusal(check: Callable[..., object], *values: object, **named: object) -> str:
    """Why a call is refused; empty where it is not."""
    try:
        check(*values, **named)
    except TalkheadError as error:
        return str(error)
    return ""


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
