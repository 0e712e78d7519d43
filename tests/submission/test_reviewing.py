"""A pull request to the board: what it may do, what it may not, and whether its numbers are those of its frames."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from submission_archives import Part, card, manifest, mirrored_frames, zipped

from storybench.benchmark import load_benchmark
from storybench.board.entry import Archive
from storybench.board.row import ENTRY, FRAMES, Row
from storybench.errors import DataError
from storybench.records.left_out import LEFT_OUT, load_left_out, save_left_out
from storybench.records.store import RECORD
from storybench.submission.board_checks import check_board
from storybench.submission.comment import MARK, code, comment
from storybench.submission.expecting import expectation
from storybench.submission.fetching import check_address, find_archive, save_checked
from storybench.submission.placing import score_archive, trust_record
from storybench.submission.reviewing import review
from storybench.submission.scoring import Setting

MINI = "toonsv-mini-v1"
QUICK = Setting(metrics=("characters",))


def archive_of(path: Path, record: dict | None = None, **about) -> Path:
    """Write an archive of the whole practice set, drawn mirrored."""
    due, frames = expectation(load_benchmark(MINI), "referential"), mirrored_frames(32)
    content = manifest(due, frames, card=card(**about).model_dump(mode="json"), record=record)
    parts = [Part(b"manifest.json", json.dumps(content).encode()), *(Part(n.encode(), d) for n, d in frames.items())]
    path.write_bytes(zipped(parts))
    return path


@pytest.fixture(scope="module")
def reported(tmp_path_factory, own_record):
    """A board with one self-reported row."""
    folder = tmp_path_factory.mktemp("reported")
    due = expectation(load_benchmark(MINI), "referential")
    archive = archive_of(folder / "a.zip", own_record(due, antecedent_acc=0.5, char_acc=0.25))
    trust_record(archive, folder / "board", Setting())
    return folder / "board"


@pytest.fixture
def boards(reported, tmp_path):
    """The board as it is, and a copy to change."""
    shutil.copytree(reported, tmp_path / "base")
    shutil.copytree(reported, tmp_path / "head")
    return tmp_path / "base", tmp_path / "head"


def row_of(board: Path, name: str = "mirror") -> Row:
    return Row(board / MINI / name)


def edit(path: Path, **changes) -> None:
    """Change keys of a JSON file; a dotted key goes deeper."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        inner = content
        *way, last = key.split("__")
        for step in way:
            inner = inner[step]
        inner[last] = value
    path.write_text(json.dumps(content))


def kinds(found) -> set[str]:
    return {p.kind for p in (*found.problems, *(p for row in found.rows for p in row.problems))}


def test_a_board_that_the_commands_wrote_has_no_problem(reported):
    assert check_board(reported) == ()


def test_no_change_is_no_row(boards):
    found = review(*boards, QUICK)
    assert found.ok
    assert found.rows == ()
    assert "No row of the board changes" in comment(found)


def test_a_new_self_reported_row_is_shown_as_such(boards, tmp_path):
    _, head = boards
    (tmp_path / "empty").mkdir()
    found = review(tmp_path / "empty", head, QUICK)
    assert found.ok
    assert [(row.change.id, row.change.kind) for row in found.rows] == [(f"{MINI}/mirror", "added")]
    text = comment(found)
    assert text.startswith(MARK)
    assert "Level **self-reported**" in text
    assert "| 50.0 |" in text


ORPHANS = {
    "stray file of the board": ("notes.txt", "orphan"),
    "folder of no benchmark": ("toonsv-v9/row/entry.json", "orphan"),
    "stray file of a benchmark": (f"{MINI}/notes.txt", "orphan"),
    "stray file of a row": (f"{MINI}/mirror/setup.py", "orphan"),
    "stray folder of a row": (f"{MINI}/mirror/more/x.json", "orphan"),
    "strip of no story": (f"{MINI}/mirror/thumbs/story.webp", "orphan"),
    "row without record": (f"{MINI}/empty/entry.json", "orphan-row"),
    "what a killed writer left": (f"{MINI}/.row.0123.new/entry.json", "orphan"),
}


