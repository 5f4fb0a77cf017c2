"""Training: data, losses, the loop with its phases before and after, and the files of a run."""
