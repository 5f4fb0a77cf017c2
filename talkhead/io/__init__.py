"""Images, tensors and torch files, and files that appear whole or not at all."""
