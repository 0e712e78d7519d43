"""Error bars and comparisons: stories (or their clusters) are the units that are resampled, never frames."""
