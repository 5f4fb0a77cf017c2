"""Clips, identities and landmark files, as training and evaluation find them."""
