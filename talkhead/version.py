"""The version of talkhead."""

__version__ = "0.2.0.dev0"
