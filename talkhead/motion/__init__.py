"""Keypoint motion: transfer to the source, smoothing, head rotation, motion files."""
