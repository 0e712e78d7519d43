"""What an archive must hold: every story and frame, as the model drew it; and what frames may not have in common."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image
from submission_archives import (
    Part,
    as_jpeg,
    card,
    few_stories,
    manifest,
    mirrored,
    mirrored_frames,
    parts_of,
    png,
    saved,
    stories,
    zipped,
)

from storybench.data.toonsv.dataset import ToonSV
from storybench.submission.checking import check_archive

OTHER = "0" * 64


def check(parts, expected):
    return check_archive(io.BytesIO(zipped(parts)), expected=expected)


def of_images(images, expected, **changes):
    """Check an archive of pictures."""
    return check(parts_of(expected, {name: png(image) for name, image in images.items()}, **changes), expected)


def kinds(report) -> set[str]:
    return {p.kind for p in report.errors}


def test_a_missing_story_a_missing_frame_and_one_too_many_are_all_named(expected):
    frames = mirrored_frames()
    names = list(frames)
    lost = {n: d for n, d in frames.items() if not n.startswith("frames/toonsv-mini-00001/")}
    report = check(parts_of(expected, lost), expected)
    assert kinds(report) == {"missing-story"}
    assert any("toonsv-mini-00001" in p.where for p in report.errors)
    assert kinds(check(parts_of(expected, {n: frames[n] for n in names[:-1]}), expected)) == {"frame-count"}
    more = {**frames, "frames/toonsv-mini-00009/0.png": frames[names[0]]}
    assert kinds(check(parts_of(expected, more), expected)) == {"extra-story"}


def test_what_the_manifest_lists_must_be_there_and_be_that_file(expected, frames):
    parts = parts_of(expected, frames)
    assert kinds(check(parts[:-1], expected)) == {"missing-frame"}
    swapped = [*parts[:1], replace(parts[1], data=parts[2].data), *parts[2:]]
    assert kinds(check(swapped, expected)) == {"sha256"}
    extra = [*parts, Part(b"frames/toonsv-mini-00000/7.png", parts[1].data)]
    assert kinds(check(extra, expected)) == {"unlisted"}


def test_frames_in_another_order_are_refused(expected, frames):
    content = manifest(expected, frames)
    first = content["frames"]["toonsv-mini-00000"]
    content["frames"]["toonsv-mini-00000"] = first[::-1]
    assert kinds(check(parts_of(expected, frames, frames=content["frames"]), expected)) == {"frame-name"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"benchmark": "toonsv-v1"}, "benchmark"),
        ({"text": "explicit"}, "text"),
        ({"data_hash": OTHER}, "split"),
        ({"ids_sha256": OTHER}, "split"),
    ],
)
def test_another_version_split_or_text_is_refused(change, kind, expected, frames):
    assert kinds(check(parts_of(expected, frames, **change), expected)) == {kind}


def test_the_manifest_says_what_to_expect_when_nobody_else_does(expected, frames):
    data = zipped(parts_of(expected, frames))
    report = check_archive(io.BytesIO(data))
    assert "missing-story" in kinds(report)  # of 32 stories 2 are there, and those hash to something else
    assert "split" in kinds(report)
    unknown = zipped(parts_of(expected, frames, benchmark="toonsv-v9"))
    report = check_archive(io.BytesIO(unknown))
    assert kinds(report) == {"benchmark"}
    assert "Did you mean" in report.errors[0].what
    assert kinds(check_archive(io.BytesIO(data), benchmark="pororo-v1")) == {"benchmark"}  # needs dataset.root


def test_true_frames_are_no_submission(expected):
    drawn = mirrored()
    one = {**drawn, "frames/toonsv-mini-00000/2.png": stories()[0].frames[2].image}
    report = of_images(one, expected)
    assert kinds(report) == {"truth"}
    assert report.errors[0].where == "frames/toonsv-mini-00000/2.png"
    assert report.summary["true_frames"] == 1


def test_frames_of_the_training_split_are_found(expected):
    train = ToonSV("train")[12_345]
    names = list(mirrored())
    one = {**mirrored(), names[3]: train.frames[1].image}
    copied = {**mirrored(), **{names[k]: train.frames[k].image for k in range(5)}}
    assert kinds(of_images(copied, expected)) == {"training"}
    many = replace(expected, counts=expected.counts)
    assert of_images(one, many).summary["training_frames"] == 1


def test_one_picture_for_everything_is_an_error_and_repeats_are_a_remark(expected):
    drawn = mirrored()
    first = next(iter(drawn.values()))
    assert kinds(of_images(dict.fromkeys(drawn, first), expected)) == {"one-picture"}
    names = list(drawn)
    report = of_images({**drawn, names[1]: first, names[2]: first}, expected)
    assert report.ok
    assert [p.kind for p in report.warnings] == ["repeated"]


def test_frames_that_were_jpeg_once_are_refused(expected):
    report = of_images({name: as_jpeg(image, 85) for name, image in mirrored().items()}, expected)
    assert kinds(report) == {"jpeg-past"}
    assert "quality 85" in report.errors[0].what


def test_small_pictures_scaled_up_are_a_remark(expected):
    def twice(image):
        return image.resize((64, 64)).resize((128, 128), Image.Resampling.NEAREST)

    report = of_images({name: twice(image) for name, image in mirrored().items()}, expected)
    assert report.ok
    assert "scaled-up" in {p.kind for p in report.warnings}


def test_pictures_of_another_size_are_refused(expected):
    report = of_images({name: image.resize((256, 256)) for name, image in mirrored().items()}, expected)
    assert kinds(report) == {"dimensions"}
    assert sum(p.kind == "dimensions" for p in report.errors) == 6  # five spelled out, the rest counted
    assert "5 more" in next(p.what for p in report.errors if p.where == "elsewhere")


def test_lossless_webp_is_as_good_as_png(expected):
    frames = {n.replace(".png", ".webp"): saved(i, "WEBP", lossless=True) for n, i in mirrored().items()}
    assert check(parts_of(expected, frames), expected).ok


def test_a_card_that_leaves_something_open_is_remarked_upon(expected, frames):
    bare = card(seed=None, command="", links={}, parameters=None, saw_test_stories=True, oracle_inputs=["flags"])
    report = check(parts_of(expected, frames, card=bare.model_dump(mode="json")), expected)
    assert report.ok
    said = " ".join(p.what for p in report.warnings)
    for word in ("seed", "command", "links", "parameters", "test stories", "inputs beside"):
        assert word in said


def test_a_record_of_other_frames_is_refused(expected, frames, own_record):
    good = check(parts_of(expected, frames, record=own_record(expected)), expected)
    assert good.ok
    assert good.summary["claims_scores"]
    for change in ({"text": "explicit"}, {"status": "incomplete"}):
        bad = {**own_record(expected), **change}
        assert kinds(check(parts_of(expected, frames, record=bad), expected)) == {"record"}


def test_a_path_that_is_not_there_is_a_problem_and_no_crash(tmp_path):
    report = check_archive(tmp_path / "none.zip")
    assert kinds(report) == {"unreadable"}
    assert kinds(check_archive(tmp_path)) == {"unreadable"}


def test_a_report_is_ready_for_json(good, expected):
    import json

    report = check_archive(io.BytesIO(good), expected=expected)
    told = json.loads(json.dumps(report.to_json()))
    assert told["ok"] is True
    assert told["summary"]["sha256"] == report.summary["sha256"]
    assert set(told["problems"][0] if told["problems"] else {"severity"}) <= {
        "severity",
        "where",
        "what",
        "mend",
        "kind",
    }


def test_checking_loads_no_network():
    import subprocess
    import sys

    code = (
        "import sys; import storybench.submission.checking; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_whole_practice_set_passes():
    from storybench.benchmark import load_benchmark
    from storybench.submission.expecting import expectation

    whole = expectation(load_benchmark("toonsv-mini-v1"), "referential")
    data = zipped(parts_of(whole, mirrored_frames(32)))
    assert few_stories(32).data_hash == whole.data_hash
    report = check_archive(io.BytesIO(data))
    assert report.ok, [p.line() for p in report.problems]
    assert report.summary["frames"] == 160
