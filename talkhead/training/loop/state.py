"""The state of a run, to resume it exactly, in one file beside the weights."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead import checkpoint, config
from talkhead.checkpoint import Provenance
from talkhead.config import ModelConfig, from_dict
from talkhead.errors import TalkheadError, told
from talkhead.io.atomic import atomic_path
from talkhead.io.torch_file import read_torch
from talkhead.models import Network
from talkhead.schema import Range, fitting, read_dataclass, read_json
from talkhead.training.loop.trainer import Trainer
from talkhead.training.optimizer import restore_memory
from talkhead.training.recipes.recipe import Recipe, current_names

log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"
STATE = "state.pt"
NO_ROOM = 1 << 20  # bytes: a disk with less is full


def save(folder: Path, trainer: Trainer, step: int, seconds: float, provenance: Provenance) -> None:
    """Write the averaged weights, which `animate` reads, and the state, which `resume` reads.

    Each file appears whole or not at all. `step` counts the steps done, `seconds` their time.
    Raises TalkheadError when the disk is full; what was saved before stays.
    """
    content: dict[str, Any] = {
        "step": step,
        "seconds": seconds,
        "seed": trainer.seed,
        "skipped": trainer.skipped,
        "config": json.dumps(config.to_dict(trainer.model.config)),
        "recipe": json.dumps(asdict(trainer.recipe)),
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
    }
    if trainer.average.decay:
        content["average"] = trainer.average.model.state_dict()
    if trainer.adversarial is not None:
        content |= trainer.adversarial.state()
    with _saving_into(folder), atomic_path(folder / STATE) as partial:
        torch.save(content, partial)
        checkpoint.save(folder / WEIGHTS, trainer.average.model, provenance)


def save_finished(folder: Path, trainer: Trainer, provenance: Provenance) -> None:
    """Write the averaged weights alone, changed as a run's end does; the state stays as it was.

    So a finished run that is resumed goes on from what it had learned. Raises like `save`.
    """
    with _saving_into(folder):
        checkpoint.save(folder / WEIGHTS, trainer.average.model, provenance)


@contextmanager
def _saving_into(folder: Path) -> Iterator[None]:
    """Say what went wrong, and what is left."""
    try:
        yield
    except (OSError, RuntimeError, TalkheadError) as error:
        full = shutil.disk_usage(folder).free < NO_ROOM
        why = "no space is left on the disk" if full else str(error)
        if (folder / STATE).is_file():
            left = "the checkpoint before is untouched: make room and go on with --resume"
        else:
            left = "nothing has been saved yet: make room and begin again"
        raise TalkheadError(f"cannot save into {folder}: {why}; {left}") from error


def check_room(folder: Path, trainer: Trainer) -> None:
    """Raise TalkheadError when the disk is too full for the checkpoints of a run.

    A checkpoint is written beside the one before it, so there must be room for both.
    """
    numbers = sum(t.numel() for t in trainer.model.state_dict().values())
    copies = 3 + 1 + bool(trainer.average.decay)  # raw, Adam's two, weights for `animate`; average
    judge = trainer.adversarial.discriminator.state_dict() if trainer.adversarial else {}
    numbers = copies * numbers + 3 * sum(t.numel() for t in judge.values())
    held = sum(f.stat().st_size for f in (folder / STATE, folder / WEIGHTS) if f.is_file())
    need, free = 2 * 4 * numbers, shutil.disk_usage(folder).free + held
    if need > free:
        raise TalkheadError(
            f"{folder} has room for {free / 1e6:.0f} MB, but checkpoints of this run take "
            f"{need / 1e6:.0f} MB; make room or choose another --output"
        )


def read(folder: Path, model_config: ModelConfig, recipe: Recipe) -> dict[str, Any]:
    """What `save` wrote, for `restore`; changes of the recipe are said.

    Raises TalkheadError when there is nothing, or when it is of another model.
    """
    path = folder / STATE
    if not path.is_file():
        raise TalkheadError(f"nothing to resume in {folder}: it has no {STATE}")
    content = read_torch(path)
    try:
        names = {field.name for field in fields(Facts)}
        facts = read_dataclass(Facts, {key: content[key] for key in names & content.keys()})
        was = from_dict(read_json(facts.config))
        recipe_then = fitting(dict[str, Any], read_json(facts.recipe), "recipe")
        old_recipe = read_dataclass(Recipe, current_names(recipe_then))
    except TalkheadError as error:
        raise TalkheadError(f"{path} is damaged: {error}") from error
    _compare(path, (was, old_recipe), (model_config, recipe))
    return content


@dataclass(frozen=True)
class Facts:
    """What a state says beside its tensors."""

    step: Annotated[int, Range(0, 10**12)]
    seconds: Annotated[float, Range(0, 1e12)]
    seed: Annotated[int, Range(-(2**63), 2**64)]
    skipped: Annotated[int, Range(0, 10**12)]
    config: str
    recipe: str


def restore(content: dict[str, Any], trainer: Trainer) -> tuple[int, float]:
    """Put what was read into a trainer built by the same command; steps and seconds done."""
    try:
        _check_tensors("model", trainer.model, content.get("model"))
        trainer.model.load_state_dict(content["model"])
        restore_memory(trainer.optimizer, content["optimizer"])
        if content["scaler"]:  # a run in other precisions had none
            trainer.scaler.load_state_dict(content["scaler"])
        if trainer.average.decay:
            average = content.get("average", content["model"])
            _check_tensors("average", trainer.average.model, average)
            trainer.average.model.load_state_dict(average)
        if trainer.adversarial is not None:
            trainer.adversarial.restore(content)
        trainer.skipped = content["skipped"]
        trainer.seed = content["seed"]
        return content["step"], content["seconds"]
    except TalkheadError as error:
        raise TalkheadError(f"the state to resume is damaged: {error}") from error
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:
        raise TalkheadError(f"the state to resume is damaged: {told(error)}") from error


def _check_tensors(name: str, model: nn.Module, state: Any) -> None:
    """Raise TalkheadError unless these are the tensors of the model."""
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise TalkheadError(f"its {name} is no set of tensors")
    if mismatch := checkpoint.describe_mismatch(model, state):
        raise TalkheadError(f"in its {name}, {mismatch}")


def _compare(path: Path, then: tuple[ModelConfig, Recipe], now: tuple[ModelConfig, Recipe]) -> None:
    """The model must be the same; changes of the recipe are said."""
    for name, old, new in differences(asdict(then[0]), asdict(now[0])):
        raise TalkheadError(
            f"{path} is of another model: {name} is {old} there and {new} here; give "
            "the preset and settings that it was begun with, or begin a new run with --init"
        )
    for name, old, new in differences(asdict(then[1]), asdict(now[1])):
        log.warning("the recipe has changed since: %s was %s and is now %s", name, old, new)


def differences(was: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """(name, old, new) of every plain value in which two nested dicts differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        found = []
        # The family first: all else follows from it.
        for key in sorted(was.keys() | now.keys(), key=lambda key: (key != "family", key)):
            inner = f"{name}.{key}" if name else key
            found += differences(was.get(key), now.get(key), inner)
        return found
    return [] if was == now else [(name, was, now)]


