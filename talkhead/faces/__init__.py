"""Faces in pictures: finding, following, cutting out and pasting back."""
