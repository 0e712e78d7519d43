"""Named, frozen ways from pixels to features: preprocessing is a part of a distance's name."""

from storybench.perception.protocols.observer import FeatureObserver, open_observer
from storybench.perception.protocols.protocol import Protocol, Reference, Resize
from storybench.perception.protocols.published import ALIASES, DEFAULT, PROTOCOLS, choose, protocol, stand_in

__all__ = [
    "ALIASES",
    "DEFAULT",
    "FeatureObserver",
    "PROTOCOLS",
    "Protocol",
    "Reference",
    "Resize",
    "choose",
    "open_observer",
    "protocol",
    "stand_in",
]
