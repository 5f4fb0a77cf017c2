"""Scores: which frames are drawn (protocols), how they are judged (metrics), what is reported."""
