"""Boxes -> masks by Segment Anything, with a tiny random model of the official classes and an invented release."""

import hashlib
import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("segment_anything")

from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from storybench.cli.main import main
from storybench.data.flintstones import flintstones
from storybench.data.layouts.flintstones_masks import MaskFolder
from storybench.errors import AssetError, ConfigError, DataError
from storygptv.masks import BoxSegmenter, instance_map, load_sam, make_masks

WRITER = Path(__file__).resolve().parents[1] / "data" / "write_flintstones.py"
FLINTSTONES = {
    "name": "flintstones",
    "_target_": "storybench.data.flintstones.flintstones",
    "subsets": ["train", "val", "test", "all"],
    "texts": ["original", "referential"],
}
SIZES = ((128, 128), (96, 128), (128, 72), (200, 64), (64, 64))  # (height, width)
PICTURES = [np.random.default_rng(k).integers(0, 256, (*size, 3), np.uint8) for k, size in enumerate(SIZES)]
BOXES = (
    ((8, 10, 60, 100), (38, 11, 90, 101), (0, 0, 128, 128)),
    ((0, 0, 128, 96),),
    ((5, 5, 20, 30), (40, 40, 40, 90), (30, 60, 72, 128)),  # the second is empty
    (),
    ((1, 1, 2, 2), (10, 3, 63, 64)),
)


def tiny_sam(encoder_width=32):
    """SAM's own classes: 64-px input instead of 1024, patches of 8, two layers."""
    return Sam(
        ImageEncoderViT(
            img_size=64,
            patch_size=8,
            embed_dim=encoder_width,
            depth=2,
            num_heads=2,
            out_chans=32,
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1,),
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        ),
        PromptEncoder(embed_dim=32, image_embedding_size=(8, 8), input_image_size=(64, 64), mask_in_chans=16),
        MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, num_heads=2, mlp_dim=64),
            transformer_dim=32,
            iou_head_depth=2,
            iou_head_hidden_dim=32,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    ).eval()


def random_sam(seed=0):
    """Far enough from its initial values that masks differ from box to box and cover part of a picture."""
    torch.manual_seed(seed)
    sam = tiny_sam()
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return sam


def embedded_pictures(sam):
    """Count what the image encoder is given: a list that grows by the pictures of each call."""
    calls = []
    sam.image_encoder.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    return calls


