"""The pages that take something from a visitor: an archive to check, a story to draw."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from storybench.benchmark import load_benchmark
from storybench.board.entry import ModelCard
from storybench.submission.expecting import expectation
from storybench.submission.packing import pack

pytestmark = pytest.mark.slow

MINI = "toonsv-mini-v1"
CARD = ModelCard(
    name="painter",
    title="<script>document.title='run'</script>",
    authors=["A Painter"],
    licence="Apache-2.0",
    training_data="none",
    saw_test_stories=False,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """An archive of the mini benchmark whose frames are coloured discs: 160 different pictures."""
    folder = tmp_path_factory.mktemp("frames")
    expected = expectation(load_benchmark(MINI), "referential")
    for number, (story, count) in enumerate(expected.counts.items()):
        (folder / story).mkdir()
        for k in range(count):
            _disc(number * 5 + k).save(folder / story / f"{k}.png")
    done = pack(folder, CARD, expected, tmp_path_factory.mktemp("archives") / "good.zip")
    assert done.path is not None, done.report.to_json()
    return done.path


def _disc(number: int) -> Image.Image:
    """Return a picture of its own for each number."""
    image = Image.new("RGB", (128, 128), ((number * 53) % 256, (number * 101) % 256, (number * 7) % 256))
    pen = ImageDraw.Draw(image)
    for k in range(6):
        x, y = (number * 37 + k * 29) % 100, (number * 17 + k * 43) % 100
        pen.ellipse((x, y, x + 28, y + 28), fill=((k * 91) % 256, (number * 3 + k * 40) % 256, (number * 11) % 256))
    return image


def _rewritten(good: Path, out: Path, change) -> Path:
    """Write the entries of an archive again after ``change(name, data) -> (name, data) | None``."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            changed = change(entry.filename, old.read(entry))
            if changed is not None:
                info = zipfile.ZipInfo(changed[0], (1980, 1, 1, 0, 0, 0))
                info.external_attr = entry.external_attr
                new.writestr(info, changed[1])
    return out


def no_archive(good: Path, out: Path) -> Path:
    out.write_bytes(b"%PDF-1.7 <script>document.title='run'</script>")
    return out


def cut_short(good: Path, out: Path) -> Path:
    out.write_bytes(good.read_bytes()[:-500])
    return out


def leads_out(good: Path, out: Path) -> Path:
    return _rewritten(good, out, lambda n, d: ("../../" + n if n.endswith("00000/0.png") else n, d))


def lossy(good: Path, out: Path) -> Path:
    def change(name, data):
        if not name.endswith("00003/2.png"):
            return name, data
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).save(buffer, format="JPEG")
        return name, buffer.getvalue()

    return _rewritten(good, out, change)


def bomb(good: Path, out: Path) -> Path:
    """Declare a picture of 60,000 x 60,000 pixels in the header of a PNG."""

    def change(name, data):
        if not name.endswith("00001/0.png"):
            return name, data
        return name, data[:16] + struct.pack(">II", 60_000, 60_000) + data[24:]

    return _rewritten(good, out, change)


def test_a_good_archive_is_said_to_be_good(good, visit, screenshots):
    window = visit()
    window.open("/submit")
    window.page.locator("input[type=file]").set_input_files(good)
    window.page.get_by_text("The archive can be handed in").wait_for(timeout=120_000)
    window.settle()
    window.page.get_by_text("What the archive is").scroll_into_view_if_needed()
    window.page.screenshot(path=screenshots / "submit-good.png")
    said = window.main.inner_text()
    assert MINI in said
    assert "160" in said
    assert window.page.title() != "run"
    window.assert_sound()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_archive, "not a zip archive"),
        (cut_short, "cut short"),
        (leads_out, r"leads out of the archive"),
        (lossy, r"00003/2\.png"),
        (bomb, r"00001/0\.png"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_archive_is_said_to_be_bad_and_why(spoil, words, good, tmp_path, visit, screenshots):
    archive = spoil(good, tmp_path / "<b>bad<b>.zip")
    window = visit()
    window.open("/submit")
    window.page.locator("input[type=file]").set_input_files(archive)
    window.page.get_by_text("The archive cannot be handed in yet").wait_for(timeout=120_000)
    window.settle()
    window.page.get_by_text("The archive cannot be handed in yet").scroll_into_view_if_needed()
    window.page.screenshot(path=screenshots / f"submit-{spoil.__name__}.png")
    report = window.page.locator("table", has_text="What was found")
    assert re.search(words, report.inner_text())
    assert "must be mended" in report.inner_text()
    assert window.page.title() != "run"
    window.assert_sound()


def test_a_story_is_drawn_frame_by_frame(visit, screenshots):
    window = visit()
    window.open("/try_it")
    story = window.page.get_by_label(re.compile("^Story"))
    story.fill("Zara waves on the beach. She opens an <b>umbrella</b> with Gandalf.")
    window.page.get_by_role("button", name="Draw").click()
    window.page.get_by_text("Drew 1 of 2 frames").wait_for(timeout=180_000)  # the first is shown before the second
    window.page.get_by_role("button", name="Download the strip").wait_for(timeout=120_000)
    window.settle()
    window.page.screenshot(path=screenshots / "try_it-drawn.png")
    said = window.main.inner_text()
    assert window.main.locator("img").count() == 2
    assert window.main.locator("mark").all_inner_texts() == ["She"]
    assert "She opens an <b>umbrella</b> with Gandalf." in said
    assert "“She” → Zara: the picture shows Zara" in said
    assert "No character is called 'Gandalf'" in said
    with window.page.expect_download() as waiting:
        window.page.get_by_role("button", name="Download the strip").click()
    with Image.open(waiting.value.path()) as strip:
        assert strip.format == "PNG"
    window.settle()
    assert window.main.locator("img").count() == 2, "the drawn story vanished with the download"
    window.assert_sound()


def test_an_example_and_the_other_model_are_drawn_and_seeds_are_in_the_address(visit, screenshots):
    window = visit()
    window.open("/try_it?model=char_ldm&seed=3")
    window.page.get_by_label("Example").click()
    window.page.get_by_role("option", name=re.compile("^Robin walks")).click()
    window.settle()
    assert window.page.get_by_label(re.compile("^Story")).input_value().startswith("Robin walks in the city.")
    window.page.get_by_role("button", name="Draw").click()
    window.page.get_by_role("button", name="Download the strip").wait_for(timeout=180_000)
    window.settle()
    window.page.screenshot(path=screenshots / "try_it-char_ldm.png")
    assert window.main.locator("img").count() == 3
    assert "model=char_ldm seed=3" in window.main.inner_text()
    window.assert_sound()


def test_a_story_that_is_too_long_is_refused_in_one_sentence(visit):
    window = visit()
    window.open("/try_it")
    window.page.get_by_label(re.compile("^Story")).fill("Zara waves. " * 9)
    window.page.get_by_role("button", name="Draw").click()
    window.page.get_by_text("The story has 9 sentences, 8 are drawn here").wait_for(timeout=30_000)
    window.assert_sound()
