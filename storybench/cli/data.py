"""``storybench data``: what is in a data set, checked, counted, written out, and completed by masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from storybench.cli.config import DataConfig, compose
from storybench.cli.table import print_json
from storybench.errors import ConfigError, unknown

ACTIONS = ("stats", "export", "verify", "build", "masks")
USAGE = """usage: storybench data ACTION dataset=NAME [dataset.root=DIR] [key=value ...]

  stats   counts: stories, words, characters, references; split= subset= text= limit= format=json
  export  one JSON object a story, a line each: split= subset= text= limit= out=FILE
  verify  what is in dataset.root, what is missing, and every defect: dataset.layout= format=json
  build   the canonical Parquet form: subset= out=DIR pictures=frame|all|none
  masks   instance maps by Segment Anything from boxes: checkpoint=FILE model_type=vit_h out=DIR device= batch_size="""
BUILT_PICTURES = "frame"


def main(arguments: Sequence[str]) -> int:
    """Do one of :data:`ACTIONS`; 0 done, and for ``verify`` 1 defects, 2 unusable."""
    if "--help" in arguments or "-h" in arguments:
        print(USAGE)
        return 0
    if not arguments or "=" in arguments[0]:
        raise ConfigError(f"Say what to do: storybench data {'|'.join(ACTIONS)} dataset=... subset=...")
    action, rest = arguments[0], arguments[1:]
    if action not in ACTIONS:
        raise unknown("data command", action, ACTIONS)
    config = compose("data", rest, DataConfig)
    if action == "verify":
        return _verify(config)
    if action == "stats":
        from storybench.cli import data_stats

        return data_stats.main(config)
    if action == "export":
        from storybench.cli import data_export

        return data_export.main(config)
    if action == "masks":
        from storybench.cli import data_masks

        return data_masks.main(config)
    from storybench.cli import data_build

    return data_build.main(replace(config, pictures=BUILT_PICTURES) if config.pictures == "auto" else config)


def _verify(config: DataConfig) -> int:
    """Print what is right and wrong with a release on disk."""
    from storybench.data.verify import verify

    name, root = str(config.dataset["name"]), config.dataset.get("root")
    if root is None:
        raise ConfigError(f"Nothing on disk to verify for dataset {name}: give dataset.root=DIR of a release.")
    report = verify(name, Path(root), config.dataset.get("layout"))
    if config.format == "json":
        print_json(report.to_json())
    else:
        print("\n".join(report.lines()))
    return report.status
