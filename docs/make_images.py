"""Make the pictures of the documentation from the example files: python docs/make_images.py."""

from pathlib import Path

import cv2
import numpy as np

import talkhead

ROOT = Path(__file__).parent.parent
PORTRAIT, DRIVING = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "driving.mp4"
IMAGES = Path(__file__).parent / "images"
FRAME = 42  # of the driving video, shown in still pictures
TALKING = 24  # one in which the driver speaks
HEIGHT = 256


def frames(engine: talkhead.Engine, name: str, **settings: object) -> list[np.ndarray]:
    """A render's pictures, read back from a lossless file."""
    output = IMAGES / f"{name}.mkv"
    wanted = talkhead.RenderSettings(codec="ffv1", sound=False, frames=FRAME + 1, **settings)
    talkhead.Animator(engine)(PORTRAIT, DRIVING, output, wanted, overwrite=True)
    with talkhead.VideoReader(output) as reader:
        found = [frame.rgb for frame in reader]
    output.unlink()
    return found


def row(*pictures: np.ndarray) -> np.ndarray:
    """Pictures side by side, of one height."""
    scaled = [
        cv2.resize(each, (round(each.shape[1] * HEIGHT / each.shape[0]), HEIGHT))
        for each in pictures
    ]
    return np.hstack(scaled)


def captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """A picture with a line of text above it."""
    head = np.full((24, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(head, caption, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([head, picture])


def save(name: str, picture: np.ndarray) -> None:
    cv2.imwrite(str(IMAGES / name), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    engine = talkhead.Engine.load()
    gif = talkhead.RenderSettings(layout="side-by-side", size=144, frames=50)
    talkhead.Animator(engine)(PORTRAIT, DRIVING, IMAGES / "example.gif", gif, overwrite=True)
    photo = talkhead.read_image(PORTRAIT)
    relative = frames(engine, "relative", layout="side-by-side", size=256)[FRAME]
    absolute = frames(engine, "absolute", motion="absolute", size=256)[FRAME]
    save("motion.jpg", row(relative, absolute))
    strengths = ({"mouth": 0.0}, {}, {"mouth": 1.6}, {"head": 0.0}, {"head": 2.0})
    drawn = []
    for each in strengths:
        picture = frames(engine, "strength", size=256, **each)[TALKING]
        caption = " ".join(f"--{part} {value:g}" for part, value in each.items())
        drawn.append(captioned(picture, caption or "as it is"))
    save("strengths.jpg", row(*drawn))
    save("crop.jpg", row(photo, talkhead.crop_face(photo, 256)))
    pasted = frames(engine, "pasted", paste_back=True)[FRAME]
    save("layouts.jpg", row(absolute, relative, pasted))


if __name__ == "__main__":
    main()
