"""``storybench audit``: the corruption ladder on true frames; exit status 1 if a metric breaks a claim."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storybench.cli.config import AuditConfig, compose
from storybench.cli.table import console, print_json
from storybench.errors import ConfigError, unknown
from storybench.frames import write_atomic

JSON, FIGURE, PAGE = "audit.json", "audit.png", "audit.md"


def main(arguments: Sequence[str]) -> int:
    """Spoil true frames, ask every metric, write JSON, figure and page, and say which claims hold."""
    if "--help" in arguments:
        print("usage: storybench audit [limit=200] [out=runs/audit] [metrics=all] [format=json]")
        return 0
    config = compose("audit", arguments, AuditConfig)
    if config.dataset.get("name") != "toonsv":
        raise ConfigError("The audit draws spoilt frames anew, which only dataset=toonsv can do.")
    if config.limit < 2:
        raise ConfigError(f"limit is {config.limit}: expected 2 or more stories.")
    from storybench.audit.claims import CLAIMS
    from storybench.audit.figure import draw
    from storybench.audit.page import markdown
    from storybench.audit.responses import audit
    from storybench.perception.cache import ObservationCache, default_folder

    chosen = tuple(config.metrics)
    if chosen and not set(chosen) & set(CLAIMS):
        raise unknown("metric with claims", chosen[0], CLAIMS)
    started = time.monotonic()

    def say(corruption: str, strength: float) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {corruption} {strength:g}", file=sys.stderr)

    with ObservationCache(default_folder()) as cache:
        found = audit(
            config.limit,
            subset=config.subset,
            seed=config.seed,
            device=config.device,
            metrics=chosen or None,
            cache=cache,
            progress=say,
        )
    out = Path(config.out)
    write_atomic(out / JSON, (json.dumps(_plain(found.to_dict()), indent=1, allow_nan=False) + "\n").encode())
    write_atomic(out / FIGURE, draw(found))
    write_atomic(out / PAGE, markdown(found, FIGURE).encode())
    if config.format == "json":
        print_json(_plain(found.to_dict()))
    else:
        _print(found)
        print(f"{out / PAGE}, {out / FIGURE}, {out / JSON}")
    return 1 if found.failures else 0


def _print(found: Any) -> None:
    """Print what holds and what does not."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    judged = [r for r in found.responses if r.claim != "none"]
    print(f"{sum(r.verdict == 'passes' for r in judged)} of {len(judged)} claims hold on {found.frames} frames.")
    if not found.failures:
        return
    table = Table(box=SIMPLE_HEAD, title="broken claims", title_justify="left")
    for title in ("metric", "corruption", "claims to"):
        table.add_column(title, no_wrap=True)
    for title in ("rank correlation", "change"):
        table.add_column(title, justify="right")
    for r in found.failures:
        said = {"answers": "fall", "ignores": "stay", "none": "gain nothing"}[r.claim]
        table.add_row(r.metric, r.corruption, said, f"{r.rank_correlation:.2f}", f"{r.change:+.0%}")
    console().print(table)


def _plain(value: Any) -> Any:
    """Return ``value`` with None for NaN: JSON has no such number."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
