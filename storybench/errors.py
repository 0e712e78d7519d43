"""What can go wrong because of what the user gave, and how to say it.

Every error of this family is one clear sentence: what happened, the value, what was expected, how to mend it. The
command line prints it alone and exits with status 2; anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_SUGGESTIONS = 3
MAX_LISTED = 20


class StorybenchError(Exception):
    """Base of all errors that a user can mend."""


class ConfigError(StorybenchError):
    """A key, a name or a value of the configuration is wrong."""


class DataError(StorybenchError):
    """Stories, frames or records on disk are missing, damaged or of another version."""


class AssetError(StorybenchError):
    """Weights or another asset are missing or not what their hash says."""


class NumericalError(StorybenchError):
    """A computation left the range in which its result means something."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return the tail of an unknown-name message: close matches, then what is available.

    Args:
        name: What was asked for.
        choices: What exists.

    Returns:
        ``"Did you mean: a, b? Available: a, b, c."``; without close matches the second half; empty without choices.
    """
    known = sorted(set(choices))
    if not known:
        return ""
    by_case = {k.lower(): k for k in known}
    close = [by_case[c] for c in difflib.get_close_matches(name.lower(), by_case, n=MAX_SUGGESTIONS, cutoff=0.5)]
    close += [k for k in known if k not in close and name and k.lower().startswith(name.lower())]
    listed = ", ".join(known[:MAX_LISTED]) + (", ..." if len(known) > MAX_LISTED else "")
    hint = f"Did you mean: {', '.join(close[:MAX_SUGGESTIONS])}? " if close else ""
    return f"{hint}Available: {listed}."


def unknown(kind: str, name: str, choices: Iterable[str], of: str = "") -> ConfigError:
    """Return the error for an unknown ``kind`` (model, split, ...) called ``name``, a part ``of`` something."""
    whose = f" of {of}" if of else ""
    return ConfigError(f"Unknown {kind} {name!r}{whose}. {did_you_mean(name, choices)}".strip())
