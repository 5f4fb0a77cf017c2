"""Our weights: one safetensors file that says how to build its model and where it came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from talkhead import config
from talkhead.config import ModelConfig
from talkhead.errors import TalkheadError
from talkhead.io.tensors import save_tensors
from talkhead.models import Network, build

FORMAT = 1
METADATA_KEY = "talkhead"


@dataclass(frozen=True)
class Provenance:
    """Where weights come from; `talkhead inspect-weights` shows it.

    origin:  a sentence: trained by talkhead on what, or converted from which files.
    licence: of the weights.
    sources: SHA-256 of every converted file by its name.
    notes:   anything else worth keeping: steps, scores.
    """

    origin: str
    licence: str
    sources: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Header:
    """What a weights file says about itself, readable without loading a tensor."""

    config: ModelConfig
    provenance: Provenance


def default_weights() -> Path:
    """The bundled weights: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parent
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "default.safetensors").is_file():
            return folder / "default.safetensors"
    raise TalkheadError(
        "the bundled weights are missing from this installation; reinstall talkhead or pass "
        "--weights FILE"
    )


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(
    path: Path,
    model: Network,
    provenance: Provenance,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model, whole or not at all; `dtype` changes the precision of its float tensors."""
    tensors = {
        name: (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    write(path, tensors, Header(model.config, provenance))


def write(path: Path, tensors: dict[str, Tensor], header: Header) -> None:
    """Write tensors that fit `header.config`, whole or not at all."""
    text = json.dumps(
        {
            "format": FORMAT,
            "config": config.to_dict(header.config),
            "provenance": vars(header.provenance),
        }
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, tensors, {METADATA_KEY: text})
    except (OSError, SafetensorError) as error:
        raise TalkheadError(f"cannot write weights to {path}: {error}") from error


def read_header(path: Path) -> Header:
    """What the file says about itself."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise TalkheadError(f"no weights at {path}") from error
    except (OSError, SafetensorError) as error:
        raise TalkheadError(
            f"{path} is not a talkhead weights file ({error}); official releases are read with "
            "`talkhead convert`"
        ) from error
    if METADATA_KEY not in metadata:
        raise TalkheadError(f"{path} is a safetensors file but was not written by talkhead")
    try:
        values = json.loads(metadata[METADATA_KEY])
        if values["format"] > FORMAT:
            raise TalkheadError(f"{path} was written by a newer talkhead; update to read it")
        return Header(config.from_dict(values["config"]), Provenance(**values["provenance"]))
    except (ValueError, KeyError, TypeError) as error:
        raise TalkheadError(f"{path} has a damaged description of its model: {error}") from error


def load(path: Path) -> tuple[Network, Header]:
    """Build the model that a file describes, in evaluation mode and float32.

    Beside bundled weights lies their SHA-256 (`FILE.sha256`); where there is one it is checked.
    """
    header = read_header(path)
    _check_digest(path)
    try:
        with torch.device("meta"):  # nothing is drawn at random only to be replaced
            model = build(header.config)
    except TalkheadError as error:
        raise TalkheadError(f"{path} describes a model that cannot be built: {error}") from error
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: _single(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TalkheadError(f"{path} is damaged: {error}") from error
    mismatch = describe_mismatch(model, tensors)
    if mismatch:
        raise TalkheadError(f"{path} does not fit the model that it describes: {mismatch}")
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False), header


def describe_mismatch(model: torch.nn.Module, tensors: dict[str, Tensor]) -> str | None:
    """The first tensor that is missing, strange or of another shape; None if all fit."""
    wanted = model.state_dict()
    for name in wanted.keys() - tensors.keys():
        return f"{name} is missing"
    for name, tensor in tensors.items():
        if name not in wanted:
            return f"{name} is not part of it"
        if tensor.shape != wanted[name].shape:
            return f"{name} is {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
    return None


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_digest(path: Path) -> None:
    sidecar = path.with_name(f"{path.name}.sha256")
    if not sidecar.is_file():
        return
    expected = sidecar.read_text().split()[0]
    if sha256(path) != expected:
        raise TalkheadError(f"{path} does not match its SHA-256 in {sidecar.name}; it is damaged")
