"""One record in full: every metric, and what its details say by character, distance, pronoun and stratum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from leaderboard.explained import GROUPS, explanations, group_members
from leaderboard.views.cells import cell, heading, interval, number
from storybench.records.record import RunRecord

STRATA = (
    ("antecedent_acc", "all references"),
    ("antecedent_acc_plural", "to several characters"),
    ("antecedent_acc_ambiguous", "where the pronoun alone does not decide"),
    ("setting_acc", "settings, all frames"),
    ("setting_carry_over", "settings where the caption names none"),
)
POINTS = ["label", "value", "low", "high", "kind", "text"]


def metrics(scores: pd.DataFrame) -> pd.DataFrame:
    """Return every metric of a row, group by group; what was not run has an empty value and its reason."""
    about, of = explanations(), scores.set_index("metric")
    names = [name for group in GROUPS for name in group_members(group) if name in of.index]
    names += [str(name) for name in of.index if name not in names]
    group_of = {name: title for group, title in GROUPS.items() for name in group_members(group)}
    found = []
    for name in names:
        score = of.loc[name].to_dict()
        share, value = score["fraction"], score["value"]
        bounds = {end: number(score[end], fraction=share, digits_of=value) for end in ("floor", "ceiling")}
        found.append(
            {
                "group": group_of.get(name, "others"),
                "metric": heading(name, higher_is_better=bool(score["higher_is_better"])),
                "value": cell(score),
                "95 % interval": interval(score),
                **bounds,
                "n": f"{score['n']} {score['unit']}" if score["n"] else "",
                "protocol": score["protocol"] if pd.notna(score["value"]) else "",
                "not run because": score["reason"],
                "says": about[name].about if name in about else "",
            }
        )
    return pd.DataFrame(found)


def by_character(record: RunRecord) -> pd.DataFrame:
    """Return precision, recall and F1 in percent, and frames, of each character; empty where the record has none."""
    its = record.details.get("characters")
    if not isinstance(its, Mapping):
        return pd.DataFrame(columns=["character", "precision", "recall", "F1", "frames"])
    return pd.DataFrame(
        [
            {
                "character": str(name),
                "precision": _percent(of.get("precision")),
                "recall": _percent(of.get("recall")),
                "F1": _percent(of.get("f1")),
                "frames": of.get("frames"),
            }
            for name, of in its.items()
        ]
    )


def by_distance(record: RunRecord) -> pd.DataFrame:
    """Return antecedent accuracy in percent by frames since the naming: columns x, value, low, high and text."""
    its = record.details.get("antecedent_by_distance")
    points = _parts(its if isinstance(its, Mapping) else {}, "this model")
    return points.rename(columns={"label": "x"})


def by_pronoun(record: RunRecord) -> pd.DataFrame:
    """Return antecedent accuracy in percent by pronoun, as points of a chart of whiskers."""
    its = record.details.get("antecedent_by_pronoun")
    return _parts(its if isinstance(its, Mapping) else {}, "this model")


def strata(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of the strata that are scored apart, as points of a chart of whiskers."""
    of = scores.set_index("metric")
    its = {
        label: of.loc[name, ["value", "low", "high", "n"]].to_dict()
        for name, label in STRATA
        if name in of.index and pd.notna(of.loc[name, "value"])
    }
    return _parts(its, "this model")


def provenance(record: RunRecord) -> Sequence[tuple[str, str]]:
    """Return (name, value) of what it takes to get the same numbers again."""
    env = record.environment
    changed = {True: ", with uncommitted changes", False: "", None: ""}[env.git_dirty]
    return (
        ("Fingerprint", record.fingerprint),
        ("Commit", f"{env.git_commit}{changed}" if env.git_commit else "not known: an installed package"),
        ("storybench", record.benchmark_version),
        ("Python, platform, device", f"{env.python}, {env.platform}, {env.device}"),
        ("Packages", ", ".join(f"{name} {version}" for name, version in env.packages.items())),
        ("Started, ended", f"{record.started}, {record.ended or 'not ended'}"),
        ("Frames", f"{record.coverage.ok} of {record.coverage.expected}"),
        ("Weights (SHA-256)", ", ".join(f"{name} {digest[:12]}…" for name, digest in record.model.weights.items())),
        ("Sampler", ", ".join(f"{name} {value}" for name, value in record.model.sampler.items())),
    )


def _parts(of: Mapping[str, Any], kind: str) -> pd.DataFrame:
    """Return named parts with value, low, high and n as points, in percent."""
    found = []
    for name, part in of.items():
        if not isinstance(part, Mapping) or part.get("value") is None:
            continue
        low, high = _percent(part.get("low")), _percent(part.get("high"))
        value = part["value"] * 100
        text = f"{value:.1f}" + (f" [{low:.1f}, {high:.1f}]" if pd.notna(low) and pd.notna(high) else "")
        found.append(
            {
                "label": str(name).replace(":", ", "),
                "value": value,
                "low": low,
                "high": high,
                "kind": kind,
                "text": f"{text}, n = {part.get('n', '?')}",
            }
        )
    return pd.DataFrame(found, columns=POINTS)


def _percent(value: float | None) -> float:
    return float("nan") if value is None else value * 100
