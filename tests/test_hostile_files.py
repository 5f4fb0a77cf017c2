"""Files that were damaged or made to harm: each is refused in one sentence, and nothing else."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from media import make_pictures
from miniatures import mini, mini_config
from safetensors.torch import load as load_tensors
from safetensors.torch import save as pack_tensors
from typer.testing import CliRunner

from talkhead import checkpoint, config
from talkhead.benchmark.table import read_result
from talkhead.checkpoint import METADATA_KEY, Provenance
from talkhead.cli import app
from talkhead.conversion import convert
from talkhead.data.landmarks import read_landmarks
from talkhead.errors import TalkheadError, shown, told
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.published import read_published
from talkhead.io.torch_file import read_torch
from talkhead.motion.template import MotionTemplate, load_motion, save_motion
from talkhead.schema import read_json
from talkhead.structs import Keypoints
from talkhead.training.loop import state
from talkhead.training.loop.logging import LOSSES, RUN, RunLog
from talkhead.training.recipes.recipe import Recipe

ORIGIN = Provenance("made by a test", "MIT")
DEEP = "[" * 100_000 + "]" * 100_000
ADVICE = ("weights_only", "allow_pickle", "safe_globals")


def sentence(read: Callable[[], object]) -> str:
    """What is said of a file; it is one line that a terminal can show, and gives no bad advice."""
    with pytest.raises(TalkheadError) as caught:
        read()
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 800
    assert not any(word in text for word in ADVICE)
    return text


def test_values_from_files_are_told_short_and_without_control_codes() -> None:
    assert shown("\x1b[31m\n") == "'\\x1b[31m\\n'"
    assert len(shown("a" * 10_000)) < 100
    assert shown(1 << 20_000) == "a number of 20001 bits"
    assert told(ValueError("bad\nuse weights_only=False")) == "bad"
    with pytest.raises(TalkheadError, match="nested too deeply"):
        read_json(DEEP)


# Weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "w.safetensors", mini("codebook"), ORIGIN)
    return tmp_path / "w.safetensors"


def describe(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Give a weights file another description."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    text = change(json.loads(header["__metadata__"][METADATA_KEY]))
    header["__metadata__"][METADATA_KEY] = text if isinstance(text, str) else json.dumps(text)
    packed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + data[8 + length :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: None, "damaged description"),
        (lambda d: [d], "damaged description"),
        (lambda d: DEEP, "nested too deeply"),
        (lambda d: d | {"format": [1]}, r"format is \[1\], which is not int"),
        (lambda d: d | {"provenance": None}, "Provenance is None"),
        (lambda d: d | {"provenance": {"origin": 3, "licence": "MIT"}}, "origin is 3"),
        (lambda d: d | {"config": [1]}, "unknown model family None"),
        (lambda d: d | {"config": {"family": ["fomm"]}}, "unknown model family"),
    ],
)
def test_a_description_that_is_none_is_one_sentence(
    change: Callable[[dict[str, Any]], Any], words: str, weights: Path
) -> None:
    describe(weights, change)
    assert "w.safetensors" in sentence(lambda: checkpoint.read_header(weights))
    with pytest.raises(TalkheadError, match=words):
        checkpoint.load(weights)


@pytest.mark.parametrize(
    "values",
    [
        {"image_size": 0},
        {"image_size": 1},
        {"image_size": -1},
        {"image_size": 10**9},
        {"image_size": True},
        {"image_size": 1e400},
        {"channels": [8] * 100},
        {"channels": [8, None, 8, 4]},
        {"norm_groups": 3},
        {"keypoints": {"num_keypoints": 10**8}},
        {"keypoints": {"temperature": float("nan")}},
        {"keypoints": None},
        {"dense_motion": {"num_blocks": 10**8}},
        {"dense_motion": {"size": 3}},
        {"motion_codebook": {"num_layers": 10**8}},
        {"motion_codebook": {"num_heads": 3, "dim": 8}},
        {"motion_codebook": {"scales": [0, 0]}},
        {"appearance_codebook": {"num_codes": 2**40}},
        {"appearance_codebook": {"x" * 10_000: 1}},
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_built(
    values: dict[str, Any], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(self: object, config: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr("talkhead.models.codebook.CodebookModel.__init__", built)

    def change(description: dict[str, Any]) -> dict[str, Any]:
        own = description["config"]
        for name, value in values.items():
            own[name] = own[name] | value if isinstance(value, dict) else value
        return description

    describe(weights, change)
    assert "describes a model that cannot be built" in sentence(lambda: checkpoint.load(weights))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.int(), "int32"),
        (lambda t: t.bool(), "bool"),
        (lambda t: t.to(torch.complex64), "complex64"),
        (lambda t: t * float("nan"), "not finite"),
        (lambda t: t[:0], "not"),
        (lambda t: t[None], "not"),
    ],
)
def test_tensors_of_another_kind_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], words: str, weights: Path
) -> None:
    tensors = load_tensors(weights.read_bytes())
    header = checkpoint.read_header(weights)
    tensors["decoder.out.bias"] = change(tensors["decoder.out.bias"])
    checkpoint.write(weights, tensors, header)
    assert words in sentence(lambda: checkpoint.load(weights))
    assert "decoder.out.bias" in sentence(lambda: checkpoint.load(weights))


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe", b"x" * 5000])
def test_a_digest_file_that_holds_none_does_not_match(text: bytes, weights: Path) -> None:
    weights.with_name("w.safetensors.sha256").write_bytes(text)
    assert "does not match its SHA-256" in sentence(lambda: checkpoint.load(weights))


def test_weights_that_are_shortened_while_they_are_used_end_nothing(weights: Path) -> None:
    model, _ = checkpoint.load(weights)
    maps = Path("/proc/self/maps")
    if maps.exists():  # a mapped page beyond the end would kill this process
        assert str(weights) not in maps.read_text()
    weights.write_bytes(b"")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_what_is_no_file_is_not_waited_for() -> None:
    assert "not a file" in sentence(lambda: checkpoint.load(Path("/dev/zero")))
    assert "not a file" in sentence(lambda: read_torch(Path("/dev/zero")))


# Motion files

KEYPOINTS = Keypoints(torch.zeros(3, 4, 2), torch.eye(2).expand(3, 4, 2, 2).contiguous())
MOTION = MotionTemplate(KEYPOINTS, (0, 512, 1024), Fraction(1, 12800), "ab" * 32, "d.mp4")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pts": (0, 512, 512)}, "time 512 after 512"),
        ({"pts": (0, 512, 100)}, "time 100 after 512"),
        ({"pts": (0, 512, 2**62)}, "beyond 168 hours"),
        ({"time_base": Fraction(0)}, "time base '0'"),
        ({"time_base": Fraction(-1, 25)}, "time base '-1/25'"),
        ({"time_base": Fraction(10**9)}, "beyond 168 hours"),
        ({"time_base": Fraction(1, 10**12)}, "time base"),
        ({"keypoints": Keypoints(torch.full((3, 4, 2), torch.nan))}, "not finite"),
        ({"keypoints": Keypoints(torch.zeros(3, 4, 2).double())}, "float64"),
        ({"keypoints": Keypoints(torch.zeros(3, 4, 3))}, r"keypoints \(3, 4, 3\)"),
        ({"weights": "ab"}, "weights is 'ab'"),
    ],
)
def test_motion_that_no_video_has_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    save_motion(path, replace(MOTION, **changes))
    assert "contradicts itself" in sentence(lambda: load_motion(path))
    with pytest.raises(TalkheadError, match=words):
        load_motion(path)


@pytest.mark.parametrize("facts", [DEEP, "[]", "null", '{"time_base": "1/x"}', '{"time_base": 3}'])
def test_motion_whose_facts_are_none_is_refused(facts: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {"value": KEYPOINTS.value, "pts": torch.arange(3)}
    head = {"format": "talkhead-motion", "version": "1", "motion": facts}
    path.write_bytes(pack_tensors(tensors, head))
    assert "contradicts itself" in sentence(lambda: load_motion(path))


def test_motion_with_another_count_of_keypoints_is_refused() -> None:
    MOTION.check_like(KEYPOINTS)
    flat, more = Keypoints(KEYPOINTS.value), Keypoints(torch.zeros(1, 5, 2), torch.eye(2))
    assert "4 keypoints with jacobians" in sentence(lambda: MOTION.check_like(flat))
    assert "4 keypoints with jacobians" in sentence(lambda: MOTION.check_like(more))


# Landmark files


def npz(path: Path, arrays: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, body in arrays.items():
            archive.writestr(f"{name}.npy", body)
    return path


def packed(array: np.ndarray) -> bytes:
    body = io.BytesIO()
    np.save(body, array)
    return body.getvalue()


def claim(shape: tuple[int, ...]) -> bytes:
    body = io.BytesIO()
    head = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(body, head)
    return body.getvalue() + bytes(8)


POINTS = packed(np.ones((3, 68, 2), np.float32))


def damage(data: bytes) -> bytes:
    """The compressed part is broken, not what the archive says of it."""
    start = data.index(b"points.npy") + 14
    return data[:start] + b"\xff" * 8 + data[start + 8 :]


def encrypt(data: bytes) -> bytes:
    """The flag of encryption, in both headers of the part."""
    changed = bytearray(data)
    changed[data.index(b"PK\x03\x04") + 6] |= 1
    changed[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def repack(data: bytes) -> bytes:
    """A method of packing that nobody knows."""
    changed = bytearray(data)
    changed[data.index(b"PK\x03\x04") + 8] = 99
    changed[data.index(b"PK\x01\x02") + 10] = 99
    return bytes(changed)


@pytest.mark.parametrize("change", [damage, encrypt, repack, lambda data: data[:60], lambda _: b""])
def test_landmark_archives_that_are_broken_are_one_sentence(
    change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = npz(tmp_path / "a.npz", {"points": POINTS})
    path.write_bytes(change(path.read_bytes()))
    assert "a.npz holds no landmarks" in sentence(lambda: read_landmarks(path))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"points": claim((2**40, 68, 2))}, "not the length that it promises"),
        ({"points": claim((-1, 68, 2))}, "damaged"),
        ({"points": POINTS[:-4]}, "not the length that it promises"),
        ({"points": b"\x93NUMPY\x01\x00\x05\x00{'a': "}, "damaged header"),
        ({"points": packed(np.array([None], object))}, "neither numbers nor texts"),
        ({"points": packed(np.zeros((3, 68, 2), np.complex64))}, "neither numbers nor texts"),
        ({"points": packed(np.full((3, 68, 2), np.inf))}, "at infinity"),
        ({"points": packed(np.full((3, 68, 2), 1e300))}, "at infinity"),
        ({"points": POINTS, "frames": packed(np.array([1, 1, 2]))}, "twice"),
        ({"points": POINTS, "frames": packed(np.array([-1, 1, 2]))}, "below 0"),
        ({"points": POINTS, "frames": packed(np.array([0.5, 1, 2]))}, "holds float64"),
        ({"points": POINTS, "names": packed(np.array(["anna"]))}, "another count"),
    ],
)
def test_landmarks_of_odd_arrays_are_one_sentence(
    arrays: dict[str, bytes], words: str, tmp_path: Path
) -> None:
    path = npz(tmp_path / "a.npz", arrays)
    assert "a.npz" in sentence(lambda: read_landmarks(path))
    with pytest.raises(TalkheadError, match=words):
        read_landmarks(path)


# Checkpoints of releases


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


# Lists of pairs, published rows


@pytest.mark.parametrize(
    "row",
    [
        "anna.mp4/" + "9" * 5000 + ",anna.mp4/0",
        "anna.mp4/" + "x" * 5000 + ",anna.mp4/0",
        "x" * 5000 + "/0,anna.mp4/0",
        "anna.mp4/\x1b[31m,anna.mp4/0",
        "anna.mp4/\0,anna.mp4/0",
        "..,.",
        "/,/",
    ],
)
def test_rows_that_no_clip_has_are_left_out_in_a_sentence(row: str, tmp_path: Path) -> None:
    make_pictures(tmp_path / "data" / "anna.mp4", 2)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"source,driving\n{row}\n")
    sentence(lambda: plan_evaluation("pairs", tmp_path / "data", pair_list=pairs))
    pairs.write_text(f"\ufeffsource,driving\n{row}\nanna.mp4/frame_1,anna.mp4/frame_2\n")
    found = plan_evaluation("pairs", tmp_path / "data", pair_list=pairs)
    assert [case.numbers for case in found.cases] == [(1,)]
    assert len(found.missing) == 1


def test_a_list_that_is_a_folder_is_one_sentence(tmp_path: Path) -> None:
    make_pictures(tmp_path / "data" / "anna.mp4", 2)
    sentence(lambda: plan_evaluation("pairs", tmp_path / "data", pair_list=tmp_path))
    sentence(lambda: read_published(tmp_path, "pairs"))


@pytest.mark.parametrize("row", ["a", "a,b,pairs,nan", "a,b,pairs,1,2", ",b,pairs,1", "a,,pairs,1"])
def test_published_rows_that_are_incomplete_are_named(row: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"name,source,protocol,psnr\n{row}\n")
    assert "line 2" in sentence(lambda: read_published(path, "pairs"))


# Runs and results


def stored_state(**changes: Any) -> dict[str, Any]:
    model_config = mini_config("fomm")
    content = {
        "step": 3,
        "seconds": 1.5,
        "seed": 0,
        "skipped": 0,
        "config": json.dumps(config.to_dict(model_config)),
        "recipe": json.dumps(asdict(Recipe("a test"))),
    }
    return content | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -1},
        {"step": True},
        {"step": "3"},
        {"seconds": float("nan")},
        {"seed": None},
        {"skipped": [0]},
        {"config": DEEP},
        {"config": "[]"},
        {"config": None},
        {"recipe": "{"},
        {"recipe": '{"source": 3}'},
        {"recipe": '{"source": "x", "weights": []}'},
    ],
)
def test_the_state_of_a_run_that_was_tampered_with_is_one_sentence(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    wanted = mini_config("fomm"), Recipe("a test")
    torch.save(stored_state(), tmp_path / state.STATE)
    assert state.read(tmp_path, *wanted)["step"] == 3
    torch.save(stored_state(**changes), tmp_path / state.STATE)
    assert "state.pt is damaged" in sentence(lambda: state.read(tmp_path, *wanted))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (RUN, "{"),
        (RUN, "[]"),
        (RUN, DEEP),
        (RUN, '{"validations": 3}'),
        (RUN, '{"validations": [{"step": "x"}]}'),
        (LOSSES, "{\n"),
        (LOSSES, "[]\n"),
        (LOSSES, '{"step": null}\n'),
        (LOSSES, DEEP + "\n"),
    ],
)
def test_files_of_a_run_that_were_tampered_with_are_one_sentence(
    name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert f"{name} is damaged" in sentence(lambda: RunLog(tmp_path, {}, done=3))
    assert (tmp_path / name).read_text() == text


@pytest.mark.parametrize("text", ["", "\n", "[]", "3", DEEP, '{"peak": "x"}', "\udcff"])
def test_what_is_no_result_of_the_benchmark_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "is no result of" in sentence(lambda: read_result(tmp_path / "old.json"))


def test_the_command_tells_of_weights_in_one_line(weights: Path) -> None:
    describe(weights, lambda d: DEEP)
    result = CliRunner().invoke(app, ["inspect-weights", str(weights)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
