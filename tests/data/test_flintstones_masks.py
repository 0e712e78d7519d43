"""Instance maps beside a FlintstonesSV release: format on disk, who reads them, and mistakes said in one sentence."""

import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from storybench.data.flintstones import RELEASE, flintstones
from storybench.data.layouts.flintstones_masks import FORMAT, MaskFolder, MaskNote
from storybench.errors import DataError

SCALE = {"ai2": 1, "storydalle": 1, "storygptv": 4}
MIDDLE = {"ai2": 37, "storydalle": 2, "storygptv": 2}


@pytest.fixture(scope="module")
def written(write_flintstones):
    return write_flintstones.clips()


@pytest.fixture(scope="module")
def releases(write_flintstones, written, tmp_path_factory):
    base = tmp_path_factory.mktemp("flintstones")
    for name in SCALE:
        write_flintstones.WRITERS[name](base / name, written)
    yield base
    shutil.rmtree(base)  # 150 MB of pictures


@pytest.fixture
def root(releases, tmp_path):
    """StoryDALL-E's release, which has no maps, in a folder that a test may add to."""
    return linked(releases / "storydalle", tmp_path / "storydalle")


def linked(release, to):
    shutil.copytree(release, to, copy_function=os.link)
    return to


def diagonal(size, boxes):
    """A map that no box fill could be: in each box only the pixels above its diagonal."""
    instances = np.zeros(size[::-1], np.uint8)
    for k, (x0, y0, x1, y1) in enumerate(boxes, start=1):
        instances[y0:y1, x0:x1] = np.where(np.triu(np.ones((y1 - y0, x1 - x0), bool)), k, instances[y0:y1, x0:x1])
    return instances


def make_maps(source, folder, clips):
    """Write a map for every picture of some clips, and return the middle ones."""
    folder.write_manifest({"model_type": "by hand"})
    made = {}
    for clip in clips:
        size = source.picture_size(clip.id)
        boxes = source.regions(clip.id, 0, size).boxes
        for frame in range(source.frame_count(clip.id)):
            boxes = source.regions(clip.id, frame, size).boxes
            instances = np.roll(diagonal(size, boxes), frame, axis=1)  # each picture its own
            folder.write(clip.id, frame, instances, MaskNote(boxes, (0.5,) * len(boxes)))
            if frame == source.frame_count(clip.id) // 2:
                made[clip.id] = instances
    return made


def one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    for word in words:
        assert word in text


def test_stories_show_the_maps_beside_their_release(root, written):
    assert flintstones("test", root=root)[0].frames[0].pixels().instances is None
    test = [clip for clip in written if clip.subset == "test"]
    made = make_maps(RELEASE.open(root), MaskFolder(root / "masks"), test)
    seen = set()
    for story in flintstones("test", root=root):
        for frame in story.frames:
            pixels = frame.pixels()
            assert pixels.instances.dtype == np.uint8
            assert (pixels.instances == made[frame.id]).all()
            assert set(np.unique(pixels.instances)) == set(range(len(pixels.labels) + 1))
            seen.add(frame.id)
    assert seen == set(made)
    assert flintstones("train", root=root)[0].frames[0].pixels().instances is None  # no map was made there


@pytest.mark.parametrize("layout", ["ai2", "storygptv"])
def test_a_release_keeps_its_own_maps_unless_a_folder_is_named(releases, written, tmp_path, layout):
    root = linked(releases / layout, tmp_path / layout)
    clip = written[1]
    source, middle = RELEASE.open(root), MIDDLE[layout]
    own = source.pixels(clip.id, middle).instances
    made = make_maps(source, MaskFolder(root / "masks"), [clip])[clip.id]
    assert (own != made).any()
    source = RELEASE.open(root)
    assert (source.pixels(clip.id, middle).instances == own).all()
    source.use_masks(root / "masks")
    assert (source.pixels(clip.id, middle).instances == made).all()
    assert source.pixels(written[2].id, middle).instances is None  # one source of maps, never two mixed
    shutil.rmtree(root / {"ai2": "entity_segmentation", "storygptv": "seg_mask_4x_comb"}[layout])
    assert (RELEASE.open(root).pixels(clip.id, middle).instances == made).all()


