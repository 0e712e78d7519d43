"""Classifiers of FlintstonesSV and PororoSV on small invented releases: training, resuming, refusing, reading.

Pictures are 96 px here, where Inception-v3 costs a tenth; one test runs the published 299 px with the side branch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torchvision.models import inception_v3

from storybench.cli.main import main
from storybench.data.loading import load_stories
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import AssetError, ConfigError, NumericalError
from storybench.evaluation import TrueFrames, evaluate
from storybench.perception import assets
from storybench.perception.catalogue import asset, status
from storybench.perception.classifiers.batches import Batches
from storybench.perception.classifiers.examples import clips_shown, labelled_clips
from storybench.perception.classifiers.fitting import Checkpoint, Recipe, fit
from storybench.perception.classifiers.measuring import agreement
from storybench.perception.classifiers.network import (
    Classifier,
    ClassifierNetwork,
    predicted,
    preprocess,
    read_classifier,
    read_published,
    start_from,
)
from storybench.perception.classifiers.noise import noise_from_json, noise_to_json, reader_noise
from storybench.perception.classifiers.observer import ClassifierObserver, load_classifier, load_published
from storybench.perception.classifiers.training import train
from storybench.perception.observation import Reading
from storybench.perception.reading import PerceiverObserver

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"size_px": 96, "auxiliary_weight": 0.0, "mixed_precision": "no", "batch_size": 4}


def writer(name):
    """The module that writes an invented release, which lies beside the data tests."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "data" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def configured(name, root):
    """The data set's own configuration file, with a folder."""
    node = OmegaConf.to_container(OmegaConf.load(ROOT / "configs" / "dataset" / f"{name}.yaml"))
    return {**node, "root": str(root)}


@pytest.fixture(scope="module")
def flintstones(tmp_path_factory):
    root = tmp_path_factory.mktemp("flintstones") / "release"
    write = writer("write_flintstones")
    write.write_storydalle(root, write.clips())
    return configured("flintstones", root)


@pytest.fixture(scope="module")
def pororo(tmp_path_factory):
    root = tmp_path_factory.mktemp("pororo") / "release"
    write = writer("write_pororo")
    write.write_strips(root, write.clips())
    return configured("pororo", root)


@pytest.fixture(scope="module")
def trained(flintstones, tmp_path_factory):
    """The folder of assets after the user's own command has trained the characters of the invented FlintstonesSV."""
    root = tmp_path_factory.mktemp("assets")
    recipe = {**SMALL, "steps": 12, "batch_size": 6, "learning_rate": 1e-3, "warmup": 0}
    words = [f"recipe.{key}={value}" for key, value in recipe.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORYBENCH_ASSETS", str(root))
        stage = ["model=classifier", "stage=flintstones_characters", f"dataset.root={flintstones['root']}"]
        assert main(["train", *stage, *words, "device=cpu", "workers=1", "log_every=5"]) == 0
    return root


def test_a_label_is_predicted_if_its_sigmoid_rounds_to_one():
    just_above = torch.tensor(1e-9)  # in float32 its sigmoid is one half exactly
    assert torch.sigmoid(just_above) == 0.5
    logits = torch.tensor([-1.0, 0.0, 1e-9, 0.01, 30.0])
    assert predicted(logits).tolist() == [False, False, False, True, True]


def test_preprocessing_is_the_shorter_side_then_the_centre_then_imagenet_statistics():
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (120, 200, 3), dtype=np.uint8))
    wide = image.resize((int(299 * 200 / 120), 299), Image.Resampling.BILINEAR)
    left = round((wide.width - 299) / 2)
    centre = np.asarray(wide, dtype=np.float64)[:, left : left + 299] / 255
    expected = (centre - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = preprocess(image).permute(1, 2, 0).numpy()
    assert found.shape == (299, 299, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32


def test_training_lowers_the_loss_and_the_command_leaves_a_whole_asset(trained, flintstones, monkeypatch):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(trained))
    folder = trained / "flintstones_characters"
    assert status("flintstones_characters").state == "present"
    assert sorted(p.name for p in folder.iterdir()) == [".checked.json", "manifest.json", "weights.safetensors"]
    manifest = assets.read_manifest(folder)
    assert manifest["labels"] == ["Wilma", "Fred", "Betty", "Barney", "Dino", "Pebbles", "Mr Slate"]
    facts = manifest["training"]
    assert facts["loss_last_quarter"] < 0.75 * facts["loss_first_quarter"]  # measured 0.5; dropout makes it noisy
    assert (facts["subset"], facts["clips"]) == ("train", 6)
    assert manifest["id"] == "flintstones_characters-v1-96px"  # not the published protocol, and it says so


def test_only_train_clips_are_learnt_from_and_the_manifest_says_which(trained, flintstones):
    split = writer("write_flintstones").split(writer("write_flintstones").clips())
    clips = labelled_clips(flintstones, "train", "characters")
    assert set(clips.ids) == set(split["train"])
    manifest = assets.read_manifest(trained / "flintstones_characters")
    assert manifest["training"]["clips_sha256"] == clips.sha256
    assert manifest["accuracies"]["val_clips"] == len(split["val"])
    assert manifest["accuracies"]["test_clips"] == len(split["test"])
    counted = manifest["noise"]["Fred"]
    assert counted["present"] + counted["absent"] == len(split["test"])


def test_weights_are_torchvisions_and_give_its_numbers(trained):
    folder = trained / "flintstones_characters"
    state, _ = assets.read_state(folder)
    plain = inception_v3(weights=None, num_classes=7, aux_logits=False, init_weights=False, transform_input=True)
    plain.load_state_dict(state)
    plain.eval()
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)).double()
    with torch.inference_mode():
        ours = read_classifier(folder).model.double()(pixels)
        logits = plain.double()(pixels)
        plain.fc = torch.nn.Identity()
        features = plain(pixels)
    torch.testing.assert_close(ours.logits, logits, rtol=1e-8, atol=1e-8)  # float64; only the memory layout differs
    torch.testing.assert_close(ours.features, features, rtol=1e-8, atol=1e-8)