@pytest.mark.parametrize("name", ORPHANS)
def test_a_file_that_no_row_needs_is_found(name, boards):
    base, head = boards
    path, kind = ORPHANS[name]
    (head / path).parent.mkdir(parents=True, exist_ok=True)
    (head / path).write_bytes(next((head / MINI / "mirror" / "thumbs").iterdir()).read_bytes())
    if name == "strip of no story":
        assert _with_table_problem(head) == kind
        return
    assert kind in {p.kind for p in check_board(head)}
    assert kind in kinds(review(base, head, QUICK))


def _with_table_problem(head: Path) -> str:
    """Strips are compared with the table of frames: give the row one."""
    due = expectation(load_benchmark(MINI), "referential")
    rows = [(story, k) for story, count in due.counts.items() for k in range(count)]
    pd.DataFrame(rows, columns=["story", "frame"]).to_parquet(head / MINI / "mirror" / FRAMES)
    (found,) = check_board(head)
    return found.kind


BROKEN = {
    "no record": (lambda row: (row / RECORD).unlink(), "orphan-row"),
    "no entry": (lambda row: (row / ENTRY).unlink(), "orphan-row"),
    "an entry that is none": (lambda row: (row / ENTRY).write_text("{}"), "unreadable-row"),
    "a record nested too deeply": (lambda row: (row / RECORD).write_text("[" * 200_000), "unreadable-row"),
    "an old record that is none": (lambda row: edit(row / RECORD, schema_version=1, scores=3), "unreadable-row"),
    "executable": (lambda row: (row / ENTRY).chmod(0o755), "executable"),
    "symlink": (lambda row: ((row / RECORD).unlink(), (row / RECORD).symlink_to("/etc/passwd")), "symlink"),
    "pipe": (lambda row: ((row / RECORD).unlink(), os.mkfifo(row / RECORD)), "device"),
    "oversized": (lambda row: (row / ENTRY).write_text(" " * (300 << 10)), "oversized"),
    "table that is none": (lambda row: (row / FRAMES).write_bytes(b"\x80\x04."), "format"),
    "strip that is none": (lambda row: (row / "thumbs" / "toonsv-mini-00000.webp").write_text("<svg/>"), "format"),
    "another benchmark": (lambda row: edit(row / ENTRY, benchmark="toonsv-v1"), "disagreement"),
    "another model": (lambda row: edit(row / ENTRY, card__name="other"), "disagreement"),
    "another text": (lambda row: edit(row / RECORD, text="explicit"), "disagreement"),
    "other stories": (lambda row: edit(row / RECORD, dataset__hash="0" * 64), "disagreement"),
    "incomplete": (lambda row: edit(row / RECORD, coverage__fraction=0.9, coverage__ok=140), "coverage"),
    "no scores": (lambda row: edit(row / RECORD, scores={}), "coverage"),
    "pinned": (lambda row: edit(row / ENTRY, pinned="floor"), "disagreement"),
    "a missing archive": (lambda row: edit(row / ENTRY, verification__level="re-scored", archive=None), "no-archive"),
    "no tables": (lambda row: edit(row / ENTRY, verification__level="re-scored"), "missing-table"),
    "a card with a script for a link": (
        lambda row: edit(row / ENTRY, card__links={"a": "javascript:x"}),
        "unreadable-row",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_contradicts_itself_is_found(name, boards):
    base, head = boards
    spoil, kind = BROKEN[name]
    spoil(head / MINI / "mirror")
    assert kind in {p.kind for p in check_board(head)}
    found = review(base, head, QUICK)
    assert kind in kinds(found)
    assert not found.ok
    assert comment(found)


def test_what_was_wrong_before_is_no_fault_of_the_request(boards):
    base, head = boards
    for board in boards:
        (board / "old-orphan").write_text("x")
    assert review(base, head, QUICK).ok


def test_a_removed_row_must_be_withdrawn_instead(boards):
    base, head = boards
    shutil.rmtree(head / MINI / "mirror")
    assert kinds(review(base, head, QUICK)) == {"removed"}


def test_a_withdrawal_needs_no_scoring(boards):
    base, head = boards
    edit(head / MINI / "mirror" / ENTRY, withdrawn="drawn from test frames by mistake")
    found = review(base, head, QUICK)
    assert found.ok
    assert found.rows[0].is_withdrawal
    assert "Withdrawn" in comment(found)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"card__description": "better"}, "version"),
        ({"card__version": "2", "card__authors": ["B. Other"]}, "authors"),
        ({"verification__level": "regenerated"}, "level"),
        ({"verification__level": "re-scored", "archive": None}, "no-archive"),
        ({"pinned": "ceiling"}, "pinned"),
    ],
    ids=str,
)
def test_what_a_request_may_not_do_to_a_row(changes, kind, boards):
    base, head = boards
    edit(head / MINI / "mirror" / ENTRY, **changes)
    found = review(base, head, QUICK)
    assert kind in kinds(found)
    assert not found.ok


