"""Networks of other benchmarks' metrics, read from local folders; nothing is fetched and no metric of ours needs them.

The names below are those of the asset catalogue. A metric asks for one of them; :func:`storybench.perception.peers.
opening.open_peer` makes the observer, whose protocol id also says which weights were found.
"""

from typing import Final

CLIP_B32: Final = "clip-vit-b32"  # VBench, background consistency
CLIP_L14: Final = "clip-vit-l14"  # CLIP-I
DINO_B16: Final = "dino-vitb16"  # VBench, subject consistency; DINO score
LPIPS_ALEX: Final = "lpips-alex"
DREAMSIM: Final = "dreamsim"  # no loader here: its ensemble exists in its own package only
PEERS: Final = (CLIP_B32, CLIP_L14, DINO_B16, LPIPS_ALEX)  # those that can be opened
