"""talkhead: a portrait photo and a driving video in, the portrait moving like the driver out."""

__version__ = "0.1.0"
