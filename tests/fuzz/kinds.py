"""The kinds of files that are damaged and read: how to make, damage and read each of them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from media import make_clip, moving_picture
from miniatures import FAMILIES, mini, mini_config
from mutate import (
    join_safetensors,
    json_text,
    mend_png,
    mutate_bytes,
    mutate_json,
    split_safetensors,
)
from PIL import Image
from safetensors.torch import load, save

from talkhead import checkpoint, config
from talkhead.animation.animator import Animator, reenact
from talkhead.animation.settings import RenderSettings
from talkhead.bundled import sha256
from talkhead.checkpoint import METADATA_KEY, Provenance
from talkhead.conversion import convert
from talkhead.data.landmarks import read_landmarks
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.io.image import read_image
from talkhead.models import build
from talkhead.motion.template import MotionTemplate, load_motion, save_motion
from talkhead.structs import Keypoints

PLAIN = RenderSettings(crop_source="none", crop_driving="none", anchor="first")
DRAWN_SIZE = 256  # pixels: larger pictures are not drawn here
SMALL = (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64, True, None, [4, 4], [8, 8, 8, 4], [0], [1, 0])
ORIGIN = Provenance("of a fuzz test", "MIT", {"a.pth": "0" * 64}, {"steps": 3})


@dataclass(frozen=True)
class Kind:
    """make: writes valid files into a folder; mutate: a file's bytes; read: reads one, with a
    folder to work in. Raises TalkheadError for what cannot be read."""

    make: Callable[[Path], list[Path]]
    mutate: Callable[[Path, Random], bytes]
    read: Callable[[Path, Path], None]


def any_bytes(seed: Path, random: Random) -> bytes:
    return mutate_bytes(seed.read_bytes(), random)


# Pictures


def make_images(folder: Path) -> list[Path]:
    picture = Image.fromarray(moving_picture(0, 48, 40))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a portrait"
    files = []
    for ending, options in (
        ("png", {"exif": exif}),
        ("jpg", {"exif": exif, "progressive": True}),
        ("webp", {"exif": exif}),
        ("avif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("bmp", {}),
        ("gif", {"save_all": True, "append_images": [picture.rotate(90)]}),
        ("jp2", {}),
        ("ppm", {}),
    ):
        files.append(folder / f"portrait.{ending}")
        picture.save(files[-1], **options)
    for mode in ("P", "L", "RGBA", "1", "CMYK"):
        files.append(folder / f"mode-{mode}.{'tif' if mode == 'CMYK' else 'png'}")
        picture.convert(mode).save(files[-1])
    for ending in ("png", "tif"):
        files.append(folder / f"grey-16-bits.{ending}")
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 255).save(files[-1])
    return files


def mutate_image(seed: Path, random: Random) -> bytes:
    data = any_bytes(seed, random)
    return mend_png(data) if seed.suffix == ".png" and random.random() < 0.7 else data


def read_picture(path: Path, _: Path) -> None:
    rgb = read_image(path)
    assert rgb.dtype == np.uint8
    assert rgb.ndim == 3
    assert rgb.shape[2] == 3


# Videos: each is rendered from, with its sound


def make_videos(folder: Path) -> list[Path]:
    small = {"size": (64, 64), "frames": 8}
    clips = [
        make_clip(folder / "a.mp4", **small),
        make_clip(folder / "b.mkv", **small, audio_codec="pcm_s16le"),
        make_clip(folder / "c.webm", **small, codec="libvpx-vp9", audio_codec="libopus"),
        make_clip(folder / "d.avi", **small, codec="mpeg4", audio_codec="libmp3lame"),
        make_clip(folder / "e.mov", **small, codec="mjpeg", pixel_format="yuvj420p", rotation=90),
        make_clip(folder / "f.ts", **small),
        make_clip(folder / "g.mp4", **small, codec="libx265", options={"movflags": "faststart"}),
    ]
    frames = [Image.fromarray(moving_picture(n, 64, 64)) for n in range(8)]
    for ending in ("gif", "png", "webp"):
        clips.append(folder / f"moving.{ending}")
        frames[0].save(clips[-1], save_all=True, append_images=frames[1:], duration=40)
    return clips


def read_video(path: Path, folder: Path) -> None:
    Animator(toy_engine(folder))(portrait(folder), path, folder / "out.mp4", PLAIN, overwrite=True)


def portrait(folder: Path) -> Path:
    path = folder / "portrait.png"
    if not path.exists():
        Image.fromarray(moving_picture(0, 64, 64)).save(path)
    return path


ENGINES: dict[str, Engine] = {}


def toy_engine(folder: Path) -> Engine:
    """A miniature model; its weights lie beside what is read."""
    if "toy" not in ENGINES:
        path = folder / "engine.safetensors"
        checkpoint.save(path, mini("codebook"), ORIGIN)
        ENGINES["toy"] = Engine.load(path, "cpu", batch_size=4)
    return ENGINES["toy"]


# Weights


def make_weights(folder: Path) -> list[Path]:
    files = []
    for family in FAMILIES:
        files.append(folder / f"{family}.safetensors")
        checkpoint.save(files[-1], mini(family), ORIGIN)
    return files


def mutate_weights(seed: Path, random: Random) -> bytes:
    """Bytes; the header; the description; or a description with tensors that fit it."""
    data = seed.read_bytes()
    header, tensors = split_safetensors(data)
    description = json.loads(header["__metadata__"][METADATA_KEY])
    match random.randrange(5):
        case 0:
            return mutate_bytes(data, random)
        case 1:
            return join_safetensors(mutate_json(header, random), tensors)
        case 2:
            return with_odd_tensor(data, random)
        case 3:
            header["__metadata__"][METADATA_KEY] = json_text(
                mutate_json(description, random), random
            )
            return join_safetensors(header, tensors)
    for _ in range(20):
        changed = mutate_json(description["config"], random, SMALL)
        try:
            model = build(config.from_dict(changed))
        except Exception:  # whatever this is, it is not what is tried here
            continue
        text = json.dumps(description | {"config": changed})
        return save(dict(model.state_dict()), {METADATA_KEY: text})
    return mutate_bytes(data, random)


def with_odd_tensor(data: bytes, random: Random) -> bytes:
    """One tensor of another type or shape."""
    header, _ = split_safetensors(data)
    tensors = load(data)
    name = random.choice(list(tensors))
    old = tensors[name]
    kinds = (torch.int32, torch.bool, torch.complex64, torch.float64, torch.bfloat16, torch.uint8)
    odd = (
        old.to(random.choice(kinds)),
        old[None],
        old.flatten(),
        old[:0] if old.ndim else old,
        torch.full_like(old, float("nan")) if old.is_floating_point() else old - 2**62,
        old.to(torch.float8_e4m3fn) if old.is_floating_point() else old.float(),
    )
    tensors[name] = random.choice(odd).contiguous()
    return save(tensors, header["__metadata__"])


def read_weights(path: Path, folder: Path) -> None:
    engine = Engine.load(path, "cpu", batch_size=2)
    if engine.image_size <= DRAWN_SIZE:
        pictures = [moving_picture(n, engine.image_size, engine.image_size) for n in range(2)]
        drawn = list(reenact(pictures[0], pictures, engine))
        assert len(drawn) == 2


# Motion files: each is rendered from


def make_motions(folder: Path) -> list[Path]:
    toy_engine(folder)
    weights = sha256(folder / "engine.safetensors")
    values = torch.linspace(-0.5, 0.5, 40).view(5, 4, 2)
    jacobians = torch.eye(2).expand(5, 4, 2, 2).contiguous()
    motion = MotionTemplate(
        Keypoints(values, jacobians), (0, 512, 1100, 1536, 2048), Fraction(1, 12800), weights, "d"
    )
    save_motion(folder / "motion.safetensors", motion)
    return [folder / "motion.safetensors"]


def mutate_motion(seed: Path, random: Random) -> bytes:
    data = seed.read_bytes()
    header, tensors = split_safetensors(data)
    match random.randrange(6):
        case 0:
            return mutate_bytes(data, random)
        case 1:
            return join_safetensors(mutate_json(header, random), tensors)
        case 2:
            return with_odd_tensor(data, random)
        case 4:
            return with_other_count(data, random)
        case 3:
            start = header["pts"]["data_offsets"][0] + 8 * random.randrange(5)
            time = random.choice((-1, 0, 2**40, -(2**62), 2**63 - 1, 600)).to_bytes(
                8, "little", signed=True
            )
            return join_safetensors(header, tensors[:start] + time + tensors[start + 8 :])
    facts = json.loads(header["__metadata__"]["motion"])
    if random.random() < 0.5:
        facts["time_base"] = random.choice(
            ("0", "1/0", "-1/25", "1e999", "1e-400", "nan", "10000000", "1/99999999999", "1", "3/7")
        )
    else:
        facts = mutate_json(facts, random)
    header["__metadata__"]["motion"] = json_text(facts, random)
    return join_safetensors(header, tensors)


def with_other_count(data: bytes, random: Random) -> bytes:
    """Another number of keypoints, or none of their jacobians."""
    header, _ = split_safetensors(data)
    tensors = load(data)
    if "jacobian" in tensors and random.random() < 0.3:
        del tensors["jacobian"]
    else:
        count = random.choice((0, 1, 3))
        tensors |= {n: t[:, :count].contiguous() for n, t in tensors.items() if n != "pts"}
    return save(tensors, header["__metadata__"])


def read_motion(path: Path, folder: Path) -> None:
    motion = load_motion(path)
    Animator(toy_engine(folder))(
        portrait(folder), motion, folder / "out.mp4", PLAIN, overwrite=True
    )


# Checkpoints of releases


def make_checkpoints(folder: Path) -> list[Path]:
    files = []
    for family in ("fomm", "mcnet", "tpsmm"):
        model = mini(mini_config(family, image_size=256))
        checkpoint.save(folder / f"{family}.safetensors", model, ORIGIN)
        (path,) = convert.export(folder / f"{family}.safetensors", folder / f"{family}.pth.tar")
        old = folder / f"{family}-old.pth.tar"
        content = torch.load(path, weights_only=True)
        torch.save(content, old, _use_new_zipfile_serialization=False)
        files += [path, old]
    return files


def mutate_checkpoint(seed: Path, random: Random) -> bytes:
    """Bytes; the pickle inside of the archive; or a valid file of odd contents."""
    data = seed.read_bytes()
    choice = random.randrange(4)
    if choice == 0:
        return mutate_bytes(data, random)
    if choice == 1:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            end = min(len(data), 40_000)
            return mutate_bytes(data[:end], random) + data[end:]
        return mutate_archive(data, random)
    content = torch.load(seed, weights_only=True)
    content = odd_content(content, random)
    written = io.BytesIO()
    torch.save(content, written, _use_new_zipfile_serialization=random.random() < 0.5)
    return written.getvalue()


def mutate_archive(data: bytes, random: Random) -> bytes:
    """The pickle is changed, the archive around it is sound; now and then it is compressed."""
    written = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if random.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(written, "w", method) as new:
        for name in old.namelist():
            body = old.read(name)
            new.writestr(name, mutate_bytes(body, random) if name.endswith("data.pkl") else body)
    return written.getvalue()


def odd_content(content: dict[str, Any], random: Random) -> dict[str, Any]:
    """A checkpoint with one entry that is strange."""
    network = random.choice([name for name, entry in content.items() if isinstance(entry, dict)])
    state = dict(content[network])
    name = random.choice(list(state))
    old = state[name]
    plain = old.float()
    odd: tuple[Callable[[], Any], ...] = (
        lambda: plain.to_sparse(),
        lambda: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
        lambda: old.to("meta"),
        lambda: plain.to(torch.complex64),
        lambda: old.to(torch.int32),
        lambda: old.bool(),
        lambda: torch.zeros(1).expand(2**20, 2**20),
        lambda: torch.zeros(1).expand(*(2**40 for _ in range(1))),
        lambda: old[None],
        lambda: old.flatten(),
        lambda: plain.flatten()[:0],
        lambda: torch.tensor(float("nan")),
        lambda: torch.full_like(plain, float("inf")),
        lambda: None,
        lambda: [old],
        lambda: "text",
        lambda: torch.nn.Parameter(plain),
        lambda: torch.zeros(0, 2**40),
    )
    match random.randrange(6):
        case 0:
            del state[name]
        case 1:
            state[random.choice(("x", 3, name + ".x", "\x1b[31m\n", "a" * 5000))] = old
        case _:
            state[name] = random.choice(odd)()
    if random.random() < 0.1:
        return {network: random.choice(([], None, 3, {}, {"a": {}}, old))}
    return content | {network: state}


def read_checkpoint(path: Path, folder: Path) -> None:
    output = folder / "converted.safetensors"
    output.unlink(missing_ok=True)
    convert.convert([path], output)
    checkpoint.load(output)


# Landmark files


def make_landmarks(folder: Path) -> list[Path]:
    points = np.random.default_rng(0).random((4, 68, 2), np.float32)
    mesh = np.random.default_rng(0).random((3, 478, 3), np.float32)
    files = [folder / "plain.npz", folder / "named.npz"]
    np.savez(files[0], points=points)
    np.savez_compressed(files[1], points=mesh, frames=np.arange(3), names=np.array(["a", "b", "c"]))
    return files


def mutate_landmarks(seed: Path, random: Random) -> bytes:
    """Bytes of the file; of an array inside of a sound archive; or odd arrays."""
    if random.random() < 0.3:
        return any_bytes(seed, random)
    with np.load(seed) as stored:
        arrays = dict(stored)
    if random.random() < 0.5:
        name = random.choice(list(arrays))
        old = arrays[name]
        arrays[name] = random.choice(
            (
                old.astype(str),
                old[..., :1] if old.ndim else old,
                old[None],
                old[:0],
                np.array(3.0),
                np.full_like(old, np.inf) if old.dtype.kind == "f" else old[::-1],
                np.array([None, {}], dtype=object),
                old.astype("S3"),
                np.zeros(3, "V8"),
                np.full(len(old), 2**62),
                np.full(len(old), -5),
                np.zeros(len(old), np.complex64),
            )
        )
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            body = io.BytesIO()
            np.save(body, array)
            text = body.getvalue()
            if random.random() < 0.4:
                text = mutate_bytes(text[:128], random) + text[128:]
            archive.writestr(f"{name}.npy", text)
    return written.getvalue()


def read_points(path: Path, _: Path) -> None:
    found = read_landmarks(path)
    assert not np.isinf(found.meshes).any()
    found.by_frame()
    found.by_name()


KINDS = {
    "images": Kind(make_images, mutate_image, read_picture),
    "videos": Kind(make_videos, any_bytes, read_video),
    "weights": Kind(make_weights, mutate_weights, read_weights),
    "motion": Kind(make_motions, mutate_motion, read_motion),
    "checkpoints": Kind(make_checkpoints, mutate_checkpoint, read_checkpoint),
    "landmarks": Kind(make_landmarks, mutate_landmarks, read_points),
}
__all__ = ["KINDS", "Kind", "TalkheadError"]
