"""Which networks look at the frames of a data set, and what metrics are made from.

ToonSV's networks are shipped. Those of other data sets are trained by their users, and those of other benchmarks are
fetched by them: what is not here is said with the command that gets it, and its metrics are not run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from storybench.errors import AssetError
from storybench.metrics.instruments import FeatureReference, Instruments
from storybench.perception.assets import PerceiverAsset, load_perceiver
from storybench.perception.observation import Observer
from storybench.perception.reading import PerceiverObserver

FRAME_PX = (128, 128)
FIELDS = ("reading", "setting", "setting_labels", "features", "figures", "caption", "caption_fit")
NO_LABELS = "the evaluator names one setting a frame; the published form needs a classifier with many labels"
NO_CHARACTERS = "no figure segmenter of data set {}: train one with storybench train model=detector stage=flintstones"
NO_CAPTIONER = "no captioner of data set {} is here; storybench doctor names those that can be fetched"


@dataclass(frozen=True)
class Equipment:
    """Networks that look, what metrics are made from, and what a record says about both."""

    observers: tuple[Observer, ...]
    instruments: Instruments
    size: tuple[int, int] | None = None  # of frames, in pixels
    details: Mapping[str, Any] = field(default_factory=dict)


def equipment(
    dataset: str, device: str = "cpu", needs: Collection[str] | None = None, perceiver: PerceiverAsset | None = None
) -> Equipment:
    """Return what there is to look at frames of ``dataset`` with.

    Args:
        dataset: Name of a data set.
        device: Where networks run.
        needs: What metrics require; networks that none requires are not loaded. None: all.
        perceiver: Another evaluator of ToonSV than the shipped one.
    """
    own = (
        _toonsv(device, needs, perceiver) if dataset == "toonsv" or perceiver is not None else _trained(dataset, device)
    )
    return _with_peers(own, device, needs)


def _toonsv(device: str, needs: Collection[str] | None, perceiver: PerceiverAsset | None) -> Equipment:
    """Return the shipped networks."""
    asset = perceiver or load_perceiver(device=device)
    network, _, version = asset.id.rpartition("-")
    space = f"fd/{network}/{version}"
    observers: list[Observer] = [PerceiverObserver(asset)]
    protocols = {"reading": asset.id, "features": space}
    details: dict[str, Any] = {"evaluator": asset.id, "evaluator_accuracies": dict(asset.accuracies)}
    if needs is None or "figures" in needs:
        from storybench.perception.figures.observer import load_figures

        figures = load_figures(device=device)
        observers.append(figures)
        protocols["figures"] = figures.id
        details["figures_accuracies"] = dict(figures.asset.accuracies)
    if needs is None or {"caption", "caption_fit"} & set(needs):
        from storybench.perception.captioning.observer import CaptionFitObserver, CaptionObserver
        from storybench.perception.captioning.toon import load_captioner

        captioner = load_captioner(device=device)
        told = (CaptionObserver(captioner), CaptionFitObserver(captioner))
        observers += told
        protocols |= {observer.field: observer.id for observer in told}
    instruments = Instruments(
        protocols=protocols,
        missing={"setting_labels": NO_LABELS},
        vocabulary=asset.model.vocabulary,
        settings=asset.model.vocabulary.settings,
        pronoun_guess=asset.pronoun_guess,
        references={space: FeatureReference(asset.manifest["reference"]["id"], asset.reference, asset.reference_group)},
        features=space,
    )
    return Equipment(tuple(observers), instruments, FRAME_PX, details)


def _trained(dataset: str, device: str) -> Equipment:
    """Return the classifiers that a user has trained for a published data set; what is not here is said."""
    from storybench.perception.classifiers.observer import CLASSIFIERS, load_classifier

    if dataset not in CLASSIFIERS:
        reason = f"no evaluator here reads data set {dataset} (only toonsv, {', '.join(CLASSIFIERS)})"
        return Equipment((), Instruments(missing=dict.fromkeys(FIELDS, reason)), details={"not_run": reason})
    missing = {
        "features": f"no reference features of data set {dataset}; give protocol= for the distances of the field",
        "figures": NO_CHARACTERS.format(dataset),
        "caption": NO_CAPTIONER.format(dataset),
        "caption_fit": NO_CAPTIONER.format(dataset),
    }
    try:
        reader = load_classifier(dataset, device)
    except AssetError as error:
        reason = str(error)
        missing |= dict.fromkeys(("reading", "setting", "setting_labels"), reason)
        return Equipment((), Instruments(missing=missing), details={"not_run": reason})
    if reader.settings is None:
        reason = f"no classifier of the settings of data set {dataset}; storybench doctor says how to train one"
        missing |= {"setting": reason, "setting_labels": reason}
    details = {"evaluator": reader.id, "evaluator_accuracies": dict(reader.characters.manifest.get("accuracies", {}))}
    settings = () if reader.settings is None else reader.settings.labels
    return Equipment((reader,), Instruments({"reading": reader.id}, missing, settings=settings), details=details)


def _with_peers(own: Equipment, device: str, needs: Collection[str] | None) -> Equipment:
    """Return the equipment with the networks of other benchmarks that are here."""
    from storybench.perception.catalogue import locate
    from storybench.perception.peers import DREAMSIM, PEERS
    from storybench.perception.peers.opening import open_peer

    observers = list(own.observers)
    protocols, missing = dict(own.instruments.protocols), dict(own.instruments.missing)
    missing[DREAMSIM] = "DreamSim's ensemble has no loader here"
    for name in PEERS:
        if needs is not None and name not in needs:
            continue
        try:
            observer = open_peer(name, locate(name), device)
        except AssetError as error:
            missing[name] = str(error)
            continue
        observers.append(observer)
        protocols[name] = observer.id
    instruments = replace(own.instruments, protocols=protocols, missing=missing)
    return replace(own, observers=tuple(observers), instruments=instruments)
