"""One set of frames under every protocol of the field: how far apart are the numbers that papers call FID?

Nothing is drawn. Each picture is decoded once; a protocol whose network is not at hand gets a reason in place of a
value. Values of different protocols, or of different numbers of frames, are not comparable: that is what this shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from storybench.errors import ConfigError, DataError, StorybenchError
from storybench.perception.cache import ObservationCache
from storybench.perception.protocols.looking import Looked, chain_of, look
from storybench.perception.protocols.observer import BATCH, FeatureObserver, open_observer
from storybench.perception.protocols.protocol import Protocol as FrozenProtocol
from storybench.perception.protocols.published import ALL, choose
from storybench.perception.protocols.referring import (
    OwnFrames,
    SubFrames,
    TrueKey,
    names,
    reference_draws,
    sub_frames,
)
from storybench.protocol_scores import Place, ProtocolScore, places_of, score_protocol
from storybench.story import Story

LOSSLESS = ("PNG", "BMP", "PPM")
STAND_IN_DATASET = "toonsv"


class FrameReader(Protocol):
    """Anything that gives decoded frames; :class:`storybench.frames.FrameStore` does."""

    def read(self, story_id: str, frame: int) -> Image.Image:
        """Return one RGB picture."""
        ...


@runtime_checkable
class OnDisk(Protocol):
    """A reader whose frames are files."""

    def path(self, story_id: str, frame: int) -> Path:
        """Return where a frame lies."""
        ...


def protocols_asked(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the protocols that ``protocol=...`` words name, and the other words.

    Ids hold ``/`` and aliases ``:``; the words are taken before a configuration tool sees them. ``protocol=a,b`` and
    ``protocol=[a,b]`` name two.

    Raises:
        ConfigError: If such a word names none.
    """
    given = [word.partition("=")[2].strip("[]") for word in words if word.startswith("protocol=")]
    rest = [word for word in words if not word.startswith("protocol=")]
    named = [name.strip() for part in given for name in part.split(",") if name.strip()]
    if given and not named:
        raise ConfigError("protocol= names no protocol: give protocol=all, or an id such as protocol=fid:standard.")
    return named, rest


def compare_protocols(
    stories: Sequence[Story],
    frames: FrameReader,
    protocols: str | FrozenProtocol | Sequence[str | FrozenProtocol] = ALL,
    device: str = "cpu",
    batch: int = BATCH,
    *,
    truth: SubFrames | None = None,
    weights: Mapping[str, Path] | None = None,
    cache: ObservationCache | None = None,
) -> list[ProtocolScore]:
    """Score one set of frames under several protocols.

    Args:
        stories: What the frames were drawn for; they say which true frames a reference holds.
        frames: Gives the generated frame of a story.
        protocols: ``all``, an id or alias, a protocol of your own, or several.
        device: Where the networks run.
        batch: Pictures a pass; another one moves features by about 1e-6.
        truth: All sub-frames of the true frames; by default those that ``stories`` know of.
        weights: Asset id -> file or folder, in place of where assets lie.
        cache: Features of earlier passes.

    Returns:
        One score a protocol, in the order of the list of protocols.

    Raises:
        ConfigError: For an unknown protocol.
        DataError: If a frame is missing or a lossy file, or frames differ in size.
    """
    chosen = choose(protocols)
    true_name = {(s.id, f.index): name for s in stories for f, name in zip(s.frames, names(s), strict=True)}
    _refuse_lossy(frames, true_name)
    observers, reasons = _open(chosen, stories, weights or {}, device, batch)
    seen = look({place: partial(frames.read, *place) for place in true_name}, observers, cache=cache)
    _refuse_mixed(seen)
    source = truth or sub_frames(stories)
    draws: dict[str, list[list[TrueKey]]] = {}
    wanted: dict[str, set[TrueKey]] = {chain: set() for chain in observers}
    for p in (p for p in chosen if p.id not in reasons):
        places = places_of(p, stories)
        draws[p.id] = reference_draws(places, [true_name[x] for x in places], source.count, p.reference)
        wanted[chain_of(p)].update(*draws[p.id])
    needed: set[TrueKey] = set().union(*wanted.values())
    true = look({key: partial(source.load, key) for key in sorted(needed)}, observers, wanted, cache)
    notes = _notes(source, stories)
    return [
        ProtocolScore(p.id, reason=reasons[p.id], stand_in=p.stand_in, digest=p.digest)
        if p.id in reasons
        else score_protocol(p, stories, seen, true, draws[p.id], notes)
        for p in chosen
    ]


def _open(
    chosen: Sequence[FrozenProtocol], stories: Sequence[Story], weights: Mapping[str, Path], device: str, batch: int
) -> tuple[dict[str, FeatureObserver], dict[str, str]]:
    """Return chain -> what looks, and protocol id -> why it cannot."""
    observers: dict[str, FeatureObserver] = {}
    reasons: dict[str, str] = {}
    foreign = sorted({story.dataset for story in stories} - {STAND_IN_DATASET})
    for p in chosen:
        if p.stand_in and foreign:
            reasons[p.id] = f"the ToonSV network reads {STAND_IN_DATASET} only, not {', '.join(foreign)}"
        elif (chain := chain_of(p)) not in observers:
            try:
                observers[chain] = open_observer(p, weights.get(p.extractor), device, batch)
            except StorybenchError as error:
                reasons[p.id] = str(error)
    return observers, reasons


def _notes(source: SubFrames, stories: Sequence[Story]) -> tuple[str, ...]:
    """Return what every value suffers from."""
    if isinstance(source, OwnFrames) and any(story.dataset != STAND_IN_DATASET for story in stories):
        return ("one picture a true frame was at hand; the reference is defined on all sub-frames",)
    return ()


def _refuse_lossy(frames: FrameReader, places: Iterable[Place]) -> None:
    """Raise if a frame is a file of a format that changes pixels."""
    if not isinstance(frames, OnDisk):
        return
    for place in places:
        path = frames.path(*place)
        if not path.is_file():
            raise DataError(f"Frame {place[0]}/{place[1]} is missing: expected it at '{path}'.")
        try:
            with Image.open(path) as image:  # reads the header only
                kind = image.format
        except OSError as error:
            raise DataError(f"'{path}' cannot be decoded: it is truncated or not a picture.") from error
        if kind not in LOSSLESS:
            raise DataError(
                f"'{path}' is a {kind} file, which can change pixels and so the distance: write frames as PNG."
            )


def _refuse_mixed(seen: Looked[Place]) -> None:
    """Raise if generated frames differ in size."""
    sizes = sorted(set(seen.sizes.values()))
    if len(sizes) > 1:
        listed = ", ".join(f"{w} x {h}" for w, h in sizes)
        raise DataError(f"Frames of one set differ in size ({listed} pixels): a distance needs one resolution.")
