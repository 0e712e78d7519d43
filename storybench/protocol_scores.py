"""The distance of one set of frames under one protocol: value, error, counts and warnings, and many of them as a table.

Features are given; nothing here looks at a picture.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from storybench.errors import StorybenchError
from storybench.metrics.functional.frechet import Moments, frechet_distance
from storybench.metrics.functional.kernel import CMMD_SCALE, KernelSums, cmmd, gaussian_kernel, unit_rows
from storybench.perception.observation import Array
from storybench.perception.protocols.looking import Looked, chain_of
from storybench.perception.protocols.protocol import Protocol
from storybench.perception.protocols.referring import TrueKey, names, taking_part
from storybench.statistics.clusters import story_clusters
from storybench.statistics.jackknife import delete_group_jackknife, group_indices
from storybench.story import Story

GROUPS = 20  # metrics.md 5.3
DUPLICATES = 0.01  # share of repeated frames above which one is warned, metrics.md 5.1
STAND_IN_NOTE = "stand-in: the ToonSV network looked at what this protocol shows to its own; no FID"
Place = tuple[str, int]  # story id, frame


@dataclass(frozen=True)
class ProtocolScore:
    """The distance of one set of frames under one protocol, or why there is none."""

    id: str
    value: float | None = None
    standard_error: float | None = None  # jackknife over clusters, deleted from both sides
    n: int = 0  # generated frames
    reference_n: int = 0  # true frames, of one draw
    seconds: float = 0.0  # of looking and computing; protocols that share a chain share its looking
    reason: str | None = None  # why it was not run
    draws: int = 1  # of the reference; the value is their mean
    draw_sd: float | None = None  # standard deviation over the draws; None where nothing is drawn
    frame_px: tuple[int, int] | None = None  # width and height of the generated frames
    reference_px: tuple[int, int] | None = None  # at which true frames were read
    stand_in: bool = False  # the ToonSV network looked in place of the published one: no FID
    digest: str = ""  # of the protocol's definition
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return asdict(self)


@dataclass(frozen=True)
class Clouds:
    """Both sides of a distance, with the cluster of every row."""

    generated: Array  # (n, D) float64
    true: Array  # (r, D) float64
    generated_clusters: Sequence[str]
    true_clusters: Sequence[str]


def places_of(p: Protocol, stories: Sequence[Story]) -> list[Place]:
    """Return the generated frames that take part in a protocol."""
    return [(s.id, f.index) for s in taking_part(stories, p.reference, lambda s: s.id) for f in s.frames]


def score_protocol(
    p: Protocol,
    stories: Sequence[Story],
    seen: Looked[Place],
    true: Looked[TrueKey],
    draws: Sequence[Sequence[TrueKey]],
    notes: Sequence[str] = (),
) -> ProtocolScore:
    """Return the score of frames under ``p``.

    Args:
        p: The protocol.
        stories: All stories; the protocol may take some of them.
        seen: Features of the generated frames.
        true: Features of the true frames.
        draws: True frames of each draw of the reference.
        notes: Warnings known before.
    """
    started, chain, places = time.perf_counter(), chain_of(p), places_of(p, stories)
    clusters = story_clusters(stories)
    true_cluster = {name: clusters[s.id] for s in stories for name in names(s)}
    result = ProtocolScore(
        p.id,
        n=len(places),
        reference_n=len(draws[0]),
        draws=len(draws),
        frame_px=next((seen.sizes[x] for x in places), None),
        reference_px=next((true.sizes[x] for x in draws[0]), None),
        stand_in=p.stand_in,
        digest=p.digest,
        warnings=(*notes, *_warnings(p, len(stories), [seen.pixels[x] for x in places], len(draws[0]))),
    )
    if len(places) < 2 or len(draws[0]) < 2:
        return replace(result, reason=f"needs two or more frames on each side, got {len(places)} and {len(draws[0])}")
    try:
        values, error = _values(
            p, seen.rows(chain, places), [clusters[s] for s, _ in places], true, draws, true_cluster
        )
    except (StorybenchError, ValueError) as problem:  # features that are not finite, or a distance that is no number
        return replace(result, reason=str(problem))
    drawn = p.reference.frames == "drawn"
    return replace(
        result,
        value=float(np.mean(values)),
        standard_error=error,
        draw_sd=(float(np.std(values, ddof=1)) if len(values) > 1 else 0.0) if drawn else None,
        seconds=seen.seconds[chain] + true.seconds[chain] + time.perf_counter() - started,
    )


def _values(
    p: Protocol,
    generated: Array,
    clusters: Sequence[str],
    true: Looked[TrueKey],
    draws: Sequence[Sequence[TrueKey]],
    true_cluster: Mapping[str, str],
) -> tuple[list[float], float | None]:
    """Return the distance of every draw, and the standard error of the first."""
    values, error = [], None
    for k, keys in enumerate(draws):  # one draw in memory at a time
        clouds = Clouds(generated, true.rows(chain_of(p), keys), clusters, [true_cluster[key.frame] for key in keys])
        values.append(_distance(p, clouds.generated, clouds.true))
        error = _standard_error(p, values[0], clouds) if k == 0 else error
    return values, error


def _distance(p: Protocol, generated: Array, true: Array) -> float:
    return cmmd(generated, true) if p.distance == "cmmd" else frechet_distance(generated, true)


def _standard_error(p: Protocol, value: float, c: Clouds) -> float | None:
    """Return the jackknife error over clusters, whole ones deleted from both sides; None with fewer than three."""
    group = group_indices([*c.generated_clusters, *c.true_clusters], GROUPS)
    group_x, group_y = group[: len(c.generated)], group[len(c.generated) :]
    groups = int(group.max()) + 1
    sizes = np.bincount(group_x, minlength=groups)
    if groups < 3 or min(len(g) - np.bincount(g, minlength=groups).max() for g in (group_x, group_y)) < 2:
        return None
    if p.distance == "cmmd":
        sums = KernelSums.of(unit_rows(c.generated), unit_rows(c.true), gaussian_kernel, group_x, group_y)
        without = [CMMD_SCALE * sums.mmd2(biased=True, without=j) for j in range(groups)]
    elif min(len(c.generated), len(c.true)) < p.width:
        without = [frechet_distance(c.generated[group_x != j], c.true[group_y != j]) for j in range(groups)]
    else:  # moments subtract, so that no covariance is summed anew
        all_x, all_y = Moments.of(c.generated), Moments.of(c.true)
        parts = ((Moments.of(c.generated[group_x == j]), Moments.of(c.true[group_y == j])) for j in range(groups))
        without = [frechet_distance(all_x - x, all_y - y) for x, y in parts]
    return delete_group_jackknife(value, without, sizes.tolist()).standard_error


def _warnings(p: Protocol, stories: int, pixels: Sequence[str], reference_n: int) -> Iterable[str]:
    """Yield what a reader of the value must know."""
    n, repeated = len(pixels), len(pixels) - len(set(pixels))
    if 2 <= min(n, reference_n) < p.width:
        yield f"{min(n, reference_n)} frames for {p.width} features: the covariance is singular and the bias large"
    if repeated > DUPLICATES * n:
        yield f"{repeated} of {n} generated frames repeat another"
    if 0 < stories < p.reference.first_stories:
        yield f"defined on the first {p.reference.first_stories} stories, got {stories}"
    if p.reference.batch_stories and stories % p.reference.batch_stories:
        yield f"{stories % p.reference.batch_stories} of {stories} stories lie in a batch that is dropped"


def protocols_table(scores: Sequence[ProtocolScore]) -> Group:
    """Return the scores as a table with footnotes: what has a value first, then what was not run and why."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title="One set of frames under every protocol")
    for name in ("protocol", "distance", "± SE", "draw sd", "n/true", "s", "note"):
        table.add_column(name, justify="left" if name in ("protocol", "note") else "right", no_wrap=True)
    notes: dict[str, int] = {}
    for s in sorted(scores, key=lambda s: s.value is None):
        said = [*([STAND_IN_NOTE] if s.stand_in and s.value is not None else []), *s.warnings]
        said += [s.reason] if s.reason else []
        marks = ",".join(str(notes.setdefault(text, len(notes) + 1)) for text in said)
        if s.value is None:
            table.add_row(s.id, "not run", "", "", "", "", marks)
            continue
        error, sd = ("" if x is None else f"{x:.3f}" for x in (s.standard_error, s.draw_sd))
        table.add_row(s.id, f"{s.value:.3f}", error, sd, f"{s.n}/{s.reference_n}", f"{s.seconds:.0f}", marks)
    lines = [f"{number} {text}" for text, number in notes.items()]
    return Group(table, Text(_caption([s for s in scores if s.value is not None])), *map(Text, lines))


def _caption(run: Sequence[ProtocolScore]) -> str:
    """Return how far apart the Fréchet distances of one kind of network are."""
    parts = []
    for stand_in, what in ((False, "protocols"), (True, "stand-ins")):
        values = [s.value for s in run if s.stand_in == stand_in and s.value is not None and "cmmd/" not in s.id]
        if len(values) > 1:
            parts.append(f"Fréchet distances of {what}: {min(values):.3f} to {max(values):.3f} for the same frames")
    return ". ".join([*parts, "Values of two rows are not comparable."])
