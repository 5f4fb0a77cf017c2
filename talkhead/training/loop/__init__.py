"""The training loop, its state and the files of a run."""