@pytest.mark.parametrize(("boxes", "bits"), [(0, 1), (1, 1), (2, 2), (3, 2), (15, 4), (16, 8), (255, 8)])
def test_a_map_takes_as_few_bits_as_its_boxes_need(tmp_path, boxes, bits):
    folder, size = MaskFolder(tmp_path), (40, 24)
    rectangles = tuple((k % 40, k % 24, k % 40 + 1, k % 24 + 1) for k in range(boxes))
    instances = (np.arange(40 * 24).reshape(24, 40) % (boxes + 1)).astype(np.uint8)
    note = MaskNote(rectangles, tuple(round(k / 300, 4) for k in range(boxes)))
    folder.write("s_01_e_01_shot_000000_000074", 3, instances, note)
    path = folder.path("s_01_e_01_shot_000000_000074", 3)
    assert path.name == "s_01_e_01_shot_000000_000074-frame3.png"
    assert path.read_bytes()[24] == bits  # the bit depth of the PNG's header
    back, told = folder.read("s_01_e_01_shot_000000_000074", 3, size, rectangles)
    assert (back == instances).all()
    assert told == note
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_more_boxes_than_a_map_can_number(tmp_path):
    with pytest.raises(DataError) as error:
        MaskFolder(tmp_path).write("clip", 0, np.zeros((2, 2), np.uint8), MaskNote(((0, 0, 1, 1),) * 256, (0.0,) * 256))
    one_sentence(error, "256 boxes", "255")
    assert not list(tmp_path.iterdir())


def png(mode, size):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], ["damaged"]),
        (lambda _: b"", ["damaged"]),
        (lambda _: b"GIF89a", ["damaged"]),
        (lambda _: png("RGB", (128, 128)), ["RGB of 128x128", "indexed picture of 128x128"]),
        (lambda _: png("P", (64, 128)), ["P of 64x128"]),
        (lambda _: png("P", (128, 128)), ["no map"]),  # no note of its boxes
        (lambda data: data.replace(b'"boxes"', b'"baxes"'), ["damaged"]),
    ],
)
def test_a_damaged_map_is_one_sentence(root, written, damage, words):
    clip, folder = written[1], MaskFolder(root / "masks")
    make_maps(RELEASE.open(root), folder, [clip])
    path = folder.path(clip.id, 2)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as error:
        RELEASE.open(root).pixels(clip.id, 2)
    one_sentence(error, path.name, *words, "make it again")


def test_a_map_of_other_boxes_is_refused(root, written):
    clip, folder = written[1], MaskFolder(root / "masks")
    make_maps(RELEASE.open(root), folder, [clip])
    annotation = root / "flintstones_annotations_v1-0.json"
    rows = json.loads(annotation.read_text())
    row = next(row for row in rows if row["globalID"] == clip.id)
    row["characters"].reverse()  # as if the release had been annotated anew: the numbers mean somebody else
    annotation.unlink()
    annotation.write_text(json.dumps(rows))
    with pytest.raises(DataError) as error:
        RELEASE.open(root).pixels(clip.id, 2)
    one_sentence(error, "other boxes", "make it again")


def test_only_our_folder_is_read(root, written):
    (root / "masks").mkdir()
    assert RELEASE.open(root).pixels(written[1].id, 2).instances is None
    (root / "masks" / "manifest.json").write_text('{"format": "of somebody else"}')
    assert RELEASE.open(root).pixels(written[1].id, 2).instances is None
    with pytest.raises(DataError) as error:
        RELEASE.open(root).use_masks(root / "masks")
    one_sentence(error, "holds no masks", "storybench data masks")
    (root / "masks" / "manifest.json").write_text('{"format": "' + FORMAT)
    with pytest.raises(DataError) as error:
        RELEASE.open(root)
    one_sentence(error, "manifest.json", "cut short")
