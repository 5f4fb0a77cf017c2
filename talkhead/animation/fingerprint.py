"""What the pixels of a render depend on, as one text that changes when they would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from talkhead.animation.paths import stamps
from talkhead.animation.settings import RenderSettings
from talkhead.motion.template import MotionTemplate
from talkhead.version import __version__

if TYPE_CHECKING:
    from talkhead.inference.engine import Engine


@dataclass(frozen=True)
class Drawing:
    """What tells an `Engine` from those that draw other pixels.

    weights: SHA-256 of them. precision: of weights and features.
    """

    weights: str
    precision: torch.dtype


def fingerprint(
    engine: Engine | Drawing,
    paths: Sequence[Path],
    driving: Path | MotionTemplate,
    settings: RenderSettings,
) -> str:
    """Changes when anything changes that the pixels depend on, which sound does not."""
    shown = {k: v for k, v in asdict(settings).items() if k not in ("sound", "track")}
    facts = {
        "version": __version__,
        "weights": engine.weights,
        "precision": str(engine.precision),
        "settings": shown,
        "inputs": stamps([*paths, driving]),
        "motion": driving.digest() if isinstance(driving, MotionTemplate) else None,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
