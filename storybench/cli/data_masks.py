"""``storybench data masks``: instance maps of a release from its boxes, by Segment Anything."""

from __future__ import annotations

from storybench.cli.config import DataConfig
from storybench.cli.data_subset import WHOLE
from storybench.cli.table import print_json
from storybench.errors import ConfigError

MAKER = "storygptv.masks.make_masks"  # by name: the harness imports no model


def main(config: DataConfig) -> int:
    """Make the maps of ``dataset.root``; without ``subset=`` of all clips."""
    from hydra.utils import get_object

    if config.checkpoint is None:
        raise ConfigError(
            "checkpoint needs a value: give checkpoint=FILE, Segment Anything's weights, such as sam_vit_h_4b8939.pth."
        )
    if config.select != WHOLE:
        raise ConfigError("Masks are made of whole subsets: choose stories with split= when reading the data set.")
    report = get_object(MAKER)(
        config.dataset,
        config.checkpoint,
        config.out,
        subset=config.subset or WHOLE,
        pictures="all" if config.pictures == "auto" else config.pictures,
        limit=config.limit,
        model_type=config.model_type,
        sha256=config.sha256,
        mask_rule=config.mask_rule,
        precision=config.precision,
        device=config.device,
        batch_size=config.batch_size,
    )
    if config.format == "json":
        print_json(report._asdict())
    else:
        print(f"{report.written} masks written, {report.kept} kept, of {report.clips} clips in {report.folder}")
    return 0
