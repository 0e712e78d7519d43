"""Figures of a ToonSV frame: which pixels belong to each, how it looks, who it is, and the place without them."""
