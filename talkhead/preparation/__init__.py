"""Ordinary videos into a training set: faces followed, cut out, judged, listed."""
