"""Checkpoints of releases that were damaged or made to harm: nothing of them is run."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import ORIGIN, sentence
from miniatures import mini, mini_config

from talkhead import checkpoint
from talkhead.conversion import convert
from talkhead.errors import TalkheadError
from talkhead.io.torch_file import read_torch


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The contents of a miniature release of FOMM."""
    folder = tmp_path_factory.mktemp("release")
    checkpoint.save(folder / "w.safetensors", mini(mini_config("fomm", image_size=256)), ORIGIN)
    (path,) = convert.export(folder / "w.safetensors", folder / "fomm.pth.tar")
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


@pytest.mark.filterwarnings("ignore:torch.quantize_per:UserWarning", "ignore:Typed:UserWarning")
@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (lambda t: t.to_sparse(), "meta, sparse or quantised"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "meta, sparse or quantised"),
        (lambda t: t.to("meta"), "meta, sparse or quantised"),
        (lambda t: t.to(torch.complex64), "complex64"),
        (lambda t: t.bool(), "bool"),
        (lambda t: torch.zeros(1).expand(2**20, 2**30), "claims"),  # 4 PB of one number
        (lambda t: t * float("inf"), "not finite"),
        (lambda t: t[:2], r"is \(2,\), not \(3,\)"),
        (lambda t: "text", "not a network's weights"),
    ],
)
def test_a_release_with_an_odd_tensor_is_refused(
    odd: Callable[[torch.Tensor], Any], words: str, release: dict[str, Any], tmp_path: Path
) -> None:
    name = "module.final.bias" if "module.final.bias" in release["generator"] else "final.bias"
    state_dict = dict(release["generator"])
    state_dict[name] = odd(state_dict[name])
    path, output = tmp_path / "odd.pth.tar", tmp_path / "w.safetensors"
    torch.save(release | {"generator": state_dict}, path)
    sentence(lambda: convert.convert([path], output))
    with pytest.raises(TalkheadError, match=words):
        convert.convert([path], output)
    assert not output.exists()


def test_strange_names_in_a_release_are_told_without_their_codes(
    release: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "odd.pth.tar"
    odd = {"\x1b[31m" + "a" * 5000: torch.zeros(1)}
    for content in (release | {"generator": release["generator"] | odd}, {"\x1b[31m": odd}, odd):
        torch.save(content, path)
        sentence(lambda: convert.convert([path], tmp_path / "w.safetensors"))


class Nothing:
    """Unpickled, it is not what torch allows."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.nn.Module, ()


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02.",  # pops an empty list
        b"\x80\x02]q\x00e.",
        b"\x80\x02\x8a\xff.",
        b"\x80\x02K\x01Q.",  # a storage that is named by a number
        pickle.dumps(Nothing(), protocol=2),
        pickle.dumps({"a": 1 << 9000}, protocol=2),
        b"",
    ],
)
def test_hostile_pickles_are_refused_without_advice_to_be_less_safe(
    pickled: bytes, release: dict[str, Any], tmp_path: Path
) -> None:
    sound, path = tmp_path / "sound.pth", tmp_path / "odd.pth"
    torch.save(release, sound)
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    sentence(lambda: convert.convert([path], tmp_path / "w.safetensors"))
    path.write_bytes(pickled)
    sentence(lambda: convert.convert([path], tmp_path / "w.safetensors"))


def test_the_tar_format_of_early_torch_is_refused_without_its_advice(tmp_path: Path) -> None:
    path = tmp_path / "early.pth.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))
    assert "without running what it holds" in sentence(lambda: read_torch(path))


def test_a_file_of_another_kind_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert "it is a file of another kind" in sentence(lambda: read_torch(path))


def test_an_archive_that_unpacks_to_more_is_not_unpacked(
    release: dict[str, Any], tmp_path: Path
) -> None:
    sound, path = tmp_path / "sound.pth", tmp_path / "bomb.pth"
    torch.save(release, sound)
    with (
        zipfile.ZipFile(sound) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "compressed" in sentence(lambda: read_torch(path))
