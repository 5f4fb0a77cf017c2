"""Official checkpoints into ours and back: tables of names, sizes from shapes, safe reading."""
