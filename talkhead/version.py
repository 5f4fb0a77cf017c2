"""The version of talkhead."""

__version__ = "0.1.0"
