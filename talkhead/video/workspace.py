"""The hidden folder beside an unfinished output: coded frames that a later run can go on from."""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from talkhead.errors import TalkheadError
from talkhead.io.atomic import fitting_name, write_text
from talkhead.io.owned import OwnedFolder, delete_own, read_own
from talkhead.video.segment import HEADER, CodedFrame, Segment, Summary, check_segment, packets

log = logging.getLogger(__name__)

NOTE = "settings.json"
PICTURES, REPLACED = "pictures", "replaced"  # finished pictures, and those that they replace
PICTURE_NAMES = re.compile(r".*\.png", re.IGNORECASE | re.DOTALL)
# What a render puts into its folder, and what it may delete there.
OWN_NAMES = re.compile(
    r"settings\.json|\.settings\.\d+\.part\.json|\d{9}\.partial|\d{9}-\d{9}\.segment|"
    r"result\.\w+|\.result\.\d+\.part\.\w+"
)


@dataclass(frozen=True)
class Timing:
    """When the stored frames are shown, in units of the video's time base.

    second:  the frame after the first; equal to it when there is only one.
    count:   number of frames.
    reorder: how many frames at most are coded before a frame that is shown earlier than they are.
    size:    coded width and height.
    """

    first: int
    second: int
    last: int
    count: int
    reorder: int
    size: tuple[int, int]


class Workspace:
    """Finished segments of coded frames, each an independently decodable run of frames.

    A segment is written under a partial name and renamed once it is complete and on disk, so
    whatever a crash leaves behind, the segments found later are whole; those that are not, after a
    fault of the disk or a stranger's hand, are found out by their checksum and made again. They are
    kept only when `settings`, which must name all that the frames depend on, is what they were
    made with.

    output: the file that is being made; the folder lies beside it.

    Raises TalkheadError where that folder is not ours, or in use.
    """

    def __init__(self, output: Path, settings: Mapping[str, object]) -> None:
        self.folder = output.with_name(fitting_name(f".{output.name}", ".talkhead"))
        self._output = output
        self._settings = json.dumps(settings, sort_keys=True, default=str)
        if not output.parent.is_dir():
            raise TalkheadError(f"the folder {output.parent} does not exist; create it first")
        self._segments: list[Path] = []
        busy = f"{output} is being rendered already; wait, or choose another name"
        with explained(output, 0):
            self._owned = OwnedFolder(self.folder, "work folder", busy)
            try:
                self._segments = self._adopt()
            except BaseException:
                self._owned.release()
                raise

    def _adopt(self) -> list[Path]:
        """An earlier run's segments; all else that it left is deleted."""
        note = self.folder / NOTE
        found: list[Path] = []
        if read_own(note) == self._settings.encode():
            found = self._find_segments()
        elif any(self.folder.glob("*.segment")):
            log.warning("%s: an unfinished render with other settings is dropped", self._output)
        self._clean(keep=found)
        write_text(note, self._settings)
        return found

    def _clean(self, keep: Sequence[Path] = ()) -> None:
        """Delete all that a render puts here, apart from some segments."""
        delete_own(self.folder, OWN_NAMES, keep)
        for made in (self.folder / PICTURES, self.folder / REPLACED):
            delete_own(made, PICTURE_NAMES)
            if made.is_dir() and not made.is_symlink():
                made.rmdir()

    def _find_segments(self) -> list[Path]:
        """Sound segments in order, as far as they follow each other without a gap."""
        found: list[Path] = []
        try:
            before = Summary()
            for path in sorted(self.folder.glob("*.segment")):
                before = check_segment(path, before)
                found.append(path)
        except ValueError as error:
            log.warning(
                "the unfinished render of %s is damaged (%s); it goes on from frame %d",
                self._output,
                error,
                before.end,
            )
        return found

    @property
    def frames_done(self) -> int:
        """Frames in complete segments."""
        return int(self._segments[-1].stem.split("-")[1]) if self._segments else 0

    @property
    def size(self) -> tuple[int, int] | None:
        """Coded width and height, None as long as there is no segment."""
        if not self._segments:
            return None
        with self._segments[0].open("rb") as file:
            _, width, height = HEADER.unpack(file.read(HEADER.size))
        return width, height

    def begin(self, size: tuple[int, int]) -> Segment:
        """Start the segment that follows the complete ones."""
        return Segment(self.folder, self.frames_done, size)

    def keep(self, segment: Segment) -> None:
        """Complete a segment: it is on disk and counts from now on."""
        self._segments.append(segment.complete())

    def frames(self) -> Iterator[CodedFrame]:
        """Every stored frame, in coding order, one at a time."""
        for path in self._segments:
            with path.open("rb") as file:
                for pts, is_key, size in packets(file):
                    yield CodedFrame(pts, is_key, file.read(size))

    def timing(self) -> Timing:
        """First and last time and the depth of reordering; needs at least one frame."""
        earliest: list[int] = []
        last, count, reorder = 0, 0, 0
        for path in self._segments:
            with path.open("rb") as file:
                coded = [pts for pts, _, _ in packets(file)]
            shown = {pts: rank for rank, pts in enumerate(sorted(coded))}
            reorder = max([reorder, *(index - shown[pts] for index, pts in enumerate(coded))])
            earliest = sorted([*earliest, *coded])[:2]
            last, count = max(coded), count + len(coded)
        if self.size is None:
            raise TalkheadError(f"nothing was rendered for {self._output}: no frame was written")
        return Timing(earliest[0], earliest[-1], last, count, reorder, self.size)

    def remove(self) -> None:
        """Delete the folder and what we put into it, and let go of the output."""
        self._clean()
        self._owned.remove()

    def release(self) -> None:
        """Let others render this output; only what they can go on from stays."""
        try:
            self._clean(keep=[self.folder / NOTE, *self._segments])
        except OSError as error:  # the next run tries again
            log.debug("%s could not be tidied: %s", self.folder, error)
        self._owned.release()


@contextmanager
def explained(output: Path, frames_done: int) -> Iterator[None]:
    """Turn what a disk says while `output` is written into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TalkheadError(
                f"the disk is full: {output} could not be written; make room and run the same "
                f"command again to go on from frame {frames_done}"
            ) from error
        raise TalkheadError(
            f"{output} could not be written ({error.strerror or error}); check that its folder "
            "can be written to"
        ) from error
