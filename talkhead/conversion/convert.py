"""Official checkpoints: recognise, rename, check; and export back."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talkhead import checkpoint
from talkhead.bundled import sha256
from talkhead.checkpoint import (
    Header,
    Provenance,
    describe_infinite,
    describe_mismatch,
    write,
)
from talkhead.config import FommConfig, ModelConfig, from_dict, preset, to_dict
from talkhead.conversion.names import LAYOUTS
from talkhead.conversion.sizes import DOWN_FACTOR, READERS, State
from talkhead.errors import TalkheadError, shown, told
from talkhead.io.atomic import atomic_path, check_file
from talkhead.io.torch_file import read_torch
from talkhead.models import Network, build
from talkhead.models.blocks import gaussian_kernel

MOST_NAMES, MOST_LETTERS = 6, 100  # in a sentence

# Entries of a release that are no part of the model, ignored on purpose.
IGNORED = re.compile(r"epoch|iter|discriminator|optimizer.*|scheduler.*")


def convert(
    files: Sequence[Path],
    output: Path,
    *,
    align_corners: bool | None = None,
    overwrite: bool = False,
) -> Header:
    """Read an official release from one or two files and write it in our format.

    align_corners: for FOMM, which no file says: how its warps read their grids.

    Raises TalkheadError for files that are no release, and for an output that is one of them or,
    without `overwrite`, exists.
    """
    check_file(output, files, overwrite)
    networks = read_networks(files)
    family = recognise(networks)
    config, tensors = to_ours(family, networks)
    if align_corners is not None:
        if not isinstance(config, FommConfig):
            raise TalkheadError(f"align_corners is a choice for fomm only; this is {family}")
        config = replace(config, align_corners=align_corners)
    layout = LAYOUTS[family]
    same = len({path.name for path in files}) < len(files)
    sources = {f"{p.parent.name}/{p.name}" if same else p.name: sha256(p) for p in files}
    header = Header(config, Provenance(layout.origin, layout.licence, sources))
    write(output, tensors, header, overwrite)
    return header


def export(weights: Path, output: Path, overwrite: bool = False) -> list[Path]:
    """Write our weights as their family's official release; returns the files written.

    output: a file, or a folder, in which the files get the release's own names.
    """
    model, header = checkpoint.load(weights)
    family = header.config.family
    layout = LAYOUTS[family]
    try:
        networks = to_official(model)
        _check_expressible(header.config, to_ours(family, networks)[0])
    except TalkheadError as error:
        raise TalkheadError(
            f"{weights} has no official layout: the {family} release knows its full model only "
            f"({error})"
        ) from error
    is_file = bool(output.suffix) and not output.is_dir()
    if is_file and len(layout.files) > 1:
        names = " and ".join(layout.files)
        raise TalkheadError(f"the {family} release is {names}: give a folder, not {output}")
    targets = {name: output if is_file else output / name for name in layout.files}
    for target in targets.values():
        check_file(target, [weights], overwrite)
    written = []
    for name, entries in layout.files.items():
        content: dict[str, Any] = {
            entry: {layout.prefix + key: tensor for key, tensor in networks[network].items()}
            for entry, network in entries.items()
            if network in networks
        }
        if "params" not in entries:
            content["epoch"] = 0  # the other three releases' loaders return it
        written.append(_save_torch(content, targets[name], overwrite))
    return written


def _save_torch(content: dict[str, Any], path: Path, overwrite: bool) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, overwrite) as partial:
            torch.save(content, partial)
    except (OSError, RuntimeError) as error:
        raise TalkheadError(f"cannot write {path}: {error}") from error
    return path


def read_networks(files: Sequence[Path]) -> dict[str, State]:
    """The networks in the files of one release, by the release's names for them."""
    networks: dict[str, State] = {}
    for path in files:
        content = read_torch(path)
        state = content.get("params_ema", content.get("params"))
        if state is None and any(isinstance(value, Tensor) for value in content.values()):
            state = content
        found = content if state is None else {_codebook_network(state): state}
        for name, tensors in found.items():
            if not isinstance(name, str) or IGNORED.fullmatch(name):
                continue
            if name in networks:
                raise TalkheadError(f"{path} is the second file with the network {shown(name)}")
            networks[name] = strip_module(_checked_state(tensors, name, path))
    return networks


