"""Which networks look at the frames of a data set, and what metrics are made from.

ToonSV's networks are shipped. Those of other data sets are trained by their users, and those of other benchmarks are
fetched by them: what is not here is said with the command that gets it, and its metrics are not run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from storybench.errors import AssetError
from storybench.metrics.instruments import FeatureReference, Instruments
from storybench.perception.assets import PerceiverAsset, load_perceiver
from storybench.perception.observation import Observer
from storybench.perception.reading import PerceiverObserver

FRAME_PX = (128, 128)
FIELDS = ("reading", "setting", "setting_labels", "features", "figures", "caption", "caption_fit")
NO_LABELS = "the evaluator names one setting a frame; the published form needs a classifier with many labels"
NO_REFERENCE = (
    "no reference features of data set {}: distances have their own command, storybench evaluate protocol=all"
)


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
        _toonsv(device, needs, perceiver)
        if dataset == "toonsv" or perceiver is not None
        else _trained(dataset, device, needs)
    )
    return _with_peers(own, device, needs)


def _toonsv(device: str, needs: Collection[str] | None, perceiver: PerceiverAsset | None) -> Equipment:
    """Return the shipped networks."""
    asset = perceiver or load_perceiver(device=device)
    network, _, version = asset.id.rpartition("-")
    space = f"fd/{network}/{version}"
    observers: list[Observer] = [PerceiverObserver(asset)]
    protocols = {"reading": asset.id, "features": space}
    details: dict[str, Any] = {
        "evaluator": asset.id,
        "evaluator_sha256": asset.manifest["files"]["weights.safetensors"],
        "evaluator_accuracies": dict(asset.accuracies),
    }
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


def _trained(dataset: str, device: str, needs: Collection[str] | None) -> Equipment:
    """Return what a user has trained or fetched for a published data set; what is not here is said."""
    from storybench.perception.classifiers.observer import CLASSIFIERS, load_classifier

    if dataset not in CLASSIFIERS:
        reason = f"no evaluator here reads data set {dataset} (only toonsv, {', '.join(CLASSIFIERS)})"
        return Equipment((), Instruments(missing=dict.fromkeys(FIELDS, reason)), details={"not_run": reason})
    told = _Optional(needs)
    reader = told.open("reading", CLASSIFIERS[dataset][0] or "", lambda _: load_classifier(dataset, device))
    missing = {"reference": NO_REFERENCE.format(dataset)}
    settings: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    if reader is None:
        missing |= dict.fromkeys(("setting", "setting_labels", "features"), told.missing["reading"])
        missing["figures"] = told.missing["reading"]
        details["not_run"] = told.missing["reading"]
    else:
        settings = () if reader.settings is None else reader.settings.labels
        if reader.settings is None:
            missing |= dict.fromkeys(("setting", "setting_labels"), _absent(CLASSIFIERS[dataset][1] or "", dataset))
        accuracies = dict(reader.characters.manifest.get("accuracies", {}))
        details |= {"evaluator": reader.id, "evaluator_accuracies": accuracies}
        told.open("figures", f"{dataset}_detector", lambda folder: _figures(folder, reader, device))
    told.open("caption", "blip2-opt-2.7b", lambda folder: _blip2(folder, device))
    told.open("caption_fit", "siglip-base-patch16-224", lambda folder: _siglip(folder, device))
    protocols = {observer.field: observer.id for observer in told.observers}
    if reader is not None:
        protocols["features"] = reader.id
    own = Instruments(protocols, told.missing | missing, settings=settings, features=protocols.get("features", ""))
    return Equipment(tuple(told.observers), own, details=details)


class _Optional:
    """Opens networks that may not be here, and remembers why one is missing."""

    def __init__(self, needs: Collection[str] | None) -> None:
        self.needs = needs
        self.observers: list[Observer] = []
        self.opened: list[str] = []  # what each observer is needed for
        self.missing: dict[str, str] = {}

    def open(self, need: str, asset: str, opened: Callable[[Path], Any]) -> Any:
        """Return the network of ``asset`` as an observer; None if it is not needed or not here."""
        if need != "reading" and self.needs is not None and need not in self.needs:
            return None
        from storybench.perception.catalogue import all_assets, locate

        if asset not in {each.id for each in all_assets()}:
            self.missing[need] = f"nothing here fills '{need}' of this data set"
            return None
        try:
            observer = opened(locate(asset))
        except AssetError:
            self.missing[need] = _absent(asset)
            return None
        self.observers.append(observer)
        self.opened.append(need)
        return observer


def _absent(asset_id: str, dataset: str = "") -> str:
    """Return why a network is not here and what to type, without a path of this machine: records keep it."""
    from storybench.perception.catalogue import all_assets, status

    found = {each.id: each for each in all_assets()}
    if asset_id not in found:
        return f"no network for it exists for data set {dataset}"
    how = found[asset_id].command.replace("{folder}", f"$STORYBENCH_ASSETS/{asset_id}")
    state = "corrupt" if status(asset_id).state == "corrupt" else "not here"
    return f"asset {asset_id} is {state}: {how}"


def _figures(folder: Path, reader: Any, device: str) -> Observer:
    """Return boxes of a trained detector, told apart by the classifier's own features."""
    from storybench.perception.detectors.boxes import load_detector
    from storybench.perception.detectors.finding import DetectedFigures, sight_of

    place = None if reader.settings is None else sight_of(reader.settings)
    finder = load_detector(folder, device)
    return DetectedFigures(
        finder, sight_of(reader.characters), reader.characters.labels, reader.id, place=place, side=299, device=device
    )


def _blip2(folder: Path, device: str) -> Observer:
    from storybench.perception.captioning.blip2 import Blip2Captioner
    from storybench.perception.captioning.observer import CaptionObserver

    return CaptionObserver(Blip2Captioner.from_folder(folder, device))


def _siglip(folder: Path, device: str) -> Observer:
    from storybench.perception.captioning.contrastive import ContrastiveJudge
    from storybench.perception.captioning.observer import CaptionFitObserver

    return CaptionFitObserver(ContrastiveJudge.from_folder(folder, device))


def _with_peers(own: Equipment, device: str, needs: Collection[str] | None) -> Equipment:
    """Return the equipment with the networks of other benchmarks that are here."""
    from storybench.perception.peers import DREAMSIM, PEERS
    from storybench.perception.peers.opening import open_peer

    told = _Optional(needs)
    for name in PEERS:
        told.open(name, name, partial(open_peer, name, device=device))
    missing = {**own.instruments.missing, **told.missing, DREAMSIM: "DreamSim's ensemble has no loader here"}
    protocols = {**own.instruments.protocols, **dict(zip(told.opened, (o.id for o in told.observers), strict=True))}
    instruments = replace(own.instruments, protocols=protocols, missing=missing)
    return replace(own, observers=(*own.observers, *told.observers), instruments=instruments)
