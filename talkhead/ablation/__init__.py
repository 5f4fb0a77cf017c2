"""Ablation tables of the papers at a small size."""