def test_scores_that_change_without_a_version_are_seen(boards):
    base, head = boards
    edit(head / MINI / "mirror" / RECORD, scores__char_acc__value=0.9)
    assert kinds(review(base, head, QUICK)) == {"version"}
    edit(head / MINI / "mirror" / ENTRY, card__version="2")
    assert review(base, head, QUICK).ok  # self-reported, and labelled so


def test_an_archive_that_is_not_to_be_had_is_a_problem(boards, tmp_path):
    base, head = boards
    edit(head / MINI / "mirror" / ENTRY, verification__level="re-scored", card__version="2")
    found = review(base, head, QUICK, archives=tmp_path)
    assert "review" in kinds(found)
    assert "has no address" in comment(found).replace("&#46;", ".")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "@everyone",
        "#1",
        "[a](javascript:x)",
        "![x](https://e.org/i.png)",
        "`x` | y",
        "a\n# b",
    ],
)
def test_text_of_others_is_no_markup_in_a_comment(text):
    shown = code(text)
    inner = shown.removeprefix("<code>").removesuffix("</code>")
    plain = "".join(inner.split("&#"))
    assert not set("<>`|[]()!*_#\n\"'\\") & set(plain.replace(";", ""))
    assert "@" not in inner


def test_markup_in_a_card_reaches_no_comment(boards):
    base, head = boards
    evil = "</code><img src=x onerror=alert(1)> @admin [x](javascript:alert(1))"
    edit(head / MINI / "mirror" / ENTRY, card__version="2", card__title=evil, warnings=[evil])
    text = comment(review(base, head, QUICK))
    assert "<img" not in text
    assert "](" not in text
    assert "@admin" not in text
    assert text.count("<code>") == text.count("</code>")


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/a", "https://localhost/a", "https://[::1]/a", "https://10.0.0.8/a", "https://169.254.169.254/meta",
     "http://example.org/a", "file:///etc/passwd", "https://user@example.org/a", "https:///a"],
)  # fmt: skip
def test_an_address_inside_is_never_asked(url):
    with pytest.raises(DataError):
        check_address(url)


def test_a_fetched_archive_is_read_to_its_size_and_no_further(tmp_path):
    import io

    class Endless:
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += size
            return b"x" * size

    data = b"x" * 1_000
    right = Archive(sha256=hashlib.sha256(data).hexdigest(), size=1_000)
    out = io.BytesIO()
    save_checked(io.BytesIO(data), right, out)
    assert out.getvalue() == data
    source = Endless()
    with pytest.raises(DataError, match="not the one"):
        save_checked(source, right, io.BytesIO())
    assert source.given == 1_001
    for wrong in (right.model_copy(update={"size": 999}), right.model_copy(update={"sha256": "0" * 64})):
        with pytest.raises(DataError, match="not the one"):
            save_checked(io.BytesIO(data), wrong, None)
    (tmp_path / f"{right.sha256}.zip").write_bytes(data)
    assert find_archive(right, tmp_path, tmp_path / "work").read_bytes() == data


@pytest.fixture(scope="module")
def rescored(tmp_path_factory):
    """A board with one re-scored row, and a folder with its archive by hash."""
    folder = tmp_path_factory.mktemp("rescored")
    archive = archive_of(folder / "a.zip")
    score_archive(archive, folder / "board", QUICK)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (folder / "archives").mkdir()
    archive.rename(folder / "archives" / f"{digest}.zip")
    return folder


def _better(row: Path) -> None:
    edit(row / RECORD, scores__char_acc__value=0.99)
    left = load_left_out(row)
    save_left_out({**left, "char_acc": left["char_acc"]._replace(value=0.99)}, row)