def _codebook_network(state: Any) -> str:
    """Which of its two networks a file of the codebook release holds."""
    keys = [str(key).removeprefix("module.") for key in state] if isinstance(state, dict) else []
    is_estimator = any(key.startswith(("kp_detector.", "dense_motion_network.")) for key in keys)
    return "motion_estimator" if is_estimator else "net_g"


def _checked_state(tensors: Any, name: str, path: Path) -> State:
    is_state = isinstance(tensors, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in tensors.items()
    )
    if not is_state:
        raise TalkheadError(f"{path}: its entry {shown(name)} is not a network's weights")
    for key, tensor in tensors.items():
        if strange := _strangeness(tensor):
            raise TalkheadError(f"{path}: {shown(name)} has a tensor {shown(key)} that {strange}")
    return tensors


def _strangeness(tensor: Tensor) -> str | None:
    """Why a tensor is none of a release: they hold plain numbers, in full."""
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
        return "is meta, sparse or quantised"
    if not (tensor.is_floating_point() or tensor.dtype == torch.int64):
        return f"holds {tensor.dtype}"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"claims {tensor.numel()} numbers and has fewer"
    return None


def strip_module(state: Mapping[str, Tensor]) -> State:
    """Drop the prefix of a wrapper for distributed training, if all keys have it."""
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return dict(state)


def flatten(networks: Mapping[str, State]) -> State:
    """One dict of all tensors, each key led by its network."""
    return {
        f"{name}.{key}": tensor for name, state in networks.items() for key, tensor in state.items()
    }


def recognise(networks: Mapping[str, State]) -> str:
    """The family of a release, by its networks and their telling keys."""
    keys = flatten(networks).keys()
    if "net_g" in networks or "motion_estimator" in networks:
        family = "codebook"
    elif "inpainting_network" in networks:
        family = "tpsmm"
    elif any(key.startswith("generator.mbUnit.") for key in keys):
        family = "mcnet"
    else:
        family = "fomm"
    layout = LAYOUTS[family]
    if networks.keys() - layout.networks or not keys & official_keys(preset(family)):
        raise TalkheadError(_stranger(networks))
    missing = layout.networks - networks.keys() - set(layout.optional)
    if missing:
        where = [file for file, entries in layout.files.items() if missing & set(entries.values())]
        raise TalkheadError(
            f"this is a part of the {family} release; {_list(missing)} is missing, "
            f"which comes in {_list(where)}"
        )
    return family


def _stranger(networks: Mapping[str, State]) -> str:
    keys = flatten(networks).keys()
    shared = {family: len(keys & official_keys(preset(family))) for family in LAYOUTS}
    nearest = max(shared, key=lambda family: shared[family])
    likeness = (
        f"the nearest is {nearest}, with {shared[nearest]} of {len(keys)} tensors in common"
        if shared[nearest]
        else "it has no tensor in common with any of them"
    )
    found = f"found {_list(networks)} (with {_plain(min(keys))})" if keys else "found no network"
    return f"this is none of the known releases ({', '.join(LAYOUTS)}): {found}; {likeness}"


def _list(names: Iterable[str]) -> str:
    several = sorted(map(_plain, names))
    more = [f"{len(several) - MOST_NAMES} more"] if len(several) > MOST_NAMES else []
    return ", ".join(several[:MOST_NAMES] + more) or "nothing"


def _plain(name: Any) -> str:
    """A name as it is, where a terminal can show it."""
    text = str(name)
    return text if text.isprintable() and len(text) <= MOST_LETTERS else shown(text)


