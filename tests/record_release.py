"""Record what an installed release draws, and compare two recordings.

python tests/record_release.py record v01.npz [WEIGHTS]   with the release's Python
python tests/record_release.py compare v01.npz v02.npz    exits 1 where they differ

Uses nothing of the tests and only what every release has: `talkhead.Engine` and weights, those that
are bundled or a file. Pictures are smooth noise, so that nothing has to be carried along.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FRAMES = 4
LIMIT = 1e-4  # of keypoints; pictures are in levels and may differ by one


def pictures(size: int) -> list[np.ndarray]:
    """Smooth coloured noise that drifts, uint8 (size, size, 3): a source, then driving frames."""
    waves = np.random.Generator(np.random.PCG64(0)).uniform(-3, 3, (3, 4, 3))
    y, x = np.mgrid[0:size, 0:size] / size
    found = []
    for frame in range(1 + FRAMES):
        channels = [
            sum(np.sin(2 * np.pi * (a * x + b * y + c + 0.02 * frame)) for a, b, c in channel)
            for channel in waves
        ]
        found.append((127.5 + 30 * np.stack(channels, -1)).clip(0, 255).astype(np.uint8))
    return found


def record(target: Path, weights: Path | None) -> None:
    """Write keypoints and pictures, relative and absolute, of the talkhead that is installed."""
    import talkhead

    engine = talkhead.Engine.load(weights, device="cpu", batch_size=1)
    source, *driving = pictures(engine.image_size)
    encoded = engine.encode(source)
    found = [engine.detect([picture]) for picture in driving]
    arrays = {"release": np.array(talkhead.__version__)}
    arrays["keypoints"] = np.concatenate([each.value.numpy() for each in found])
    for mode in ("relative", "absolute"):
        transfer = engine.transfer(mode, encoded.keypoints, found[0])
        drawn = [np.asarray(engine.render(encoded, transfer(each))) for each in found]
        arrays[mode] = np.concatenate(drawn)
    np.savez_compressed(target, **arrays)


def compare(old: Path, new: Path) -> bool:
    """Print the largest difference of every array; whether all are within the limits."""
    a, b = np.load(old), np.load(new)
    print(f"{a['release']} and {b['release']}, largest differences:")
    same = True
    for name in ("keypoints", "relative", "absolute"):
        off = float(np.abs(a[name].astype(np.float64) - b[name]).max())
        same &= off <= (LIMIT if name == "keypoints" else 1)
        print(f"{name:10} {off:.3g}")
    return same


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["record", target, *weights]:
            record(Path(target), Path(weights[0]) if weights else None)
        case ["compare", old, new]:
            sys.exit(not compare(Path(old), Path(new)))
        case _:
            sys.exit(__doc__)
