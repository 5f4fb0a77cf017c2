"""Rendered talking heads: clips to learn and test from, made of nothing. Knows no model."""