def initialise(model: Network, path: Path, parts: tuple[str, ...] = ()) -> set[str]:
    """Take from other weights all tensors that fit.

    Position embeddings are resized, and a model with more keypoints moves almost as the other did
    until it learns to use them. parts: beginnings of the names of those to be taken; empty: all.
    Returns the names of the tensors that start anew. Raises TalkheadError when none fits.
    """
    other, own = checkpoint.load(path)[0].state_dict(), model.state_dict()
    fitting = {
        name: resized
        for name, tensor in other.items()
        if name in own
        and name.startswith(parts or "")
        and (resized := _fit(name, tensor, own[name])) is not None
    }
    if not fitting:
        named = f" and is of {', '.join(parts)}" if parts else ""
        raise TalkheadError(f"--init {path}: no tensor of it fits this model{named}")
    model.load_state_dict(fitting, strict=False)
    if not parts and (left := sorted(other.keys() - own.keys())):
        log.warning(
            "--init: %d of its tensors have no place in this model, such as %s; without --preset "
            "the model is that of the weights",
            len(left),
            left[0],
        )
    missing = sorted(own.keys() - fitting.keys())
    if missing:
        log.warning(
            "--init: %d of %d tensors taken; the others start anew, such as %s",
            len(fitting),
            len(own),
            missing[0],
        )
    return set(missing)


UNLIKELY = -5.0  # log-weight of candidate motions that are new
# What has a width of the number of keypoints, or of what is drawn; those of other weights come
# first.
WIDENED = ("keypoint_detector.", "dense_motion.", "motion.keypoint_query.", "decoder.out.")


def _fit(name: str, tensor: Tensor, own: Tensor) -> Tensor | None:
    """The tensor in the shape of our own, or None."""
    shape = own.shape
    if tensor.shape == shape:
        return tensor
    if name.startswith(WIDENED) and tensor.ndim == own.ndim:
        return _widen(name, tensor, own)
    if not name.endswith("position") or tensor.shape[1] != shape[1]:
        return None
    old, new = int(tensor.shape[0] ** 0.5), int(shape[0] ** 0.5)
    square = tensor.T.reshape(1, -1, old, old)
    resized = F.interpolate(square, (new, new), mode="bilinear", align_corners=True)
    return resized.flatten(2)[0].T.contiguous()


def _widen(name: str, tensor: Tensor, own: Tensor) -> Tensor | None:
    """Our own tensor with the other in its first rows and columns; what is new is not heard yet."""
    if any(small > large for small, large in zip(tensor.shape, own.shape, strict=True)):
        return None
    wide = own.clone()
    if own.ndim > 1:
        wide[:, tensor.shape[1] :] = 0
    if name.startswith("dense_motion.mask."):  # one row for each candidate motion
        wide[tensor.shape[0] :] = 0 if own.ndim > 1 else UNLIKELY
    wide[tuple(slice(size) for size in tensor.shape)] = tensor
    return wide


def count_parameters(model: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(p.numel() for p in model.parameters())
