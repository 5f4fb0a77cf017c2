"""Video and sound, in and out; the only part of talkhead that knows PyAV."""

from talkhead.video.media import VideoInfo
from talkhead.video.reader import VideoReader, probe
from talkhead.video.writer import VideoWriter

__all__ = ["VideoInfo", "VideoReader", "VideoWriter", "probe"]
