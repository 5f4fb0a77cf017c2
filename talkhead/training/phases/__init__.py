"""Steps before and after the training loop."""
