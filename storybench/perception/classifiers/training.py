"""Stage ``classifier``: trains on the train split and on nothing else, then looks at val and test once and writes.

Progress is on stderr. The result is an asset folder with the weights, how they were made, what they get right on clips
that were not learnt from, and how often they are wrong on true test frames.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from storybench.errors import ConfigError, unknown
from storybench.perception import assets
from storybench.perception.catalogue import asset, locate
from storybench.perception.classifiers.batches import Batches
from storybench.perception.classifiers.examples import TEST, TRAIN, LabelledClips, clips_shown, labelled_clips
from storybench.perception.classifiers.fitting import Checkpoint, Recipe, fit
from storybench.perception.classifiers.measuring import measure
from storybench.perception.classifiers.network import (
    SIZE_PX,
    VERSION,
    ClassifierNetwork,
    What,
    read_classifier,
    start_from,
)

CHECKPOINT = "checkpoint.pt"
IMAGENET = "inception-v3-imagenet"  # in the catalogue of assets
KINDS = ("characters", "settings")


def train(
    dataset: Mapping[str, Any],
    what: What,
    asset_id: str,
    recipe: Mapping[str, Any],
    subset: str = TRAIN,
    output: str | None = None,
    device: str = "auto",
    workers: int = 4,
    log_every: int = 50,
    checkpoint_every: int = 500,
    max_minutes: float = float("inf"),
    check_clips: int | None = None,
) -> dict[str, Any] | None:
    """Train, check, and write an asset folder; the same command continues a run that was stopped.

    Args:
        dataset: Configuration of the data set (``configs/dataset``).
        what: ``characters`` or ``settings``.
        asset_id: Name in the catalogue of assets, where the result belongs.
        recipe: Fields of :class:`~storybench.perception.classifiers.fitting.Recipe`.
        subset: Only ``train``: an evaluator that has seen test frames measures memory.
        output: Folder to write; None for where ``load_classifier`` looks.
        device: ``auto``, ``cpu``, ``cuda``.
        workers: Threads that decode pictures.
        log_every: Steps between two lines of progress.
        checkpoint_every: Steps between two checkpoints.
        max_minutes: Stop after so many minutes with a checkpoint to continue from.
        check_clips: Clips of val and of test that are looked at in the end; None for all.

    Returns:
        The manifest as written; None if the time was over before the last step.

    Raises:
        ConfigError: If a value is out of range, or ``subset`` is not train.
        DataError: If the release has no labelled pictures.
        AssetError: If ``recipe.init`` or a checkpoint cannot be used.
    """
    if what not in KINDS:
        raise unknown("kind of labels", what, KINDS)
    if subset != TRAIN:
        raise ConfigError(
            f"subset={subset}: a classifier that judges models learns from subset=train only; one that has seen other "
            "splits measures what it remembers."
        )
    settings = Recipe(**recipe)
    clips = labelled_clips(dataset, TRAIN, what, exclude=sorted(clips_shown(dataset, TEST)))
    if not len(clips):
        raise ConfigError(f"Subset train of dataset {dataset['name']} has no clip that no test story shows.")
    folder = Path(output) if output else asset(asset_id).folder
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    model = _initial(settings, len(clips.labels)).to(place).to(memory_format=torch.channels_last)
    checkpoint = Checkpoint(folder / CHECKPOINT, _signature(dataset, what, settings, clips), checkpoint_every)
    say(f"{len(clips):,} clips, {clips.left_out:,} left out, {len(clips.labels)} labels, {settings.steps} steps")
    started = time.perf_counter()
    losses = fit(model, Batches(clips, settings, workers), settings, checkpoint, say, log_every, max_minutes)
    if losses is None:
        say(f"stopped after {max_minutes:g} minutes; the same command continues")
        return None
    facts = _facts(asset_id, dataset, what, settings, clips, losses)
    facts["training"] |= {"seconds": round(time.perf_counter() - started, 1), "device": str(place)}
    state = {name: value.detach().cpu() for name, value in model.body.state_dict().items()}
    assets.write_asset(folder, {assets.WEIGHTS: state}, {**facts, "accuracies": {}, "noise": {}})
    say("looking at val and test")
    found = measure(read_classifier(folder, str(place)), dataset, clips.ids, check_clips)
    manifest = assets.write_asset(folder, {assets.WEIGHTS: state}, {**facts, **found})
    checkpoint.remove()
    return manifest


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)


def _initial(recipe: Recipe, labels: int) -> ClassifierNetwork:
    """Return the network that training starts from; it depends on the seed and leaves the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = ClassifierNetwork(labels, auxiliary=recipe.auxiliary_weight > 0)
    if recipe.init is not None:
        start_from(model, locate(IMAGENET) if recipe.init == "imagenet" else Path(recipe.init))
    return model


def _signature(dataset: Mapping[str, Any], what: What, recipe: Recipe, clips: LabelledClips) -> str:
    """Return what two runs share if one may continue the other."""
    learnt = {"clips_sha256": clips.sha256, "labels": list(clips.labels)}
    return json.dumps({"dataset": dataset["name"], "what": what, **asdict(recipe), **learnt}, sort_keys=True)


def _facts(
    asset_id: str, dataset: Mapping[str, Any], what: What, recipe: Recipe, clips: LabelledClips, losses: list[float]
) -> dict[str, Any]:
    """Return what the manifest says of the network and its training."""
    quarter = max(len(losses) // 4, 1)
    other = "" if recipe.size_px == SIZE_PX else f"-{recipe.size_px}px"
    return {
        "id": f"{asset_id}-{VERSION}{other}",
        "dataset": dataset["name"],
        "what": what,
        "labels": list(clips.labels),
        "size_px": recipe.size_px,
        "preprocessing": f"Pillow bilinear to {recipe.size_px} px, centre crop, ImageNet mean and deviation",
        "training": {
            "command": f"storybench train model=classifier stage={asset_id} dataset.root=DIR",
            **asdict(recipe),
            "init": Path(recipe.init).name if recipe.init else None,
            "subset": TRAIN,
            "clips": len(clips),
            "clips_sha256": clips.sha256,
            "clips_left_out": clips.left_out,
            "loss_first_quarter": round(sum(losses[:quarter]) / quarter, 6),
            "loss_last_quarter": round(sum(losses[-quarter:]) / quarter, 6),
            "torch": torch.__version__,
        },
    }
