"""Video and sound, in and out; the only part of talkhead that knows PyAV."""

from talkhead.video.capture import LiveReader, RawPipe, open_camera, open_pipe
from talkhead.video.media import VideoInfo
from talkhead.video.reader import VideoReader, probe
from talkhead.video.stream import StreamWriter
from talkhead.video.writer import VideoWriter

__all__ = [
    "LiveReader",
    "RawPipe",
    "StreamWriter",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "open_camera",
    "open_pipe",
    "probe",
]
