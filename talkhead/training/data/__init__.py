"""Training batches: clips in memory, pairs, augmentation, landmarks."""