def _other_strip(row: Path) -> None:
    with Image.open(row / "thumbs" / "toonsv-mini-00000.webp") as strip:
        Image.new("RGB", strip.size, (250, 0, 0)).save(row / "thumbs" / "toonsv-mini-00000.webp")


def _other_table(row: Path) -> None:
    frames = pd.read_parquet(row / FRAMES)
    frames["correct"] = ~frames["correct"]
    frames.to_parquet(row / FRAMES)


def _other_clusters(row: Path) -> None:
    left = load_left_out(row)
    moved = left["char_acc"]._replace(without=left["char_acc"].without - 0.05)
    save_left_out({**left, "char_acc": moved}, row)


FORGED = {
    "a better score": (_better, "scores"),
    "a score that its frames cannot give": (
        lambda row: edit(row / RECORD, scores__flip_rate=json.loads((row / RECORD).read_text())["scores"]["char_acc"]),
        "scores",
    ),
    "a score left out": (
        lambda row: edit(row / RECORD, scores__char_f1__value=None, scores__char_f1__reason="x"),
        "scores",
    ),
    "strips of other pictures": (_other_strip, "strips"),
    "a table of other frames": (_other_table, "frames"),
    "a table of other clusters": (_other_clusters, "left-out"),
    "another card": (lambda row: edit(row / ENTRY, card__saw_test_stories=True), "card"),
}


@pytest.mark.slow
def test_a_true_row_is_scored_again_and_holds(rescored, tmp_path):
    (tmp_path / "base").mkdir()
    found = review(tmp_path / "base", rescored / "board", QUICK, archives=rescored / "archives")
    assert found.ok, [p.line() for row in found.rows for p in row.problems]
    assert all(claim.holds for claim in found.rows[0].claims)
    assert "scores agree within 0.001" in comment(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_row_is_found_out(name, rescored, tmp_path):
    (tmp_path / "base").mkdir()
    shutil.copytree(rescored / "board", tmp_path / "head")
    forge, kind = FORGED[name]
    forge(tmp_path / "head" / MINI / "mirror")
    found = review(tmp_path / "base", tmp_path / "head", QUICK, archives=rescored / "archives")
    assert kind in kinds(found)
    assert not found.ok
    assert "must be mended" in comment(found)


@pytest.mark.slow
def test_a_comment_sets_a_new_row_beside_the_board(rescored, tmp_path):
    """The row is compared in pairs with the next one above; here a copy that claims more."""
    shutil.copytree(rescored / "board", tmp_path / "base")
    row = tmp_path / "base" / MINI / "mirror"
    row.rename(row.with_name("above"))
    above = row.with_name("above")
    edit(above / ENTRY, card__name="above", card__title="<b>above</b>")
    edit(above / RECORD, model__name="above", scores__antecedent_acc=_score(0.9))
    shutil.copytree(tmp_path / "base", tmp_path / "head")
    shutil.copytree(rescored / "board" / MINI / "mirror", tmp_path / "head" / MINI / "mirror")
    edit(tmp_path / "head" / MINI / "mirror" / RECORD, scores__antecedent_acc=_score(0.5))
    text = comment(review(tmp_path / "base", tmp_path / "head", QUICK, archives=rescored / "archives"))
    assert "Paired difference to <code>above</code>" in text
    assert "- char_acc: +0.0000" in text


def _score(value: float) -> dict:
    return {"value": value, "n": 1, "higher_is_better": True, "protocol": "antecedent_acc/v1"}


def test_left_out_tables_must_say_the_score_itself(reported, tmp_path):
    import numpy as np

    from storybench.statistics.left_out import LeftOut

    shutil.copytree(reported, tmp_path / "board")
    row = tmp_path / "board" / MINI / "mirror"
    save_left_out({"char_acc": LeftOut(0.25, ("a", "b"), np.array([0.2, 0.3]), np.ones(2))}, row)
    assert check_board(tmp_path / "board") == ()
    save_left_out({"char_acc": LeftOut(0.75, ("a", "b"), np.array([0.7, 0.8]), np.ones(2))}, row)
    assert {p.kind for p in check_board(tmp_path / "board")} == {"disagreement"}
    assert (row / LEFT_OUT).is_file()
