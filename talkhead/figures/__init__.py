"""What `talkhead inspect` draws: the inside of a model at work on one pair."""
