"""``storybench submit`` as a person types it: from a folder of PNGs to a row, with a sentence for every mistake."""

from __future__ import annotations

import json

import pytest
from submission_archives import as_jpeg, mirrored, mirrored_frames, png

from storybench.cli.main import main
from storybench.submission.manifest import MANIFEST


@pytest.fixture
def submit(capsys, monkeypatch, tmp_path):
    """Call the command in an empty folder; returns status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["submit", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def folder(tmp_path):
    """Frames of the practice set in a plain folder."""
    for name, data in mirrored_frames(32).items():
        path = tmp_path / "mine" / name.removeprefix("frames/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "mine"


def test_from_a_folder_of_pngs_to_a_self_reported_row(submit, folder, tmp_path, own_record):
    """The whole path, but for the minutes of scoring (test_scoring)."""
    from storybench.benchmark import load_benchmark
    from storybench.submission.expecting import expectation

    status, out, _ = submit("card")
    assert status == 0
    (tmp_path / "card.yaml").write_text(out)
    record = own_record(expectation(load_benchmark("toonsv-mini-v1"), "referential"))
    (tmp_path / "record.json").write_text(json.dumps(record))
    words = ("frames=mine", "card=card.yaml", "benchmark=toonsv-mini-v1", "record=record.json")
    status, out, err = submit("pack", *words)
    assert status == 0, out + err
    assert "can be handed in: 0 errors" in out
    archive = "my-model-toonsv-mini-v1-referential.zip"
    first = (tmp_path / archive).read_bytes()
    status, out, _ = submit("check", archive, "format=json")
    assert status == 0
    assert json.loads(out)["ok"] is True
    assert submit("pack", *words)[0] == 0
    assert (tmp_path / archive).read_bytes() == first
    status, out, _ = submit("score", archive, "trust=record", "board=board", "url=https://example.org/a.zip")
    assert status == 0
    assert "labelled as self-reported" in out
    status, out, _ = submit("board", "board=board")
    assert (status, out.strip()) == (0, "board: 0 problems")
    (tmp_path / "before").mkdir()
    status, out, _ = submit("review", "before", "board", "out=comment.md")
    assert status == 0
    assert "self-reported" in (tmp_path / "comment.md").read_text()
    (tmp_path / "board" / "toonsv-mini-v1" / "stray").write_text("x")
    assert submit("board", "board=board")[0] == 1
    assert submit("review", "before", "board")[0] == 1


def test_frames_that_cannot_be_handed_in_leave_no_archive(submit, folder, tmp_path):
    (tmp_path / "card.yaml").write_text(submit("card")[1])
    for path in folder.rglob("*.png"):
        path.write_bytes(png(as_jpeg(mirrored(32)[f"frames/{path.parent.name}/{path.name}"], 85)))
    (folder / "toonsv-mini-00003" / "4.png").unlink()
    status, out, err = submit("pack", "frames=mine", "card=card.yaml", "benchmark=toonsv-mini-v1", "out=a.zip")
    assert status == 2
    assert "JPEG once" in out
    assert "toonsv-mini-00003/4.png" in out
    assert "No archive was written" in err
    assert not list(tmp_path.glob("*.zip"))
    assert not list(tmp_path.glob(".*"))


def test_a_bad_archive_ends_in_status_2_and_names_everything(submit, tmp_path, good):
    (tmp_path / "a.zip").write_bytes(good)  # two stories of thirty-two
    status, out, _ = submit("check", "a.zip", "format=json")
    assert status == 2
    told = json.loads(out)
    assert {"missing-story", "split"} <= {p["kind"] for p in told["problems"]}
    status, out, err = submit("score", "a.zip", "board=board")
    assert status == 2
    assert "cannot be handed in yet" in out
    assert "No row was written" in err
    assert not (tmp_path / "board").exists()


MISTAKES = {
    ("chek",): "Did you mean: check",
    ("check",): "takes one archive; given: none",
    ("check", "a", "b"): "given: a, b",
    ("check", "a.zip", "formt=json"): "Did you mean: format",
    ("check", "a.zip", "format=xml"): "Unknown format",
    ("check", "a.zip", "text=a", "text=b"): "given twice",
    ("check", "--strict", "a.zip"): "Unknown flag",
    ("frames=x",): "Say what to do first",
    ("pack", "frames=x"): "needs card=FILE",
    ("pack", "card=x"): "Give run=DIR",
    ("pack", "run=x", "frames=y", "card=z"): "not both",
    ("pack", "run=none", "card=z"): "No run at 'none'",
    ("pack", "frames=x", "card=none.yaml"): "No readable card",
    ("score", "none.zip"): "Cannot read the archive",
    ("score", "none.zip", "url=http://a"): "https://",
    ("score", "none.zip", "trust=me"): "Unknown trust",
    ("review", "a"): "the board as it is and the board as it would be",
    ("review", "a", "b"): "No board at 'a'",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_sentence_and_status_2(words, submit):
    status, out, err = submit(*words)
    assert status == 2
    assert out == ""
    assert MISTAKES[words] in err
    assert len(err.strip().splitlines()) == 1


def test_what_a_card_may_not_say_is_named_key_by_key(submit, tmp_path, folder):
    (tmp_path / "card.yaml").write_text("name: Bad Name\nlinks: {paper: 'http://a'}\n")
    status, _, err = submit("pack", "frames=mine", "card=card.yaml", "benchmark=toonsv-mini-v1")
    assert status == 2
    for key in ("name", "links.paper", "authors", "licence", "training_data", "saw_test_stories"):
        assert f"{key}: " in err


def test_an_unknown_benchmark_or_text_is_said(submit, tmp_path, folder):
    (tmp_path / "card.yaml").write_text(submit("card")[1])
    assert "Did you mean: toonsv-mini-v1" in submit("pack", "frames=mine", "card=card.yaml", "benchmark=toonsv-mini")[2]
    words = ("frames=mine", "card=card.yaml", "benchmark=toonsv-mini-v1", "text=referental")
    assert "Did you mean: referential" in submit("pack", *words)[2]
    assert "dataset.root=DIR" in submit("pack", "frames=mine", "card=card.yaml", "benchmark=pororo-v1")[2]


def test_help_lists_every_action(submit):
    status, out, _ = submit("--help")
    assert status == 0
    for word in ("card", "pack", "check", "score", "review", "board"):
        assert f"\n  {word} " in out
    assert MANIFEST not in out


def test_a_terminal_is_not_steered_by_what_an_archive_says(submit, tmp_path, expected, frames):
    from submission_archives import Part, parts_of, zipped

    name = b"\x1b]0;owned\x07\x1b[2Jx"
    (tmp_path / "a.zip").write_bytes(zipped([*parts_of(expected, frames), Part(name)]))
    _, out, err = submit("check", "a.zip")
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
