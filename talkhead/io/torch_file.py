"""Torch files, read without running anything that they hold."""

from __future__ import annotations

import pickle
import re
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from talkhead.errors import TalkheadError, is_out_of_memory, told

# What torch says of unsafe reading, in whatever words; nobody should follow it here.
ADVICE = re.compile(r"weights_only|safe_globals|trust|arbitrary code", re.IGNORECASE)


def read_torch(path: Path) -> dict[str, Any]:
    """Read a torch file without running anything that it holds: the only `torch.load` here."""
    if path.is_dir():
        raise TalkheadError(
            f"{path} is a folder; give the file as downloaded (a .pth.tar is no archive to unpack)"
        )
    if path.suffix == ".safetensors" and path.exists():
        raise TalkheadError(
            f"{path} is no torch checkpoint of a release; talkhead's own weights are used as they "
            "are, with --weights"
        )
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of formats that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TalkheadError(f"no file {path}") from error
    except OSError as error:
        raise TalkheadError(f"{path} cannot be read: {error.strerror or told(error)}") from error
    except pickle.UnpicklingError as error:
        raise TalkheadError(
            f"{path} is no torch checkpoint, damaged, or holds more than tensors and plain "
            f"containers, so nothing in it was used{_unpickler_complaint(str(error))}"
        ) from error
    except Exception as error:  # a hostile pickle can have the reader raise whatever it likes
        raise TalkheadError(
            f"{path} is not a readable torch checkpoint: {_cause(error)}"
        ) from error
    if not isinstance(content, dict):
        raise TalkheadError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def _check_archive(path: Path) -> None:
    """Refuse other kinds of files, and packed ones: they may unpack to more than memory holds."""
    if not path.is_file() and path.exists():
        raise TalkheadError("it is not a file")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            is_pickle = file.read(1) == b"\x80"  # the format before torch 1.6
        if not is_pickle and not tarfile.is_tarfile(path):  # that before torch 0.1.10
            raise TalkheadError("it is a file of another kind; give the checkpoint as downloaded")
        return
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise TalkheadError("its parts are compressed, which torch does not do")
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise TalkheadError("its parts claim more than the file holds")


def _cause(error: Exception) -> str:
    if is_out_of_memory(error):
        return "it claims tensors for which there is no memory"
    if isinstance(error, TalkheadError):
        return str(error)
    if isinstance(error, AssertionError | LookupError | EOFError):
        return "it is damaged, or no checkpoint; fetch it again"
    if ADVICE.search(str(error)):  # so it is with the archives of torch before 0.1.10
        return "it is of a kind that cannot be read without running what it holds"
    return told(error)


def _unpickler_complaint(text: str) -> str:
    """What the safe unpickler stumbled over, in brackets, without its advice to be less safe."""
    found = re.search(r"WeightsUnpickler error: ([^\n]*)", text)
    complaint = (found[1] if found else text.partition("\n")[0]).split(" was not an allowed")[0]
    if not complaint.strip() or ADVICE.search(complaint):
        return ""
    return f" ({told(ValueError(complaint))})"
