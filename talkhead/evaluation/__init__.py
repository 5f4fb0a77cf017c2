"""Scores: which frames are drawn (protocols), how they are measured (metrics), what is reported."""
