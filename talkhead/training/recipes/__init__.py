"""What a training run learns: recipes, presets, single overrides."""
