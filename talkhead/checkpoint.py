"""Our weights: one safetensors file that says how to build its model and where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from talkhead import config
from talkhead.bundled import bundled, check_digest
from talkhead.config import ModelConfig
from talkhead.errors import TalkheadError, shown
from talkhead.io.tensors import read_outline, read_tensors, save_tensors
from talkhead.models import Network, build
from talkhead.schema import fitting, read_dataclass, read_json

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
    """The bundled weights. Raises TalkheadError where they are missing."""
    return bundled("default.safetensors")


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


def write(path: Path, tensors: dict[str, Tensor], header: Header, overwrite: bool = True) -> None:
    """Write tensors that fit `header.config`, whole or not at all.

    Raises TalkheadError where another file is there, unless `overwrite` is set.
    """
    text = json.dumps(
        {
            "format": FORMAT,
            "config": config.to_dict(header.config),
            "provenance": vars(header.provenance),
        }
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, tensors, {METADATA_KEY: text}, overwrite)
    except (OSError, SafetensorError) as error:
        raise TalkheadError(f"cannot write weights to {path}: {error}") from error


def read_header(path: Path) -> Header:
    """What the file says about itself."""
    return _describe(path, _read(read_outline, path).metadata)


def load(path: Path) -> tuple[Network, Header]:
    """Build the model that a file describes, in evaluation mode and float32.

    The description is compared with the shapes that are there before numbers are read. Beside
    bundled weights lies their SHA-256 (`FILE.sha256`); where there is one it is checked.
    """
    outline = _read(read_outline, path)
    header = _describe(path, outline.metadata)
    try:
        with torch.device("meta"):  # nothing is drawn at random only to be replaced
            model = build(header.config)
    except TalkheadError as error:
        raise TalkheadError(f"{path} describes a model that cannot be built: {error}") from error
    mismatch = _describe_shapes(model, outline.shapes)
    if not mismatch:
        stored = _read(lambda path: read_tensors(path, outline), path)
        check_digest(path, stored.digest)
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in stored.tensors.items()
        }
        mismatch = describe_mismatch(model, tensors) or describe_infinite(tensors)
    if mismatch:
        raise TalkheadError(f"{path} does not fit the model that it describes: {mismatch}")
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False), header


T = TypeVar("T")


def _read(how: Callable[[Path], T], path: Path) -> T:
    try:
        return how(path)
    except FileNotFoundError as error:
        raise TalkheadError(f"no weights at {path}") from error
    except TalkheadError as error:
        raise TalkheadError(
            f"{path} is not a talkhead weights file or is damaged ({error}); official releases are "
            "read with `talkhead convert`"
        ) from error


def _describe(path: Path, metadata: Mapping[str, str]) -> Header:
    """The description in a file's header, checked."""
    if METADATA_KEY not in metadata:
        raise TalkheadError(f"{path} is a safetensors file but was not written by talkhead")
    try:
        values = read_json(metadata[METADATA_KEY])
        version = values.get("format") if isinstance(values, dict) else None
        newer = fitting(int, version, "format") > FORMAT
        provenance = None if newer else read_dataclass(Provenance, values.get("provenance"))
    except TalkheadError as error:
        raise TalkheadError(f"{path} has a damaged description: {error}") from error
    if provenance is None:
        raise TalkheadError(f"{path} was written by a newer talkhead; update to read it")
    try:
        return Header(config.from_dict(values.get("config")), provenance)
    except TalkheadError as error:
        raise TalkheadError(f"{path} describes a model that cannot be built: {error}") from error


def describe_mismatch(model: torch.nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """The first tensor that is missing, strange or of another shape or type; None if all fit."""
    mismatch = _describe_shapes(model, {name: tuple(t.shape) for name, t in tensors.items()})
    if mismatch:
        return mismatch
    for name, wanted in model.state_dict().items():
        given = tensors[name].dtype
        floats = given.is_floating_point and wanted.is_floating_point()
        if not floats and given != wanted.dtype:
            return f"{name} is of {given}, not {wanted.dtype}"
    return None


def describe_infinite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first tensor that holds an infinity or NaN; None if all numbers are finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            return f"{name} holds numbers that are not finite"
    return None


def _describe_shapes(model: torch.nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in wanted.keys() - shapes.keys():
        return f"{name} is missing"
    for name, shape in shapes.items():
        if name not in wanted:
            return f"{shown(name)} is not part of it"
        if shape != wanted[name]:
            return f"{name} is {shape}, not {wanted[name]}"
    return None
