"""Rendering: from a portrait and a driving video to a video, recorded or live."""
