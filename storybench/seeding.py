"""Seeds that depend on what is drawn, never on when or beside what."""

from __future__ import annotations

import hashlib


def frame_seed(seed: int, story_id: str, frame: int) -> int:
    """Return a 63-bit seed for one frame, from SHA-256 of (seed, story id, frame)."""
    digest = hashlib.sha256(f"{seed}|{story_id}|{frame}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
