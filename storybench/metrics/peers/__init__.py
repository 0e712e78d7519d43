"""Columns of other benchmarks, for comparison with their tables; nothing here is ranked by them.

Each works on whatever fills the fields it requires. The names of features (``dino-vitb16``) are those of the networks
in :mod:`storybench.perception.peers`; the protocol id that stands beside a score says which weights filled them.
"""

from storybench.metrics.peers.captions import VinaReciprocalRank
from storybench.metrics.peers.figures import CidsSelf, Occm
from storybench.metrics.peers.frames import ClipImage, DinoImage, DreamSim, Lpips, VBenchBackground, VBenchSubject

__all__ = [
    "CidsSelf",
    "ClipImage",
    "DinoImage",
    "DreamSim",
    "Lpips",
    "Occm",
    "VBenchBackground",
    "VBenchSubject",
    "VinaReciprocalRank",
]
