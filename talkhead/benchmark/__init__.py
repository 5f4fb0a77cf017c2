"""How fast it is and where the time goes: stages, end to end, against the published loop."""
