"""A protocol: everything between the pixels of a frame and the numbers a distance compares, frozen under one name.

The name carries the preprocessing, because the same frames differ by tens of FID points between two libraries. A
change of any field is a new version; the old one stays runnable. ``digest`` is a hash of all fields, so that a silent
change is seen by a test and by whoever compares two records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from storybench.errors import ConfigError, unknown

Method = Literal["pil_bicubic", "pil_bilinear_uint8", "pil_bilinear_uint8_short_side", "centre_crop", "tf1_bilinear",
                 "torch_bilinear", "area", "area_down"]  # fmt: skip
InputRange = Literal["tensorflow", "symmetric", "imagenet", "clip", "imagenet_taken_as_symmetric"]
TrueFrames = Literal["every", "drawn"]
METHODS: tuple[str, ...] = get_args(Method)
INPUT_RANGES: tuple[str, ...] = get_args(InputRange)


class Resize(NamedTuple):
    """One step of a chain: how, and to which square side in pixels."""

    method: Method
    px: int


@dataclass(frozen=True)
class Reference:
    """Which true frames a distance compares with, and which stories take part.

    Attributes:
        frames: ``every``: each sub-frame of every distinct true frame once. ``drawn``: for every generated frame one
            sub-frame of its true frame, at random, so that a clip shared by stories comes several times.
        draws: Number of seeded draws of a ``drawn`` reference; the value is their mean.
        batch_stories: Stories of a batch when the last one is dropped unless full; 0 drops nothing.
        first_stories: Only so many stories, from the first; 0 takes all.
    """

    frames: TrueFrames = "every"
    draws: int = 1
    batch_stories: int = 0
    first_stories: int = 0


@dataclass(frozen=True)
class Protocol:
    """A frozen way from frames to features, and what they are compared with (metrics.md 5.1).

    Attributes:
        name: Distance and way, such as ``fid/clean-inception``.
        version: ``v1``, ``v2``, ...
        extractor: Asset id of the network.
        weights_sha256: Of its file; empty where no hash is published, then the hash found is a part of what is kept.
        resize: Steps in order, on values 0 .. 255.
        input_range: How 0 .. 255 becomes what the network is given.
        reference: Which true frames.
        dtype: Of pass and features.
        width: D, number of features.
        stand_in: Whether the ToonSV network looks in place of the one the chain was made for.
    """

    name: str
    version: str
    extractor: str
    weights_sha256: str
    resize: tuple[Resize, ...]
    input_range: InputRange
    reference: Reference = field(default_factory=Reference)
    dtype: Literal["float32"] = "float32"
    width: int = 2048
    stand_in: bool = False

    @property
    def id(self) -> str:
        """The id that is printed beside every value, e.g. ``fid/clean-inception/v1``."""
        return f"{self.name}/{self.version}"

    @property
    def distance(self) -> str:
        """``fid``, ``fd`` (Fréchet, not of Inception) or ``cmmd``."""
        return self.name.partition("/")[0]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of a hash over every field."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, ready for JSON or YAML."""
        return {**asdict(self), "resize": [list(step) for step in self.resize]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Protocol:
        """Return the protocol that :meth:`to_dict` wrote down.

        Raises:
            ConfigError: If a field, a method or a range is unknown, or a field is missing.
        """
        known = cls.__dataclass_fields__
        for key in values:
            if key not in known:
                raise unknown("field", key, known, of="a protocol")
        try:
            steps = tuple(Resize(method, int(px)) for method, px in values["resize"])
            protocol = cls(**{**values, "resize": steps, "reference": Reference(**values.get("reference", {}))})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"A protocol cannot be read ({error}): give the fields of a file in configs/protocol, resize as a list "
                "of [method, pixels]."
            ) from error
        for step in protocol.resize:
            if step.method not in METHODS:
                raise unknown("resize method", step.method, METHODS)
        if protocol.input_range not in INPUT_RANGES:
            raise unknown("input range", protocol.input_range, INPUT_RANGES)
        return protocol
