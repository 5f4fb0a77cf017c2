"""Prepare a training set from ordinary videos."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from talkhead.data.manifest import MANIFEST, write_manifest
from talkhead.errors import TalkheadError
from talkhead.io.owned import OwnedFolder, delete_own
from talkhead.preparation.extract import CLIPS, LANDMARKS, REJECTED
from talkhead.preparation.journal import JOURNAL, Journal, Record, clips_of, work_of
from talkhead.preparation.lists import read_list
from talkhead.preparation.options import PrepareOptions
from talkhead.preparation.quality import REASONS
from talkhead.preparation.report import REPORT, write_report
from talkhead.preparation.shards import pack, remove_stale
from talkhead.preparation.sources import TRAINING_SET, find_sources
from talkhead.preparation.workers import extract_all
from talkhead.printable import counted
from talkhead.progress import Progress, progress_callback

log = logging.getLogger(__name__)

FILES = re.compile(r".*#.*\.(mp4|npz|jpg)|\..*\.part\.(mp4|npz|jpg)")


@dataclass(frozen=True)
class PrepareReport:
    """What a training set holds, and what did not get into it.

    videos:   that are in the set's journal; new: of them by this call.
    minutes:  of video that were looked at; clip_minutes: of the clips.
    rejected: by reason, how many stretches were left out. faceless: minutes without a face.
    failed:   videos that could not be read, or that the list names in vain, and why.
    """

    output: str
    videos: int
    new: int
    clips: int
    identities: int
    frames: int
    minutes: float
    clip_minutes: float
    faceless: float
    rejected: dict[str, int]
    failed: dict[str, str]

    def facts(self) -> dict[str, str]:
        """What the report says first."""
        return {
            "videos": str(self.videos),
            "minutes of them": f"{self.minutes:.1f}",
            "minutes without a face": f"{self.faceless:.1f}",
            "clips": str(self.clips),
            "minutes of them ": f"{self.clip_minutes:.1f}",
            "frames of them": str(self.frames),
            "identities": str(self.identities),
        }

    def lines(self) -> list[str]:
        """For people."""
        text = [
            f"{self.output}: {counted(self.clips, 'clip')} of "
            f"{counted(self.identities, 'identity', 'identities')}, "
            f"{counted(self.frames, 'frame')}, {self.clip_minutes:.1f} of {self.minutes:.1f} "
            f"minutes of {counted(self.videos, 'video')}"
        ]
        text += [
            f"left out: {counted(count, 'stretch', 'stretches')}: {REASONS.get(why, why)}"
            for why, count in self.rejected.items()
        ]
        if self.faceless:
            text.append(f"without a face that is large enough: {self.faceless:.1f} minutes")
        if self.failed:
            width = max(map(len, self.failed))
            text.append(f"{counted(len(self.failed), 'video')} could not be prepared:")
            text += [
                f"{video:<{width}}  {why.removeprefix(video).strip()}"
                for video, why in self.failed.items()
            ]
        return text


def prepare(options: PrepareOptions, *, progress: Progress | bool | None = False) -> PrepareReport:
    """Make a training set of the faces of videos, in a folder that `train` takes as it is.

    Videos that are done are passed over, so a call that was interrupted goes on, and more videos
    can be added. A video that fails is named in the report, and the others are done.

    Raises TalkheadError where there is no video, for a folder of something else or one made with
    other settings, and for a full disk.
    """
    with _training_set(options) as journal, progress_callback(progress) as tell:
        listed = read_list(options.listed) if options.listed else None
        sources, failed = find_sources(options.videos, listed, journal.names)
        waiting = [source for source in sources if not journal.has(source)]
        works = {source.path: work_of(source) for source in waiting}
        before = len(journal.records)
        try:
            with closing(extract_all(waiting, options)) as extracted:
                for done, (source, made) in enumerate(extracted, start=1):
                    if isinstance(made, str):
                        log.info("%s", made)  # the report names it
                        failed[str(source.path)] = made
                    else:
                        journal.add(source, works[source.path], made)
                    if tell:
                        tell("preparing videos", done, len(waiting))
        finally:
            write_manifest(options.output, clips_of(journal.records))
        report = _report(options, journal.records, len(journal.records) - before, failed)
        _sweep(options.output, journal.records)
        clips = clips_of(journal.records)
        if options.shard_size:
            pack(options.output, clips, options.shard_size)
        else:
            remove_stale(options.output, clips)
        write_report(options.output, journal.records, report.facts(), failed)
    return report


def _report(
    options: PrepareOptions, records: list[Record], new: int, failed: dict[str, str]
) -> PrepareReport:
    clips = clips_of(records)
    rejected = Counter(each.reason for record in records for each in record.made.rejected)
    return PrepareReport(
        output=str(options.output),
        videos=len(records),
        new=new,
        clips=len(clips),
        identities=len({clip.identity for clip in clips}),
        frames=sum(clip.frames for clip in clips),
        minutes=round(sum(record.made.seconds for record in records) / 60, 2),
        clip_minutes=round(sum(clip.frames / clip.fps for clip in clips) / 60, 2),
        faceless=round(sum(record.made.faceless for record in records) / 60, 2),
        rejected={why: rejected[why] for why in REASONS if rejected[why]},
        failed=failed,
    )


@contextmanager
def _training_set(options: PrepareOptions) -> Iterator[Journal]:
    """The folder, ours alone for the length of a call, and its journal."""
    out = options.output
    try:
        out.mkdir(parents=True, exist_ok=True)
        owned = OwnedFolder(
            out.resolve(),
            TRAINING_SET,
            f"another process prepares {out}; wait for it, or choose another --output",
        )
    except OSError as error:
        raise TalkheadError(f"cannot use the folder {out}: {error.strerror}") from error
    try:
        if options.overwrite:
            _sweep(out, [])
            for name in (JOURNAL, MANIFEST, REPORT):
                (out / name).unlink(missing_ok=True)
        journal = Journal(out, options)
        journal.keep()
        yield journal
    except OSError as error:
        raise TalkheadError(
            f"{out} cannot be written ({error.strerror}); make room and run the same command "
            "again: it goes on"
        ) from error
    finally:
        owned.release()


def _sweep(out: Path, records: list[Record]) -> None:
    """Remove files of ours that no record names: of killed calls, of videos that have changed."""
    clips = clips_of(records)
    kept = {out / name for clip in clips for name in (clip.clip, clip.landmarks)}
    kept |= {out / e.picture for record in records for e in record.made.rejected if e.picture}
    delete_own(out / REJECTED, FILES, kept)
    for top in (out / CLIPS, out / LANDMARKS):
        folders = [] if top.is_symlink() or not top.is_dir() else sorted(top.iterdir())
        for folder in folders:
            delete_own(folder, FILES, kept)
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