def test_a_picture_is_read_the_same_whatever_stands_beside_it(trained, flintstones, monkeypatch):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(trained))
    observer = load_classifier("flintstones")
    assert observer.settings is None  # none was trained
    assert observer.noise.names == observer.characters.labels
    clips = labelled_clips(flintstones, "test", "characters")
    images = [clips.source.pixels(clip_id, 2).image for clip_id in clips.ids[:3]]
    together = observer.observe(images, [()] * 3)
    alone = [observer.observe([image], [()])[0] for image in images]
    for a, b in zip(together, alone, strict=True):
        assert {k: v.tobytes() for k, v in a.items()} == {k: v.tobytes() for k, v in b.items()}
    reading = observer.value(together[0])
    assert list(reading.counts) == list(observer.characters.labels)
    assert set(reading.counts.values()) <= {0, 1}
    assert (reading.setting, reading.setting_labels, reading.features.shape) == ("", None, (2048,))


def test_a_changed_weight_is_refused_when_it_is_loaded(trained, monkeypatch, tmp_path):
    folder = tmp_path / "flintstones_characters"
    folder.mkdir()
    for file in ("manifest.json", "weights.safetensors"):
        (folder / file).write_bytes((trained / "flintstones_characters" / file).read_bytes())
    with (folder / "weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path))
    with pytest.raises(AssetError, match=r"weights.safetensors has SHA-256 .* expected"):
        load_classifier("flintstones")


def test_without_a_classifier_the_sentence_says_how_to_train_it(monkeypatch, tmp_path):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path))
    with pytest.raises(AssetError, match=r"storybench train model=classifier stage=pororo_characters dataset.root=DIR"):
        load_classifier("pororo")
    with pytest.raises(ConfigError, match="toonsv"):
        load_classifier("toonsv")


def test_a_stopped_run_ends_with_the_bytes_of_one_that_was_not(flintstones, tmp_path):
    recipe = {**SMALL, "steps": 2, "batch_size": 2}
    common = {"what": "characters", "asset_id": "flintstones_characters", "recipe": recipe, "device": "cpu"}
    whole = train(flintstones, output=str(tmp_path / "whole"), check_clips=1, **common)
    runs = 0
    manifest = None
    while manifest is None:
        manifest = train(flintstones, output=str(tmp_path / "parts"), max_minutes=0.0, check_clips=1, **common)
        runs += 1
        assert runs <= 2
    assert runs == 2
    assert manifest["files"] == whole["files"]
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()


def test_a_checkpoint_of_other_settings_is_not_continued(flintstones, tmp_path):
    recipe = {**SMALL, "steps": 2, "batch_size": 2}
    common = {"what": "characters", "asset_id": "flintstones_characters", "device": "cpu", "output": str(tmp_path)}
    assert train(flintstones, recipe=recipe, max_minutes=0.0, **common) is None
    with pytest.raises(AssetError, match="other settings"):
        train(flintstones, recipe={**recipe, "seed": 1}, **common)
    (tmp_path / "checkpoint.pt").write_bytes(b"cut short")
    with pytest.raises(AssetError, match="damaged"):
        train(flintstones, recipe=recipe, **common)


@pytest.mark.parametrize("subset", ["test", "val", "all"])
def test_other_splits_are_refused(flintstones, capsys, subset):
    words = [
        "model=classifier",
        "stage=flintstones_settings",
        f"dataset.root={flintstones['root']}",
        f"subset={subset}",
    ]
    assert main(["train", *words]) == 2
    assert f"subset={subset}" in capsys.readouterr().err


def test_what_a_test_story_shows_is_never_learnt(pororo):
    """In the invented PororoSV train and test stories share episodes, so that the rule has something to leave out."""
    tested = clips_shown(pororo, "test")
    everything = labelled_clips(pororo, "train", "characters")
    assert tested & set(everything.ids)
    learnt = labelled_clips(pororo, "train", "characters", exclude=sorted(tested))
    assert not tested & set(learnt.ids)
    assert learnt.left_out == len(tested & set(everything.ids))
    assert learnt.labels == ("Pororo", "Loopy", "Crong", "Eddy", "Poby", "Petty", "Tongtong", "Rody", "Harry")
    k = learnt.ids.index("Pororo_ENGLISH1_1_ep2/1") if "Pororo_ENGLISH1_1_ep2/1" in learnt.ids else 0
    assert learnt.target(k).sum() == len(learnt.truth(k))


def test_every_clip_is_seen_once_an_epoch_in_another_order(flintstones):
    clips = labelled_clips(flintstones, "train", "characters")
    batches = Batches(clips, Recipe(**{**SMALL, "batch_size": 3, "steps": 8}), workers=1)
    epochs = [[item for step in pair for item in batches.items(step)] for pair in ((0, 1), (2, 3), (4, 5), (6, 7))]
    assert all(sorted(item.clip for item in items) == list(range(6)) for items in epochs)
    assert {item.epoch for item in epochs[1]} == {1}
    assert len({tuple(item.clip for item in items) for items in epochs}) > 1


def test_settings_are_all_that_the_annotation_knows_and_read_by_a_second_network(flintstones, tmp_path, trained):
    manifest = train(
        flintstones,
        "settings",
        "flintstones_settings",
        recipe={**SMALL, "steps": 1, "batch_size": 2},
        output=str(tmp_path),
        device="cpu",
        check_clips=1,
    )
    assert manifest["labels"] == sorted(writer("write_flintstones").SETTINGS)
    assert "test_top1" in manifest["accuracies"]
    assert manifest["noise"] == {}
    characters, settings = read_classifier(trained / "flintstones_characters"), read_classifier(tmp_path)
    observer = ClassifierObserver(characters, settings)
    assert characters.id in observer.id
    assert settings.id in observer.id
    arrays = observer.observe([Image.new("RGB", (128, 128), (10, 90, 200))], [()])[0]
    reading = observer.value(arrays)
    with torch.inference_mode():
        logits = settings.model(preprocess(Image.new("RGB", (128, 128), (10, 90, 200)), 96)[None]).logits[0]
    assert reading.setting == settings.labels[int(logits.argmax())]
    assert reading.setting_labels == {n for n, x in zip(settings.labels, logits.tolist(), strict=True) if x > 0}
    with pytest.raises(ConfigError, match="reads settings"):
        ClassifierObserver(settings)


