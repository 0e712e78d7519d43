"""From a record to the words that draw its frames again, and what differs between there and here.

A record keeps the words it was asked for with. They are not enough: the twin of a ``paired`` run has the words of the
other, a sweep has those of all. So what the record states (subset, text, selection, seed, batch size) is put in their
place. Words of a record come from anybody: only ``storybench run`` is taken apart, and a word that could name code to
call or a file to read elsewhere is refused.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storybench.errors import DataError
from storybench.records.environment import environment
from storybench.records.record import RunRecord
from storybench.regression.sides import Side

ELSEWHERE = ("folder", "custom")  # model= of frames that exist already, and of a class named by the command
OUTSIDE = ("run_root", "format", "rescore", "device", "paper", "dataset.root")  # they decide no frame and no score
RESTATED = ("subset", "text", "seed", "batch_size")  # taken from the record
_WORD = re.compile(r"(?P<plus>\+{0,2})(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.DOTALL)
_CODE = re.compile(r"_target_|\$\{|hydra\b|@|_convert_|_partial_|_args_")
_SLUG = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Recipe:
    """How the frames of a record were drawn."""

    words: tuple[str, ...]  # after ``storybench run``
    commit: str | None
    dirty: bool
    packages: dict[str, tuple[str | None, str | None]]  # what differs: there, here

    @property
    def command(self) -> str:
        """The command to type."""
        return "storybench run " + shlex.join(self.words)


def recipe(side: Side, *, limit: int | None = None) -> Recipe:
    """Return how the frames of a row were drawn.

    Args:
        side: The row.
        limit: Only the first stories.

    Raises:
        DataError: If the row was not drawn by ``storybench run``, or its command holds what cannot be repeated safely.
    """
    record = side.record
    words = _words(side)
    given = {found["key"] for word in words if (found := _WORD.fullmatch(word))}
    restated = {
        "subset": record.split,
        "text": record.text,
        "seed": str(record.seed),
        "batch_size": str(record.batch_size),
    }
    if record.dataset.select != "all" or given & {"split", "experiment", "select"}:
        restated["select"] = record.dataset.select
    kept = [word for word in words if _key(word) not in (*OUTSIDE, *restated)]
    if limit is not None:
        kept = [word for word in kept if _key(word) != "limit"]
        restated["limit"] = str(limit)
    kept += [f"{key}={value}" for key, value in restated.items()]
    return Recipe(
        tuple(kept), record.environment.git_commit, bool(record.environment.git_dirty), differing_packages(record)
    )


def differing_packages(record: RunRecord) -> dict[str, tuple[str | None, str | None]]:
    """Return what of the record's environment is another here: name -> (there, here)."""
    there, here = record.environment, environment(record.environment.device)
    pairs: dict[str, tuple[str | None, str | None]] = {
        "python": (there.python, here.python),
        "platform": (there.platform, here.platform),
    }
    names = sorted({*there.packages, *here.packages})
    pairs |= {name: (there.packages.get(name), here.packages.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def differing_identity(record: RunRecord, other: Mapping[str, Any]) -> list[str]:
    """Return in words where a model differs from the record's, empty if the same is drawn with."""
    said: list[str] = []
    there, here = (json.loads(json.dumps(each)) for each in (record.model.model_dump(mode="json"), other))
    _differing(there, here, "", said)  # as JSON: a pair that was written to a file comes back as a list
    return said


def _differing(there: object, here: object, path: str, said: list[str]) -> None:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted({*there, *here}):
            _differing(there.get(key), here.get(key), f"{path}.{key}" if path else str(key), said)
    elif there != here:
        said.append(f"{path} {_short(there)} there, {_short(here)} here")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}…"


def _words(side: Side) -> list[str]:
    """Return the words of the record's command, checked."""
    record = side.record
    try:
        first, second, *words = shlex.split(record.command)
    except ValueError:
        first = second = ""
        words = []
    if (first, second) != ("storybench", "run"):
        raise DataError(elsewhere(side))
    words = [word for word in words if word not in ("-m", "--multirun")]
    model = next((word.partition("=")[2] for word in words if _key(word) == "model"), None)
    if model in ELSEWHERE:
        raise DataError(elsewhere(side))
    out = [f"model={record.model.name}"] if model is not None and "," in model else []
    for word in words:
        found = _WORD.fullmatch(word)
        if found is None or _CODE.search(word):
            raise DataError(
                f"The command of '{side.name}' holds {word!r}, which is not run for you: read it, run it yourself "
                f"({record.command}), and then: storybench compare {side.name} runs/FINGERPRINT"
            )
        if _key(word) == "model" and "," in found["value"]:
            continue
        if "," in found["value"] and _key(word) not in (*RESTATED, *OUTSIDE) and not found["value"].startswith("["):
            raise DataError(
                f"'{side.name}' is one run of a sweep over {word!r}, and which cannot be told: give the run that you "
                "mean a command of its own."
            )
        out.append(word)
    if model is not None and "," not in model and not _SLUG.fullmatch(model):
        raise DataError(
            f"The command of '{side.name}' names model {model!r}, expected a name of `storybench list models`."
        )
    return out


def _key(word: str) -> str:
    found = _WORD.fullmatch(word)
    return found["key"] if found else ""


def elsewhere(side: Side) -> str:
    """Return the sentence for a row whose frames storybench did not draw."""
    record = side.record
    made = f"its record is of `{record.command}`" if record.command else "its record has no command"
    words = f"dataset={record.dataset.name} subset={record.split} text={record.text} name={record.model.name}"
    return (
        f"'{side.name}' was drawn elsewhere ({made}), so its frames cannot be drawn again here. Its scores can be "
        f"checked: fetch its frames and run: storybench evaluate frames=DIR {words}"
    )
