"""One row a frame: what was asked for, what was seen, and in words what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from storybench.metrics.record import FrameRecord


def table_row(r: FrameRecord) -> dict[str, Any]:
    """Return one row of the frames table; columns of networks that did not look are left out."""
    row: dict[str, Any] = {"story": r.story, "frame": r.frame, "cluster": r.cluster, "expected": list(r.expected)}
    if r.seen.reading is not None:
        row |= _reading(r)
    if r.seen.caption is not None:
        row["caption_seen"] = r.seen.caption
    if r.swap is not None and r.swap.seen.reading is not None:
        names = r.swap.seen.reading.characters
        row |= {
            "swap": f"{r.swap.original} -> {r.swap.replacement}",
            "swap_followed": r.swap.replacement in names and r.swap.original not in names,
        }
    return row


def _reading(r: FrameRecord) -> dict[str, Any]:
    expected = Counter(r.expected)
    limited = {name: min(count, 2) for name, count in expected.items()}
    found = {name: count for name, count in r.reading.counts.items() if count}
    mentions = [
        {
            "surface": x.surface,
            "characters": list(x.characters),
            "distance": x.distance,
            "ambiguous": x.ambiguous,
            "resolved": set(x.characters) <= r.reading.characters,
        }
        for x in r.mentions
    ]
    return {
        "predicted": sorted(found),
        "predicted_counts": json.dumps(found, sort_keys=True),
        "correct": set(expected) == set(found),
        "count_correct": limited == found,
        "setting_expected": r.setting,
        "setting_predicted": r.reading.setting,
        "setting_correct": r.setting == r.reading.setting,
        "details_expected": json.dumps(dict(r.details), sort_keys=True),
        "details_read": json.dumps(r.reading.details, sort_keys=True),
        "mentions": json.dumps(mentions),
        "mentions_total": len(mentions),
        "mentions_resolved": sum(x["resolved"] for x in mentions),
        "reason": "; ".join(_reasons(r, limited, found)),
    }


def _reasons(r: FrameRecord, expected: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    """Yield what is wrong with a frame in words; nothing for a right one."""
    if dict(expected) != dict(found):
        yield f"expected {_people(expected)}, found {_people(found)}"
    if r.setting and r.setting != r.reading.setting:
        yield f"expected the setting {r.setting}, found {r.reading.setting or 'none'}"


def _people(counts: Mapping[str, int]) -> str:
    """Return "Zara and Finn", "Zara twice", "nobody"."""
    names = [name if counts[name] == 1 else f"{name} twice" for name in sorted(counts)]
    if not names:
        return "nobody"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
