"""The metrics and the networks that they need."""
