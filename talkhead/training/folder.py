"""The folder of a run: whose it is, and what may be deleted in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talkhead.errors import TalkheadError
from talkhead.io.owned import OwnedFolder, delete_own
from talkhead.training.loop.logging import LOSSES, RUN
from talkhead.training.loop.state import STATE, WEIGHTS
from talkhead.training.options import TrainOptions

PICTURES, BOARD = "pictures", "tensorboard"
FILES = re.compile("|".join(map(re.escape, (STATE, WEIGHTS, RUN, LOSSES))))
SHEETS = re.compile(r"\d{7}\.png")
EVENTS = re.compile(r"events\.out\.tfevents\..*")
# What saving leaves when it is killed: our own partial files and those of safetensors.
LEFT_OVER = re.compile(r"\.(state|weights|run|losses|\d{7})\.\d+\.part\.\w+|\.tmp\w{6}")


@contextmanager
def run_folder(options: TrainOptions) -> Iterator[None]:
    """`--out`, ours alone for the length of a run: new, empty, to be resumed or to be replaced.

    What killed runs have left over is deleted, and so is the folder if it stays empty. Raises
    TalkheadError for a folder that is in use, or holds anything that is no run of ours.
    """
    out = options.out
    if out.exists() and not out.is_dir():
        raise TalkheadError(f"{out} is a file; --out takes a folder")
    if options.resume and not (out / STATE).is_file():
        raise TalkheadError(f"nothing to resume in {out}: it has no {STATE}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        owned = OwnedFolder(
            out.resolve(),
            "training run",
            f"another run writes to {out}; wait for it, or choose another --out",
            known=is_unmarked_run(out),
        )
    except OSError as error:
        raise TalkheadError(f"cannot use the folder {out}: {error.strerror}") from error
    try:
        _check(options)
        yield
    finally:
        if owned.is_empty():
            owned.remove()
        owned.release()


def _check(options: TrainOptions) -> None:
    out = options.out
    if (out / STATE).is_file() and not (options.resume or options.overwrite):
        raise TalkheadError(
            f"{out} holds a run already; continue it with --resume, replace it with --overwrite, "
            "or choose another --out"
        )
    for name, path in (("--init", options.init), ("--vgg", options.vgg)):
        if path and not options.resume and path.exists() and _is_replaced(path, out):
            raise TalkheadError(f"{name} {path} is of the run to be replaced; copy it elsewhere")
    for name in (PICTURES, BOARD):
        if (out / name).is_symlink():
            raise TalkheadError(f"{out / name} is a link, which a run does not write to; remove it")
    for folder in (out, out / PICTURES):
        delete_own(folder, LEFT_OVER)


def _is_replaced(path: Path, out: Path) -> bool:
    names = (STATE, WEIGHTS, RUN, LOSSES)
    return any((out / name).exists() and path.samefile(out / name) for name in names)


def clear_run(out: Path) -> None:
    """Remove what an earlier run left; called when nothing can go wrong before the first step."""
    delete_own(out, FILES)
    for folder, names in ((out / PICTURES, SHEETS), (out / BOARD, EVENTS)):
        delete_own(folder, names)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def is_unmarked_run(out: Path) -> bool:
    """Whether a folder holds a run of version 0.1, which did not mark them."""
    if not (out / STATE).is_file() or not (out / RUN).is_file():
        return False
    try:
        facts = json.loads((out / RUN).read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and {"talkhead", "recipe", "steps_done"} <= facts.keys()