def one_sentence(error, *words):
    text = str(error.value) if hasattr(error, "value") else error
    assert "\n" not in text.strip()
    assert text.strip().endswith(".")
    for word in words:
        assert word in text


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(sam_model_registry, "tiny", lambda checkpoint=None: tiny_sam())


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("sam") / "tiny.pth"
    torch.save(random_sam().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def flintstones_writer():
    spec = importlib.util.spec_from_file_location("write_flintstones_for_masks", WRITER)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def written(flintstones_writer):
    return flintstones_writer.clips()


@pytest.fixture
def root(flintstones_writer, written, tmp_path):
    flintstones_writer.write_storydalle(tmp_path / "release", written)
    return tmp_path / "release"


def data(root, **options):
    return {**FLINTSTONES, "root": str(root), **options}


# The model


@pytest.mark.parametrize("mask_rule", ["single", "best_iou"])
def test_batched_masks_are_those_of_the_official_predictor(mask_rule):
    sam = random_sam()
    found = BoxSegmenter(sam, mask_rule=mask_rule, batch_size=3).segment(PICTURES, BOXES)
    predictor, compared, covered = SamPredictor(sam), 0, []
    for picture, boxes, (masks, scores) in zip(PICTURES, BOXES, found, strict=True):
        assert masks.shape == (len(boxes), *picture.shape[:2])
        assert len(scores) == len(boxes)
        predictor.set_image(picture)
        for box, mask, score in zip(boxes, masks, scores, strict=True):
            if box[0] == box[2]:
                assert not mask.any()
                continue
            logits, iou, _ = predictor.predict(
                box=np.array(box), multimask_output=mask_rule == "best_iou", return_logits=True
            )
            best = iou.argmax()
            assert score == pytest.approx(iou[best], abs=1e-5)
            clear = np.abs(logits[best]) > 1e-4  # nearer to 0, the order of additions in a batch decides
            assert clear.mean() > 0.99
            assert (mask == (logits[best] > 0))[clear].all()
            compared += 1
            covered.append(mask.mean())
    assert compared == 8
    assert min(covered) > 0.02  # neither empty nor the whole picture: the comparison says something
    assert max(covered) < 0.98


def test_the_two_rules_choose_differently():
    single, best = (BoxSegmenter(random_sam(), mask_rule=r).segment(PICTURES, BOXES) for r in ("single", "best_iou"))
    assert any((a.masks != b.masks).any() for a, b in zip(single, best, strict=True))


def test_every_picture_is_embedded_once_and_one_without_boxes_never():
    sam = random_sam()
    calls = embedded_pictures(sam)
    segmenter = BoxSegmenter(sam, batch_size=3)
    segmenter.segment(PICTURES, BOXES)
    assert calls == [3, 1]  # four of five pictures have boxes, eight boxes in all
    segmenter.segment(PICTURES[3:4], BOXES[3:4])
    assert calls == [3, 1]


def test_bfloat16_encodes_nearly_the_same():
    sam = random_sam()
    seen = []
    sam.mask_decoder.register_forward_pre_hook(lambda _, __, kwargs: seen.append(kwargs), with_kwargs=True)
    full = BoxSegmenter(sam).segment(PICTURES, BOXES)
    half = BoxSegmenter(sam, precision="bf16").segment(PICTURES, BOXES)
    first, second = seen[0]["image_embeddings"], seen[len(seen) // 2]["image_embeddings"]
    assert second.dtype == torch.float32  # the decoder is not rounded
    assert 1e-4 < (first - second).abs().max() < 0.2  # but the encoder was
    agree = [(a.masks == b.masks).mean() for a, b in zip(full, half, strict=True) if a.masks.size]
    assert min(agree) > 0.95


class SmallMemory(torch.nn.Module):
    """An encoder on an accelerator that holds ``room`` pictures."""

    def __init__(self, encoder, room):
        super().__init__()
        self.encoder, self.room, self.img_size = encoder, room, encoder.img_size

    def forward(self, pictures):
        if len(pictures) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.encoder(pictures)


def test_too_large_a_batch_is_halved_once_and_for_all(capsys):
    whole = BoxSegmenter(random_sam()).segment(PICTURES, BOXES)
    sam = random_sam()
    sam.image_encoder = SmallMemory(sam.image_encoder, 1)
    segmenter = BoxSegmenter(sam, batch_size=4)
    found = segmenter.segment(PICTURES, BOXES)
    assert segmenter.batch_size == 1
    assert all((a.masks == b.masks).all() for a, b in zip(found, whole, strict=True))
    assert capsys.readouterr().err.count("Memory does not suffice") == 2  # 4 -> 2 -> 1
    sam.image_encoder.room = 0
    with pytest.raises(ConfigError) as error:
        segmenter.segment(PICTURES, BOXES)
    one_sentence(error, "one picture", "precision=bf16", "vit_b", "device=cpu")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask_rule": "best"}, ["Unknown mask_rule 'best'", "best_iou"]),
        ({"precision": "fp16"}, ["Unknown precision 'fp16'", "bf16"]),
        ({"batch_size": 0}, ["batch_size is 0", "1 or more"]),
        ({"device": "gpu"}, ["Device 'gpu'", "device=cpu"]),
        pytest.param(
            {"device": "cuda"},
            ["Device 'cuda'", "device=cpu"],
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_a_wrong_option_is_one_sentence(options, words):
    with pytest.raises(ConfigError) as error:
        BoxSegmenter(tiny_sam(), **options)
    one_sentence(error, *words)


def test_the_smaller_box_is_on_top_and_numbers_follow_the_boxes():
    boxes = ((0, 0, 4, 4), (0, 0, 8, 8), (4, 4, 8, 8), (0, 0, 2, 8))
    masks = np.ones((4, 8, 8), bool)
    masks[0, 3:], masks[2, :4], masks[3] = False, False, False  # an instance may be all background
    instances = instance_map(masks, boxes)
    assert instances.dtype == np.uint8
    assert (instances[:3] == 1).all()
    assert (instances[3] == 2).all()
    assert (instances[4:] == 3).all()
    equal = instance_map(np.ones((3, 2, 2), bool), ((0, 0, 2, 2), (0, 0, 1, 1), (1, 1, 2, 2)))
    assert (equal == 3).all()  # of two equal boxes the later
    assert instance_map(np.zeros((0, 5, 7), bool), ()).shape == (5, 7)


# The checkpoint


def test_a_checkpoint_comes_back_as_saved(checkpoint):
    loaded = load_sam(checkpoint, "tiny")
    assert loaded.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert not loaded.official
    assert not loaded.sam.training
    expected = random_sam().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.sam.state_dict().items())
    assert load_sam(checkpoint, "tiny", loaded.sha256.upper()).sha256 == loaded.sha256


def test_the_old_format_of_pytorch_is_read(tmp_path):
    torch.save(random_sam().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(
        load_sam(tmp_path / "old.pth", "tiny").sam.mask_decoder.iou_token.weight,
        random_sam().mask_decoder.iou_token.weight,
    )


class Trap:
    def __reduce__(self):
        return (os.mkdir, (str(Path(os.environ["TRAP"]) / "sprung"),))


def test_what_is_no_checkpoint_is_one_sentence(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path))
    cut, trap, other = tmp_path / "cut.pth", tmp_path / "trap.pth", tmp_path / "other.pth"
    cut.write_bytes(checkpoint.read_bytes()[:-5000])
    trap.write_bytes(pickle.dumps(Trap(), protocol=2))
    torch.save({"state": [1, 2]}, other)
    for path, words in (
        (cut, ["damaged"]),
        (trap, ["other than tensors", "nothing in it was run"]),
        (other, ["state"]),
    ):
        with pytest.raises(AssetError) as error:
            load_sam(path, "tiny")
        one_sentence(error, path.name, *words)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(AssetError) as error:
        load_sam(checkpoint, "tiny", "0" * 64)
    one_sentence(error, "SHA-256", "0" * 64, "fetch the file again")


def test_a_missing_checkpoint_names_file_and_address(tmp_path):
    for model_type, file in (
        ("vit_h", "sam_vit_h_4b8939.pth"),
        ("vit_l", "sam_vit_l_0b3195.pth"),
        ("vit_b", "sam_vit_b_01ec64.pth"),
    ):
        with pytest.raises(AssetError) as error:
            load_sam(tmp_path / "sam.pth", model_type)
        one_sentence(error, "sam.pth", f"https://dl.fbaipublicfiles.com/segment_anything/{file}")
    with pytest.raises(ConfigError) as error:
        load_sam(tmp_path / "sam.pth", "vit_x")
    one_sentence(error, "Unknown SAM model_type 'vit_x'", "vit_h")


def test_a_checkpoint_of_another_type_says_which(tmp_path):
    torch.save(tiny_sam(encoder_width=64).state_dict(), tmp_path / "wide.pth")
    with pytest.raises(AssetError) as error:
        load_sam(tmp_path / "wide.pth", "tiny")
    one_sentence(error, "does not fit", "model_type tiny")
    state = tiny_sam().state_dict() | {"image_encoder.pos_embed": torch.zeros(1, 64, 64, 768)}
    torch.save(state, tmp_path / "base.pth")
    with pytest.raises(AssetError) as error:
        load_sam(tmp_path / "base.pth", "tiny")
    one_sentence(error, "looks like vit_b", "model_type=vit_b")


def test_without_the_package(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(ConfigError) as error:
        load_sam(checkpoint)
    one_sentence(error, "segment-anything", "storybench[masks]")


# A release


def command(root, checkpoint, *words):
    return main(
        [
            "data",
            "masks",
            "dataset=flintstones",
            f"dataset.root={root}",
            f"checkpoint={checkpoint}",
            "model_type=tiny",
            "device=cpu",
            *words,
        ]
    )


def maps(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_makes_maps_that_stories_show(root, written, checkpoint, capsys):
    assert command(root, checkpoint, "batch_size=4", "format=json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["written"], report["kept"], report["clips"]) == (90, 0, 18)
    names = {f"{clip.id}-frame{k}.png" for clip in written for k in range(5)}
    assert set(maps(root / "masks")) == names | {"manifest.json"}
    manifest = json.loads((root / "masks" / "manifest.json").read_text())
    assert manifest["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert {key: manifest[key] for key in ("model_type", "mask_rule", "mask_threshold", "precision", "layout")} == {
        "model_type": "tiny",
        "mask_rule": "single",
        "mask_threshold": 0.0,
        "precision": "fp32",
        "layout": "storydalle",
    }
    segmenter, shown = BoxSegmenter(random_sam()), 0
    for subset in ("train", "val", "test"):
        for story in flintstones(subset, root=root):
            for frame in story.frames:
                pixels = frame.pixels()
                (segmented,) = segmenter.segment([np.asarray(pixels.image)], [pixels.boxes])
                expected = instance_map(segmented.masks, pixels.boxes)
                assert pixels.instances.shape == pixels.image.size[::-1]
                assert (pixels.instances == expected).mean() > 0.999
                assert pixels.instances.max() <= len(pixels.labels)
                shown += pixels.instances.any()
    assert shown >= 15
    sizes = [len(content) for name, content in maps(root / "masks").items() if name.endswith(".png")]
    assert max(sizes) < 1500  # a map of integers would be 131,200


def test_the_same_command_again_writes_nothing(root, checkpoint, capsys):
    assert command(root, checkpoint, "subset=test") == 0
    before = {path.name: path.stat().st_mtime_ns for path in (root / "masks").iterdir()}
    assert len(before) == 36
    assert command(root, checkpoint, "subset=test") == 0
    assert {path.name: path.stat().st_mtime_ns for path in (root / "masks").iterdir()} == before
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 masks written, 35 kept, of 7 clips")
    assert command(root, checkpoint) == 0  # a larger subset takes what is there
    assert capsys.readouterr().out.startswith("55 masks written, 35 kept, of 18 clips")


def killed_run(root, checkpoint, after):
    """Run in a process of its own that dies, as by ``kill -9``, between writing a file and giving it its name."""
    sam_model_registry["tiny"] = lambda checkpoint=None: tiny_sam()
    replace, done = os.replace, []

    def die(source, target):
        done.append(target)
        if len(done) > after:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = die
    make_masks(data(root), checkpoint, model_type="tiny", device="cpu")


def test_a_killed_run_leaves_no_half_file_and_continues(flintstones_writer, written, root, checkpoint, tmp_path):
    whole = tmp_path / "whole"
    assert make_masks(data(root), checkpoint, whole, model_type="tiny", device="cpu").written == 90
    code = (
        "import importlib.util, sys; s = importlib.util.spec_from_file_location('killed', sys.argv[1]);"
        "m = importlib.util.module_from_spec(s); s.loader.exec_module(m); m.killed_run(sys.argv[2], sys.argv[3], 24)"
    )
    died = subprocess.run([sys.executable, "-c", code, __file__, str(root), str(checkpoint)], check=False)
    assert died.returncode == -signal.SIGKILL
    left = maps(root / "masks")
    finished = [name for name in left if name.endswith(".png")]
    assert len(finished) == 23  # and the manifest
    assert sum(name.endswith(".tmp") for name in left) == 1
    expected = maps(whole)
    assert all(left[name] == expected[name] for name in finished)
    report = make_masks(data(root), checkpoint, model_type="tiny", device="cpu")
    assert (report.written, report.kept) == (67, 23)
    assert maps(root / "masks") == expected  # no temporary file either


def test_damaged_and_outdated_maps_are_made_again(root, written, checkpoint):
    options = {"model_type": "tiny", "device": "cpu", "subset": "train"}
    make_masks(data(root), checkpoint, **options)
    folder = MaskFolder(root / "masks")
    before = maps(folder.folder)
    path = folder.path(written[1].id, 2)
    path.write_bytes(path.read_bytes()[:60])
    assert make_masks(data(root), checkpoint, **options)[1:3] == (1, 29)
    assert maps(folder.folder) == before
    annotation = root / "flintstones_annotations_v1-0.json"
    rows = json.loads(annotation.read_text())
    row = next(row for row in rows if row["globalID"] == written[1].id)
    row["characters"].reverse()  # the boxes of that clip change their order, so every picture's map is of others
    annotation.write_text(json.dumps(rows))
    assert make_masks(data(root), checkpoint, **options)[1:3] == (5, 25)
    size, boxes = (128, 128), tuple(written[1].boxes())
    now, note = folder.read(written[1].id, 2, size, boxes[::-1])
    assert note.boxes == boxes[::-1]
    assert len(note.scores) == 2
    assert (now > 0).any()


def test_subset_limit_and_pictures(root, written, checkpoint, tmp_path):
    options = {"model_type": "tiny", "device": "cpu"}
    report = make_masks(data(root), checkpoint, tmp_path / "a", subset="test", limit=2, pictures="frame", **options)
    test = sorted(clip.id for clip in written if clip.subset == "test")
    assert report == (str(tmp_path / "a"), 2, 0, 2)
    assert set(maps(tmp_path / "a")) == {"manifest.json", *(f"{clip_id}-frame2.png" for clip_id in test[:2])}
    report = make_masks(data(root, frame=4), checkpoint, tmp_path / "a", subset="val", pictures="frame", **options)
    val = [clip.id for clip in written if clip.subset == "val"]
    assert {f"{clip_id}-frame4.png" for clip_id in val} <= set(maps(tmp_path / "a"))
    assert (root / "masks").exists() is False  # another out= was given


@pytest.mark.parametrize(("layout", "frame", "scale"), [("ai2", 10, 1), ("storygptv", 2, 4)])
def test_layouts_with_maps_of_their_own(flintstones_writer, written, checkpoint, tmp_path, layout, frame, scale):
    root = tmp_path / layout
    clips = written[:6]
    flintstones_writer.WRITERS[layout](root, clips)
    make_masks(data(root, frame=frame), checkpoint, subset="train", pictures="frame", model_type="tiny", device="cpu")
    stories = flintstones("train", root=root, frame=frame)
    own = stories[0].frames[1].pixels()
    stories.source.use_masks(root / "masks")
    made = stories[0].frames[1].pixels()
    offset = 2 if layout == "ai2" else 0  # the tracked box of that picture, not the annotated one of the middle
    boxes = tuple(tuple(scale * side + offset for side in box) for box in clips[1].boxes())
    assert made.boxes == own.boxes == boxes
    assert made.instances.shape == own.instances.shape == (128 * scale, 128 * scale)
    assert (made.instances != own.instances).any()
    (segmented,) = BoxSegmenter(random_sam()).segment([np.asarray(made.image)], [boxes])
    assert (made.instances == instance_map(segmented.masks, boxes)).mean() > 0.999


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mask_rule=best_iou"], ["mask_rule 'single'", "'best_iou'", "another out=DIR"]),
        (["precision=bf16"], ["precision 'fp32'", "'bf16'"]),
        (["mask_rule=middle"], ["Unknown mask_rule", "best_iou"]),
        (["pictures=none"], ["Unknown choice of pictures 'none'"]),
        (["limit=0"], ["limit is 0", "1 or more clips"]),
        (["subset=mini"], ["Unknown subset 'mini'"]),
        (["checkpoint=null"], ["checkpoint needs a value", "sam_vit_h_4b8939.pth"]),
        (["checkpoint=none.pth"], ["No SAM checkpoint at 'none.pth'"]),
        (["dataset.layout=captions"], ["layout captions has no boxes", "storydalle"]),
        (["dataset.pictures=false"], ["read without pictures", "video_frames_sampled/"]),
    ],
)
def test_a_users_mistake_is_one_sentence(root, checkpoint, capsys, words, said):
    assert command(root, checkpoint, "limit=1") == 0
    before = maps(root / "masks")
    capsys.readouterr()
    assert command(root, checkpoint, *words) == 2
    one_sentence(capsys.readouterr().err, *said)
    assert maps(root / "masks") == before


def test_other_data_sets_and_foreign_folders(root, checkpoint, tmp_path, capsys):
    assert main(["data", "masks", "dataset=toonsv", f"checkpoint={checkpoint}", "model_type=tiny", "subset=mini"]) == 2
    one_sentence(capsys.readouterr().err, "toonsv has no boxes", "dataset=flintstones")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError) as error:
        make_masks(data(root), checkpoint, tmp_path / "papers", model_type="tiny", device="cpu")
    one_sentence(error, "holds no masks of ours", "out=DIR")
    assert maps(tmp_path / "papers") == {"thesis.tex": b"precious"}
    with pytest.raises(ConfigError) as error:
        make_masks(data(root), checkpoint, tmp_path / "papers" / "thesis.tex", model_type="tiny", device="cpu")
    one_sentence(error, "thesis.tex", "out=DIR")
    (root / "video_frames_sampled" / "s_01_e_01_shot_001000_001074.npy").write_bytes(b"cut")
    with pytest.raises(DataError) as error:
        make_masks(data(root), checkpoint, model_type="tiny", device="cpu")
    one_sentence(error, "s_01_e_01_shot_001000_001074.npy")