def to_ours(family: str, networks: Mapping[str, State]) -> tuple[ModelConfig, State]:
    """A release's networks as a configuration and our tensors; every key is used exactly once."""
    layout, given = LAYOUTS[family], flatten(networks)
    try:
        config = from_dict(to_dict(READERS[family](given)))  # by the schema that all files obey
        with torch.device("meta"):
            model = build(config)
    except (KeyError, IndexError) as error:
        raise TalkheadError(
            f"this looks like the {family} release, but lacks {told(error)}"
        ) from error
    except (TalkheadError, ArithmeticError, ValueError) as error:
        raise TalkheadError(
            f"this looks like the {family} release, but its sizes make no model: {told(error)}"
        ) from error
    for name in layout.kernels:
        kernel = given.pop(name, None)
        expected = gaussian_kernel(DOWN_FACTOR)
        if kernel is not None and not (
            kernel.shape == (3, 1, *expected.shape)
            and torch.allclose(kernel[:, 0].float(), expected, atol=1e-6)
        ):
            raise TalkheadError(f"{name} is not the anti-alias kernel of the release")
    names = official_names(model)
    _compare(family, given, names)
    wanted = model.state_dict()
    tensors = {ours: _reshape(given[theirs], wanted[ours].shape) for ours, theirs in names.items()}
    mismatch = describe_mismatch(model, tensors) or describe_infinite(tensors)
    if mismatch:
        raise TalkheadError(f"the checkpoint does not fit the model that it looks like: {mismatch}")
    return config, tensors


def _compare(family: str, given: State, names: Mapping[str, str]) -> None:
    strange = given.keys() - set(names.values())
    missing = set(names.values()) - given.keys()
    if strange or missing:
        parts = [
            f"{len(keys)} tensors {what} (as {_plain(min(keys))})"
            for what, keys in (("unknown there", strange), ("missing", missing))
            if keys
        ]
        raise TalkheadError(f"this is nearest to the {family} release, but {' and '.join(parts)}")


def _reshape(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Drop or add dimensions of one: a 1 x 1 convolution is a linear map."""
    same = [n for n in tensor.shape if n != 1] == [n for n in shape if n != 1]
    return (tensor.reshape(shape) if same else tensor).contiguous()


def official_names(model: Network) -> dict[str, str]:
    """Our names -> the release's; a tensor that no release has is an error."""
    config = model.config
    sizes = [config.image_size >> i for i in reversed(range(len(config.channels)))]
    names = {}
    for ours in model.state_dict():
        theirs = LAYOUTS[config.family].official_name(ours, sizes)
        if theirs is None:
            raise TalkheadError(f"no place for {ours}")
        names[ours] = theirs
    return names


@functools.cache
def official_keys(config: ModelConfig) -> frozenset[str]:
    """All keys of a release."""
    with torch.device("meta"):
        model = build(config)
    return frozenset((*official_names(model).values(), *LAYOUTS[config.family].kernels))


def to_official(model: Network) -> dict[str, State]:
    """Our tensors as the release's networks, anti-alias kernels included."""
    config = model.config
    layout = LAYOUTS[config.family]
    sizes = [config.image_size >> i for i in reversed(range(len(config.channels)))]
    pointwise = {name.format(*sizes) for name in layout.pointwise}
    flat = {name: gaussian_kernel(DOWN_FACTOR).repeat(3, 1, 1, 1) for name in layout.kernels}
    state = model.state_dict()
    for ours, theirs in official_names(model).items():
        tensor = state[ours]
        if theirs in pointwise:
            tensor = tensor[:, :, None, None]
        elif theirs in layout.stacked:
            tensor = tensor[None]
        flat[theirs] = tensor
    networks: dict[str, State] = {}
    for name, tensor in flat.items():
        network, key = name.split(".", 1)
        networks.setdefault(network, {})[key] = tensor
    return networks


def _check_expressible(ours: ModelConfig, theirs: ModelConfig) -> None:
    """The layout holds no settings, so one that it implies otherwise would be lost in silence."""
    ours, theirs = _settle(ours), _settle(theirs)
    for field in fields(ours):
        mine, implied = getattr(ours, field.name), getattr(theirs, field.name)
        if mine != implied:
            raise TalkheadError(f"it cannot express {field.name} = {mine}, only {implied}")


def _settle(config: Any) -> Any:
    """Without what a release leaves to its user, and with limits that never bite made equal."""
    unsaid = {"image_size": 0, "align_corners": False, "dropout": 0.0}
    values = {
        field.name: unsaid.get(field.name, getattr(config, field.name)) for field in fields(config)
    }
    for name in ("keypoints", "dense_motion"):
        if name in values:
            part = values[name]
            widest = min(part.max_channels, part.base_channels << part.num_blocks)
            values[name] = replace(part, max_channels=widest)
    if "keypoints" in values:
        values["keypoints"] = replace(values["keypoints"], landmarks=False)
    if values.get("memory"):
        values["memory"] = replace(values["memory"], noise=False)
    return type(config)(**values)
