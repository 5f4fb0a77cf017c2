"""Damaging valid files: bytes of any format, values of JSON, chunks of PNG and safetensors."""

from __future__ import annotations

import json
import struct
import zlib
from random import Random
from typing import Any

HEAD = 512  # bytes at the start, where most formats keep what matters
NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1")
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 10**8, 2**31, 2**63, 10**30, -(10**12)),
    *(0.0, 0.5, 1e308, float("nan"), float("inf"), "", "x", "256", "\x1b[31m\n", "ä" * 40),
    *([], {}, [[]], [None], [0], [1] * 9, [2**40, 1], {"a": 1}, "a" * 100_000),
)


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """One to four changes of a file as bytes."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if not changed:
            break
        end = min(HEAD, len(changed)) if random.random() < 0.5 else len(changed)
        place, length = random.randrange(end), random.choice((1, 2, 4, 16, 200))
        part = slice(place, place + length)
        match random.randrange(8):
            case 0:
                changed[place] ^= 1 << random.randrange(8)
            case 1:
                changed[part] = random.randbytes(len(changed[part]))
            case 2:
                changed[place : place + 4] = random.choice(NUMBERS)
            case 3:
                del changed[part]
            case 4:
                changed[place:place] = changed[part]
            case 5:
                changed[place:place] = random.randbytes(length)
            case 6:
                changed[part] = bytes(len(changed[part]))
            case 7 if random.random() < 0.4:
                del changed[place:]
    return bytes(changed)


def mutate_json(value: Any, random: Random, odd: tuple[Any, ...] = ODD_VALUES) -> Any:
    """The same tree of lists and dicts with one node changed, taken away or added."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        match random.randrange(8):
            case 0:
                return {name: each for name, each in value.items() if name != key}
            case 1:
                return value | {random.choice(("x", "", key + "_")): random.choice(odd)}
            case _:
                return value | {key: mutate_json(value[key], random, odd)}
    if isinstance(value, list) and value and random.random() < 0.7:
        place = random.randrange(len(value))
        match random.randrange(4):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return [*value, value[place]]
            case _:
                return [*value[:place], mutate_json(value[place], random, odd), *value[place + 1 :]]
    return random.choice(odd)


def json_text(value: Any, random: Random) -> str:
    """JSON, now and then nested deeper than any parser goes."""
    text = json.dumps(value)
    if random.random() < 0.04:
        deep = "[" * 200_000 + "]" * 200_000
        return deep if random.random() < 0.5 else text[:-1] + f', "deep": {deep}}}'
    return text


def mend_png(data: bytes) -> bytes:
    """The same chunks with right checksums, so that what is damaged is looked at."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + length]
        parts.append(data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + length
    return b"".join(parts)


def split_safetensors(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a valid file."""
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join_safetensors(header: dict[str, Any], tensors: bytes) -> bytes:
    """A file of any header, right or wrong."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors
