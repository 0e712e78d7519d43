"""Other benchmarks' columns, counted by hand; and what they say of a story that is one frozen picture."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import alexnet
from transformers import (
    BertConfig,
    BertTokenizerFast,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
    ViTConfig,
    ViTModel,
)

from storybench.errors import AssetError, ConfigError
from storybench.metrics import peers as m
from storybench.metrics.calibrated import IdentityConsistency
from storybench.metrics.functional import peers
from storybench.metrics.identity import IdentityAUC
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Figures, Observation
from storybench.perception.peers import CLIP_B32, CLIP_L14, DINO_B16, DREAMSIM, LPIPS_ALEX
from storybench.perception.peers.cids import open_cids
from storybench.perception.peers.opening import open_peer

NAMES = ("Ann", "Bob")
WIDTH = 24
A, B = np.array([1.0, 0.0, 0.0]), np.array([0.6, 0.8, 0.0])  # cosine 0.6
IDS = {name: f"{name}/v1+0" for name in (CLIP_B32, CLIP_L14, DINO_B16, LPIPS_ALEX, DREAMSIM)}
INSTRUMENTS = Instruments(protocols={"figures": "toy-figures-v1", "caption_fit": "toy-captions-v1", **IDS})
BUILT = [getattr(m, name) for name in m.__all__]


def unit(x):
    x = np.asarray(x, dtype=np.float64)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def seen(*looks, who=None, features=None, fit=None, background=A):
    """A picture with one figure a look, read as ``who``."""
    who = who or ["Ann"] * len(looks)
    probabilities = np.array([[0.9 if n == w else 0.1 for n in NAMES] for w in who], dtype=np.float32).reshape(-1, 2)
    embeddings = unit(np.stack(looks)) if looks else np.zeros((0, WIDTH), dtype=np.float32)
    boxes = np.zeros((len(looks), 4), dtype=np.float32)
    return Observation(
        figures=Figures(NAMES, boxes, probabilities, embeddings, unit(background)),
        caption_fit=fit,
        features={} if features is None else dict.fromkeys(IDS.values(), np.asarray(features, dtype=np.float32)),
    )


def record(frame, observation, expected=("Ann",), story="s", **others):
    return FrameRecord(story, frame, story, tuple(expected), "beach", {}, (), observation, **others)


def value(kind, *stories):
    metric = kind.build(INSTRUMENTS)
    for story in stories:
        metric.update(story)
    return metric.score(draws=100).value


# definitions by hand


def test_cids_by_hand():
    assert peers.cids_character(np.stack([A, A, B])).self_similarity == pytest.approx((1 + 0.6 + 0.6) / 3)
    assert peers.cids_character(np.stack([A, B]), np.stack([A, B])).cross == pytest.approx((1 + 0.6 + 0.6 + 1) / 4)
    assert peers.cids_character(A[None], B[None]) == (pytest.approx(0.6), 1.0)  # one crop
    assert peers.cids_character(np.zeros((0, 3)), B[None]) == (0.0, 0.0)  # no crop


def test_cids_similarity_is_the_greatest_over_references():
    table = peers.cids_similarity(np.stack([A, B]), [np.stack([B, A]), B[None]])
    np.testing.assert_allclose(table, [[1.0, 0.6], [1.0, 1.0]], atol=1e-15)


def test_cids_match_is_the_best_of_all_matches_and_takes_wrong_characters():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(5, 3))
    found = peers.cids_match(table)
    best = max(permutations(range(5), 3), key=lambda p: sum(table[p[c], c] for c in range(3)))
    assert tuple(found) == best
    assert peers.cids_match(np.array([[-0.9]])).tolist() == [0]  # no threshold
    assert peers.cids_match(np.array([[0.2, 0.7]])).tolist() == [-1, 0]


def test_occm_by_hand():
    assert peers.occm(2, 2) == 100.0
    assert peers.occm(1, 2) == pytest.approx(100 * np.exp(-0.5), rel=1e-6)
    assert peers.occm(5, 1) == pytest.approx(100 * np.exp(-4), rel=1e-5)
    assert np.isnan(peers.occm(3, 0))


def test_copy_paste_by_hand():
    assert peers.copy_paste(np.stack([A, A]), A, A) == 0.5
    edge = 1 / (1 + np.exp((0.6 - 1.0) / 0.01))
    assert peers.copy_paste(A[None], A, B) == pytest.approx(edge)
    assert peers.copy_paste(np.stack([A, B]), A, B) == pytest.approx(0.5)  # one copies it, one its mirror image
    assert peers.copy_paste(np.array([[0.0, 0.0, 1.0]]), A, B) == 0.5
    assert np.isnan(peers.copy_paste(np.zeros((0, 3)), A, B))


def test_csd_by_hand():
    assert peers.csd_self(np.stack([A, A, B])) == pytest.approx((1 + 0.6 + 0.6) / 3)
    assert peers.csd_self(A[None]) == 0.0
    shots = [np.stack([A, B]), np.zeros((0, 3)), A[None]]
    assert peers.csd_cross(np.stack([A, A, B]), shots) == pytest.approx((0.8 + 0.6) / 2)
    assert np.isnan(peers.csd_cross(np.stack([A]), [np.zeros((0, 3))]))


def test_vbench_by_hand():
    found = peers.vbench_consistency(np.stack([A, B, -A, -A]))
    np.testing.assert_allclose(found, [0.6, 0.0, 0.5], atol=1e-15)  # negative cosines count as 0
    assert len(peers.vbench_consistency(A[None])) == 0


def test_reciprocal_rank_by_hand():
    assert peers.reciprocal_rank(0.5, np.array([0.7, 0.6, 0.5, 0.1])) == pytest.approx(1 / 3)
    assert peers.reciprocal_rank(0.5, np.array([0.5, 0.5])) == 1.0


def test_cosines_and_distances_by_hand():
    assert peers.cosine(A, 3 * B) == pytest.approx(0.6)
    assert peers.cosine(A, np.zeros(3)) == 0.0
    assert peers.dreamsim_distance(A, B) == pytest.approx(0.4)
    one = np.array([[[3.0]], [[4.0]]])  # one place, two channels: 0.6 and 0.8
    two = np.array([[[1.0]], [[0.0]]])
    assert peers.lpips_distance([one], [two], [np.array([2.0, 1.0])]) == pytest.approx(2 * 0.16 + 0.64)
    assert peers.lpips_distance([one, one], [one, two], [np.ones(2)] * 2) == pytest.approx(0.16 + 0.64)


# classes


def test_cids_self_is_the_mean_over_stories_of_the_mean_over_characters():
    first = [record(0, seen(A)), record(1, seen(B)), record(2, seen(A), ("Bob",))]  # Ann 0.6, Bob once: 1
    second = [record(0, seen(), story="t")]  # never drawn: 0
    nobody = [record(0, seen(A), (), story="u")]
    assert value(m.CidsSelf, first) == pytest.approx(0.8, abs=1e-7)  # float32 embeddings
    assert value(m.CidsSelf, first, second, nobody) == pytest.approx(0.4, abs=1e-7)


def test_occm_is_the_mean_over_frames_with_a_character():
    story = [record(0, seen(A)), record(1, seen(), ("Ann", "Bob")), record(2, seen(A, B), ())]
    assert value(m.Occm, story) == pytest.approx((100 + 100 * np.exp(-1)) / 2, rel=1e-6)


@pytest.mark.parametrize("kind", [m.VBenchSubject, m.VBenchBackground])
def test_vbench_is_the_mean_over_frames_of_all_stories(kind):
    one = [record(t, seen(features=f)) for t, f in enumerate([A, B, -A])]
    two = [record(t, seen(features=f), story="t") for t, f in enumerate([A, A])]
    assert value(kind, one, two) == pytest.approx((0.6 + 0.0 + 1.0) / 3, abs=1e-7)
    assert value(kind, one[::-1], two) == value(kind, one, two)  # by frame number, not by place


@pytest.mark.parametrize(
    ("kind", "expected"), [(m.ClipImage, 0.8), (m.DinoImage, 0.8), (m.DreamSim, 0.2), (m.Lpips, (0 + 0.8) / 2)]
)
def test_frames_are_compared_with_the_true_ones(kind, expected):
    story = [record(t, seen(features=A), truth=seen(features=f)) for t, f in enumerate([A, B])]
    assert value(kind, story) == pytest.approx(expected, abs=1e-7)  # |A - B|^2 = 0.16 + 0.64


def test_vina_mrr_ranks_the_frames_of_a_story_for_each_caption():
    fit = np.array([[0.9, 0.8, 0.1], [0.5, 0.2, 0.3], [0.1, 0.4, 0.2]])  # frame, caption
    story = [record(t, seen(fit=row)) for t, row in enumerate(fit)]
    assert value(m.VinaReciprocalRank, story) == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)


@pytest.mark.parametrize("kind", BUILT)
def test_facts_are_declared(kind):
    metric = kind.build(INSTRUMENTS)
    assert metric.protocol == f"{kind.name}/v1@{INSTRUMENTS.protocols[kind.requires[0]]}"
    assert metric.group == "peers"
    assert metric.citation
    assert metric.score().reason
    assert metric.higher_is_better == (kind.name not in ("lpips", "dreamsim"))


def test_picture_that_no_network_looked_at_is_an_error():
    with pytest.raises(ValueError, match=r"dino-vitb16/v1\+0 did not look at frame s/0"):
        value(m.VBenchSubject, [record(0, seen())])


@pytest.mark.parametrize("kind", BUILT)
def test_order_of_stories_and_frames_changes_nothing(kind):
    rng = np.random.default_rng(0)
    stories = []
    for k in range(8):
        stories.append([])
        for t in range(3):
            looks, features, truth = rng.normal(size=(2, WIDTH)), rng.normal(size=WIDTH), rng.normal(size=WIDTH)
            picture = seen(*looks, who=["Ann", "Bob"], features=features, fit=rng.normal(size=3))
            expected = ("Ann", "Bob")[: 1 + t % 2]
            stories[k].append(record(t, picture, expected, str(k), truth=seen(features=truth)))
    plain = value(kind, *stories)
    assert value(kind, *stories[::-1]) == plain
    assert value(kind, *[s[::-1] for s in stories]) == pytest.approx(plain, abs=1e-12)


# the contrast of metrics.md 8


def test_frozen_picture_is_perfect_for_peers_and_at_chance_here():
    """Four stories, each drawn as one and the same picture; true stories have their own looks that vary."""
    rng = np.random.default_rng(1)
    frozen = rng.normal(size=WIDTH)
    fit = rng.normal(size=4)
    stories = []
    for k in range(30):
        looks = rng.normal(size=(2, WIDTH))
        stories.append([])
        for t in range(4):
            true = seen(looks[t % 2] + rng.normal(size=WIDTH), who=[NAMES[t % 2]])
            stranger = seen(rng.normal(size=WIDTH), who=[NAMES[t % 2]])
            drawn = seen(frozen, features=frozen, fit=fit)
            stories[k].append(record(t, drawn, (NAMES[t % 2],), str(k), truth=true, stranger=stranger))
    assert value(m.CidsSelf, *stories) == pytest.approx(1.0, abs=1e-12)
    assert value(m.VBenchSubject, *stories) == pytest.approx(1.0, abs=1e-12)
    assert value(m.VBenchBackground, *stories) == pytest.approx(1.0, abs=1e-12)
    assert value(m.VinaReciprocalRank, *stories) == 1.0
    assert value(IdentityAUC, *stories) == 0.5
    assert value(IdentityConsistency, *stories) < 0.2  # true pairs are about half alike, strangers not at all


# networks from folders, on small random weights in the published formats


def pictures(count, size=(40, 40), seed=0):
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)) for _ in range(count)]


def tiny(name, folder, *, safe=True):
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    if name == DINO_B16:
        model = ViTModel(ViTConfig(**small, image_size=32, patch_size=8))  # as published: with a pooler, unused
    else:
        config = CLIPVisionConfig(**small, image_size=32, patch_size=8, projection_dim=12)
        model = CLIPVisionModelWithProjection(config)
    model.save_pretrained(folder)
    if not safe:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def tiny_alexnet(path):
    """The layers of torchvision's AlexNet that LPIPS looks through, random, in its file format."""
    torch.manual_seed(0)
    torch.save(alexnet(weights=None).features.state_dict(prefix="features."), path)
    return path


@pytest.mark.parametrize("name", [CLIP_B32, CLIP_L14, DINO_B16])
@pytest.mark.parametrize("safe", [True, False])
def test_features_come_from_both_file_formats_and_do_not_depend_on_neighbours(name, safe, tmp_path):
    observer = open_peer(name, tiny(name, tmp_path, safe=safe))
    some = pictures(10)
    together = observer.observe(some)
    alone = observer.observe(some[9:])
    assert (together[9]["features"] == alone[0]["features"]).all()
    assert np.abs(together[0]["features"] - together[1]["features"]).max() > 1e-4
    assert observer.id.startswith(f"{name}/v1+")
    assert (observer.field, observer.uses_captions) == ("features", False)


def test_protocol_id_follows_the_weights(tmp_path):
    first = open_peer(DINO_B16, tiny(DINO_B16, tmp_path / "a"))
    again = open_peer(DINO_B16, tiny(DINO_B16, tmp_path / "b"))
    assert first.id == again.id
    weights = {k: v + 1e-3 for k, v in first.network.model.state_dict().items()}
    save_file(weights, tmp_path / "b" / "model.safetensors")
    assert open_peer(DINO_B16, tmp_path / "b").id != first.id


def test_another_network_in_the_folder_is_told_in_one_sentence(tmp_path):
    folder = tiny(CLIP_B32, tmp_path)
    with pytest.raises(AssetError, match="no DINO model"):
        open_peer(DINO_B16, folder)
    with pytest.raises(AssetError, match=r"model\.safetensors"):
        open_peer(CLIP_B32, tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="Did you mean: dino-vitb16"):
        open_peer("dino-vitb14", folder)


@pytest.mark.parametrize("name", [CLIP_B32, DINO_B16])
def test_weights_that_do_not_fit_their_configuration_are_refused_and_not_drawn_anew(name, tmp_path):
    folder = tiny(name, tmp_path)
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"intermediate_size": 24', '"intermediate_size": 40'))
    with pytest.raises(AssetError, match="can be read"):
        open_peer(name, folder)


def test_observed_story_is_scored_through_the_protocol_id(tmp_path):
    observer = open_peer(DINO_B16, tiny(DINO_B16, tmp_path))
    looks = [observer.value(x) for x in observer.observe(pictures(3))]
    story = [record(t, Observation(features={observer.id: f})) for t, f in enumerate(looks)]
    metric = m.VBenchSubject.build(Instruments(protocols={DINO_B16: observer.id}))
    metric.update(story)
    assert float(metric.compute()) == pytest.approx(peers.vbench_consistency(np.stack(looks)).mean())
    assert metric.protocol == f"vbench_subject/v1@{observer.id}"


def test_lpips_reads_torchvisions_file_and_keeps_each_picture_in_its_own_size(tmp_path):
    observer = open_peer(LPIPS_ALEX, tiny_alexnet(tmp_path / "alexnet.pth"))
    assert observer.id.startswith("lpips-alex/v1+")
    small, wide = observer.observe([*pictures(1, (64, 64)), *pictures(1, (96, 64))])
    assert len(small["features"]) < len(wide["features"])
    torch.manual_seed(5)
    ours = torch.get_rng_state()
    open_peer(LPIPS_ALEX, tmp_path / "alexnet.pth")
    assert (torch.get_rng_state() == ours).all()  # its constructor draws weights: not from our generator


def test_file_that_is_no_alexnet_is_told_in_one_sentence(tmp_path):
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(AssetError, match="AlexNet"):
        open_peer(LPIPS_ALEX, tmp_path / "other.pth")
    (tmp_path / "noise.pth").write_bytes(b"no weights at all")
    with pytest.raises(AssetError, match="AlexNet"):
        open_peer(LPIPS_ALEX, tmp_path / "noise.pth")
    with pytest.raises(AssetError, match="missing"):
        open_peer(LPIPS_ALEX, tmp_path / "nowhere.pth")


def tiny_grounding_dino(folder):
    """The published architecture and processor, small and random; its tokenizer knows the prompt."""
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "character", "."]
    swin = SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=text, d_model=32, num_queries=12, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 128, "longest_edge": 192})
    GroundingDinoProcessor(images, BertTokenizerFast(vocab={w: i for i, w in enumerate(words)})).save_pretrained(folder)
    return folder


def test_cids_view_is_the_detector_of_transformers_and_the_cosines_of_clip(tmp_path):
    detector, clip = tiny_grounding_dino(tmp_path / "detector"), tiny(CLIP_L14, tmp_path / "clip")
    cast = {"Bob": pictures(2, seed=7), "Ann": pictures(1, seed=8)}
    observer = open_cids(detector, CLIP_L14, clip, cast)
    images = pictures(3, (60, 50))
    found = [observer.value(x) for x in observer.observe(images)]
    figures, image = found[2], images[2]
    assert figures.names == ("Ann", "Bob")
    assert len(figures.boxes) > 1

    given = observer.processor(images=image, text="character.", return_tensors="pt")
    with torch.no_grad():
        output = observer.detector(**given)
    (theirs,) = observer.processor.post_process_grounded_object_detection(
        output, given.input_ids, threshold=0.25, text_threshold=0.25, target_sizes=[(50, 60)]
    )
    inside = theirs["boxes"].clamp(torch.zeros(4), torch.tensor([60.0, 50, 60, 50]))
    expected = sorted(map(tuple, inside[theirs["scores"].argsort(descending=True)].int().tolist()))
    assert sorted(map(tuple, figures.boxes.astype(int).tolist())) == [
        b for b in expected if b[2] > b[0] and b[3] > b[1]
    ]

    crops = [image.crop(tuple(box)) for box in figures.boxes.astype(int).tolist()]
    looks = np.stack([x["features"] for x in open_peer(CLIP_L14, clip).observe(crops)])
    np.testing.assert_allclose(figures.embeddings, looks, atol=1e-6)
    np.testing.assert_allclose(figures.probabilities, peers.cids_similarity(looks, observer.references), atol=1e-6)
    assert [len(r) for r in observer.references] == [1, 2]

    alone = observer.observe(images[2:])[0]
    assert (alone["embeddings"] == figures.embeddings).all()  # no neighbour matters
    other = open_cids(detector, CLIP_L14, clip, {"Ann": pictures(1, seed=9)})
    assert other.id != observer.id  # the references are a part of what is seen
    story = [record(t, Observation(figures=f)) for t, f in enumerate(found)]
    assert -1 < value(m.CidsSelf, story) <= 1


def test_folder_without_grounding_dino_is_told_in_one_sentence(tmp_path):
    clip = tiny(CLIP_L14, tmp_path)
    with pytest.raises(AssetError, match="GroundingDINO"):
        open_cids(clip, CLIP_L14, clip, {"Ann": pictures(1)})
