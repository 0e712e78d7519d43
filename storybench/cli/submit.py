"""``storybench submit``: from a folder of frames to a row of the board, and what its keepers do with it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from storybench.errors import ConfigError, unknown

ACTIONS = {  # name -> function of a module
    "card": "storybench.cli.submit_pack:card",
    "pack": "storybench.cli.submit_pack:pack",
    "check": "storybench.cli.submit_check:check",
    "score": "storybench.cli.submit_score:score",
    "review": "storybench.cli.submit_review:review",
    "board": "storybench.cli.submit_review:board",
}
USAGE = """usage: storybench submit ACTION [FILE] [key=value ...]

  card    print a model card to fill in
  pack    frames=DIR card=CARD.yaml benchmark=toonsv-v1 [text=referential] [record=FILE] [out=FILE.zip]
          run=DIR card=CARD.yaml [out=FILE.zip]: frames, text, seed, command and record of a finished run
  check   FILE.zip [benchmark=NAME] [text=NAME] [format=json]: everything that is wrong with it
  score   FILE.zip [explicit=FILE.zip] [board=leaderboard/results] [by=NAME] [url=https://...] [device=cpu]
          FILE.zip trust=record: a row of the record inside, labelled as self-reported
  review  BASE_BOARD HEAD_BOARD [archives=DIR] [out=comment.md] [device=cpu]: what a pull request does; exit 1: mend it
  board   [board=leaderboard/results] [format=json]: orphans and contradictions; exit 1: there are some

Data sets that are not shipped need dataset.root=DIR. docs/submit.md goes through all of it."""


def main(arguments: Sequence[str]) -> int:
    """Do one of :data:`ACTIONS`; 0 done, 2 the user must mend something, 1 a review or a board that does not hold."""
    if "--help" in arguments or not arguments:
        print(USAGE)
        return 0
    action, rest = arguments[0], arguments[1:]
    if "=" in action:
        raise ConfigError(f"Say what to do first: storybench submit {'|'.join(ACTIONS)}.")
    if action not in ACTIONS:
        raise unknown("submit command", action, ACTIONS)
    module, _, function = ACTIONS[action].partition(":")
    status: int = getattr(importlib.import_module(module), function)(rest)
    return status
