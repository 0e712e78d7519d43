"""Networks that put a picture into words, and judge how well words fit a picture."""
