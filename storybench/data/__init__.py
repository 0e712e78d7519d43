"""Data sets as Stories: one adapter each."""
