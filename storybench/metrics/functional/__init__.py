"""Pure functions: arrays in, number out. No files, no networks, no state."""