def test_the_published_size_trains_with_its_side_branch(flintstones, tmp_path):
    clips = labelled_clips(flintstones, "train", "characters")
    recipe = Recipe(steps=1, batch_size=2, mixed_precision="bf16")
    model = ClassifierNetwork(7)
    before = model.body.AuxLogits.fc.weight.clone()
    said = []
    losses = fit(model, Batches(clips, recipe, 1), recipe, Checkpoint(tmp_path / "c.pt", "", 10), said.append, 1)
    assert len(losses) == 1
    assert np.isfinite(losses[0])
    assert said == [f"step 1/1  loss {losses[0]:.4f}  0.0 min left"]
    assert not torch.equal(before, model.body.AuxLogits.fc.weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 1}, "batch_size"),
        ({"auxiliary_weight": 0.4}, "side branch"),
        ({"mixed_precision": "fp8"}, "fp8"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        Recipe(**{**SMALL, **change})


def test_a_loss_that_is_no_number_stops_the_run(flintstones, tmp_path):
    clips = labelled_clips(flintstones, "train", "characters")
    recipe = Recipe(**{**SMALL, "batch_size": 2, "steps": 1})
    model = ClassifierNetwork(7, auxiliary=False, initialise=False)
    torch.nn.init.constant_(model.body.fc.weight, float("nan"))
    with pytest.raises(NumericalError, match="loss of step 0"):
        fit(model, Batches(clips, recipe, 1), recipe, Checkpoint(tmp_path / "c.pt", "", 10), print)


@pytest.fixture(scope="module")
def imagenet_like(tmp_path_factory):
    """A file of the same names and shapes as torchvision's ImageNet weights, with random numbers."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    model = inception_v3(weights=None, num_classes=1000, aux_logits=True, init_weights=False, transform_input=True)
    torch.save(model.state_dict(), path)
    return path


def test_imagenet_weights_are_taken_but_for_the_heads(imagenet_like, tmp_path):
    given = torch.load(imagenet_like, weights_only=True)
    model = ClassifierNetwork(9, initialise=False)
    heads = {name: value.clone() for name, value in model.body.state_dict().items() if "fc." in name}
    start_from(model, imagenet_like)
    for name, value in model.body.state_dict().items():
        assert torch.equal(value, heads[name] if name in heads else given[name]), name
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(AssetError, match="no state of torchvision's Inception-v3"):
        start_from(model, tmp_path / "other.pth")
    with pytest.raises(AssetError, match="No weights at"):
        start_from(model, tmp_path / "none.pth")


def test_a_published_classifier_loads_as_tensors_only(imagenet_like, tmp_path, monkeypatch):
    state = torch.load(imagenet_like, weights_only=True)
    for name in ("fc.weight", "fc.bias", "AuxLogits.fc.weight", "AuxLogits.fc.bias"):
        state[name] = state[name][:7].clone()
    path = tmp_path / "classifier_char.pt"
    torch.save({f"module.{name}": value for name, value in state.items()}, path)
    names = tuple(assets_labels())
    found = read_published(path, names, "characters", "ab" * 32)
    assert isinstance(found, Classifier)
    assert found.id == "storygptv-classifier_char+abababababab"
    assert torch.equal(found.model.body.fc.weight, state["fc.weight"])
    (tmp_path / "storygptv_flintstones_characters").mkdir()
    shutil.copy(path, tmp_path / "storygptv_flintstones_characters")
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path))
    observer = load_published("flintstones")
    assert observer.characters.labels == names  # FlintstonesSV's label order
    assert observer.id == f"storygptv-classifier_char+{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    assert observer.noise is None
    with pytest.raises(AssetError, match="no Inception-v3 of 6 labels"):
        read_published(path, names[:6], "characters", "ab" * 32)
    torch.save({"state": print}, path)  # a pickle that would import something
    with pytest.raises(AssetError, match="holds more than tensors"):
        read_published(path, names, "characters", "ab" * 32)


def assets_labels():
    return ["Wilma", "Fred", "Betty", "Barney", "Dino", "Pebbles", "Mr Slate"]


def test_catalogue_and_stages_agree_on_where_classifiers_belong():
    for name in ("flintstones_characters", "flintstones_settings", "pororo_characters"):
        node = OmegaConf.load(ROOT / "configs" / "train" / "classifier" / f"{name}.yaml")
        assert node.asset_id == name
        assert asset(name).command == f"storybench train model=classifier stage={name} dataset.root=DIR"
        assert Recipe(**OmegaConf.to_container(node.recipe)) == Recipe()  # one set of defaults


def test_agreement_by_hand():
    seen = [frozenset("ab"), frozenset("a"), frozenset()]
    truths = [frozenset("ab"), frozenset("b"), frozenset("c")]
    found = agreement(seen, ["a", "b", "a"], truths)
    assert found == {"exact": 1 / 3, "f1_micro": 2 * 2 / (3 + 4), "top1": 2 / 3}


def test_noise_counts_by_hand():
    readings = [Reading({"A": 1, "B": 0}, ""), Reading({"A": 2, "B": 1}, ""), Reading({"A": 0, "B": 1}, "")]
    noise = reader_noise(readings, [["A", "A"], ["B", "stranger"], ["A"]], ["A", "B"])
    assert noise.hits.tolist() == [1, 1]
    assert noise.present.tolist() == [2, 1]
    assert noise.false_alarms.tolist() == [1, 1]
    assert noise.absent.tolist() == [1, 2]
    back = noise_from_json(noise_to_json(noise))
    assert back.names == noise.names
    for field in ("hits", "present", "false_alarms", "absent"):
        assert np.array_equal(getattr(back, field), getattr(noise, field))
    with pytest.raises(ValueError, match="shorter"):
        reader_noise(readings, [["A"]], ["A", "B"])


@pytest.mark.parametrize("rows", [{"A": {"hits": 1}}, {"A": {"hits": 3, "present": 2, "false_alarms": 0, "absent": 1}}])
def test_damaged_noise_is_refused(rows):
    with pytest.raises(AssetError, match="reader noise"):
        noise_from_json(rows)


def test_noise_of_the_shipped_perceiver_is_that_of_a_good_reader():
    observer = PerceiverObserver(assets.load_perceiver())
    test = ToonSV("test")
    frames = [frame for k in range(12) for frame in test[k].frames]
    readings = observer.read([frame.image for frame in frames])
    noise = reader_noise(readings, [frame.characters for frame in frames], observer.asset.model.vocabulary.characters)
    assert (noise.present + noise.absent == len(frames)).all()
    youden = noise.hits.sum() / noise.present.sum() - noise.false_alarms.sum() / noise.absent.sum()
    assert youden > 0.9  # the manifest gives it 0.97 of whole sets right


def test_evaluation_looks_through_what_was_trained_and_says_what_was_not(trained, flintstones, monkeypatch):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(trained))
    stories = load_stories(flintstones, "train", limit=3)
    wanted = ["char_acc", "spurious_rate", "setting_acc", "setting_acc_published", "identity_auc", "frechet"]
    found = evaluate(stories, TrueFrames(stories), "original", metrics=wanted)
    char_acc = found.scores["char_acc"]
    assert char_acc.value is not None
    assert char_acc.n == sum(len(s.frames) for s in stories)
    assert char_acc.ceiling == pytest.approx(char_acc.value)  # the true frames are what is scored
    assert char_acc.protocol.startswith("char_acc/v1@flintstones_characters")
    assert char_acc.clusters == len({s.cluster for s in stories})
    for name in ("setting_acc", "setting_acc_published", "identity_auc", "frechet"):
        assert found.scores[name].value is None, name
    assert "settings" in found.scores["setting_acc"].reason
    assert set(found.frames["predicted"].map(type)) == {list}


def test_a_trained_detector_gives_the_figures_that_consistency_asks_for(trained, flintstones, monkeypatch, tmp_path):
    shutil.copytree(trained, tmp_path / "assets")
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path / "assets"))
    words = [f"dataset.root={flintstones['root']}", "steps=1", "batch_size=1", "device=cpu", "check_frames=1"]
    assert main(["train", "model=detector", "stage=flintstones", *words]) == 0
    assert status("flintstones_detector").state == "present"
    stories = load_stories(flintstones, "train", limit=3)
    wanted = ["crop_coverage", "identity_auc", "copy_rate", "bleu4"]
    found = evaluate(stories, TrueFrames(stories), "original", metrics=wanted)
    coverage = found.scores["crop_coverage"]
    assert coverage.value is not None  # one step learns nothing: few or no figures, and that is a number
    assert "flintstones-boxes" in coverage.protocol
    assert found.scores["copy_rate"].value is not None  # features of the classifier
    assert "blip2-opt-2.7b is not here" in found.scores["bleu4"].reason
    assert str(tmp_path) not in found.scores["bleu4"].reason  # records name no path of a machine
