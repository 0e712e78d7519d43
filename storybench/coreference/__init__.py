"""References across frames: who is meant, how far back, and what a guess would get."""
