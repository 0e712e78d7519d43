"""Try it: whom a pronoun came to mean, and that what is drawn is what ``storybench draw`` draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.drawing import MAX_CHARACTERS, MAX_SENTENCES, Studio
from leaderboard.views.try_it import EXAMPLES, marked, meant
from storybench.cli.draw import pronouns, sentences
from storybench.data.toonsv.dataset import full_cast
from storybench.data.toonsv.lexicon import find_names
from storybench.errors import ConfigError
from storybench.strips import Span

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "leaderboard" / "pages" / "try_it.py"


def told(story: str, frame: int, shown: set[str]) -> list[str]:
    """Return the sentences about the pronouns of one frame."""
    captions = sentences(story)
    names = [find_names(caption) for caption in captions]
    found = meant(captions, frame, pronouns(captions[frame]), names, shown, full_cast())
    return [each.sentence for each in found]


def test_examples_are_those_of_the_documentation():
    assert "\n".join(EXAMPLES) + "\n" == (ROOT / "docs" / "examples" / "stories.txt").read_text()


@pytest.mark.parametrize(
    ("story", "frame", "shown", "said"),
    [
        ("Zara waves. She jumps.", 1, {"Zara"}, "“She” → Zara: the picture shows Zara"),
        ("Zara waves. She jumps.", 1, {"Mila"}, "“She” → nobody: the picture does not show Zara"),
        ("Zara and Mila wave. She jumps.", 1, {"Mila"}, "“She” → Mila: the picture shows Mila"),
        (
            "Zara and Mila wave. She jumps.",
            1,
            {"Mila", "Zara"},
            "“She” → Zara or Mila: the picture shows both, so it does not tell which",
        ),
        ("Zara waves. Finn runs. They dance.", 2, {"Zara", "Finn"}, "“They” → Zara and Finn: the picture shows both"),
        (
            "Zara waves. Finn runs. They dance.",
            2,
            {"Zara", "Pip"},
            "“They” → Zara alone: the picture shows 1 of Zara and Finn",
        ),
        ("Robin waves. They jump.", 1, {"Robin"}, "“They” → Robin: the picture shows Robin"),
        ("Zara holds a kite. It flies.", 1, {"Zara"}, "“It”: no character named before fits; it may mean a thing"),
    ],
)
def test_a_pronoun_means_whom_the_picture_shows_of_those_that_fit(story, frame, shown, said):
    (found,) = told(story, frame, shown)
    assert found == said


def test_a_character_that_the_sentence_names_tells_nothing_of_a_pronoun():
    """Mila is in the picture because her name is in the sentence; that she is a she is no evidence."""
    (said,) = told("Zara and Mila wave. She looks at Mila.", 1, {"Mila"})
    assert said == "“She” → nobody: the picture does not show Zara"


def test_a_name_before_the_pronoun_in_the_same_sentence_can_be_meant():
    (said,) = told("Finn runs. Zara waves and she smiles.", 1, {"Zara"})
    assert said == "“she” → Zara: the picture shows Zara"


@given(st.sampled_from(EXAMPLES), st.sets(st.sampled_from([c.name for c in full_cast()])), st.integers(0, 4))
def test_nobody_is_meant_who_is_not_shown_or_was_not_named(story, shown, frame):
    captions = sentences(story)
    frame = min(frame, len(captions) - 1)
    names = [find_names(caption) for caption in captions]
    named = {name for found in names[: frame + 1] for *_, name in found}
    for each in meant(captions, frame, pronouns(captions[frame]), names, shown, full_cast()):
        assert set(each.shown) <= shown & named


@given(st.text(max_size=60), st.data())
def test_captions_are_escaped_around_their_marks(caption, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(caption)), max_size=6)))
    spans = [Span(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    shown = marked(caption, spans)
    assert shown.count("<") == 2 * len(spans)
    import html

    assert html.unescape(shown.replace("<mark>", "").replace("</mark>", "")) == html.unescape(html.escape(caption))


@pytest.mark.parametrize(
    "story", ["", "  \n ", "...", "Zara waves. " * (MAX_SENTENCES + 1), "a" * (MAX_CHARACTERS + 1)]
)
def test_stories_that_are_empty_or_too_long_are_refused(story):
    with pytest.raises(ConfigError):
        Studio("storygptv").captions(story)


def test_an_unknown_model_is_refused():
    with pytest.raises(ConfigError, match="Did you mean: storygptv"):
        Studio("storygpt")


def test_the_page_loads_without_torch():
    code = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        f"at = AppTest.from_string(open({str(PAGE)!r}).read(), default_timeout=60).run();"
        "assert not at.exception, at.exception; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["storygptv", "char_ldm"])
def test_what_is_drawn_is_what_the_command_draws(model, tmp_path):
    story, seed = "Zara waves on the beach. She opens an umbrella.", 5
    shown: list[int] = []
    studio = Studio(model)
    reel = studio.draw(story, seed, lambda frame, shot: shown.append(frame))
    out = tmp_path / "strip.png"
    words = ["draw", story, f"model={model}", f"seed={seed}", f"out={out}", "device=cpu"]
    subprocess.run([sys.executable, "-m", "storybench.cli.main", *words], check=True, capture_output=True)
    assert reel.png() == out.read_bytes()
    assert shown == [0, 1]
    assert reel.png() != studio.draw(story, seed + 1, lambda frame, shot: None).png()


@pytest.mark.slow
def test_a_frame_is_shown_before_the_next_is_drawn():
    class Left(Exception):
        """The visitor closed the page."""

    shown: list[int] = []

    def leave(frame, shot):
        shown.append(frame)
        raise Left

    studio = Studio("storygptv")
    with pytest.raises(Left):
        studio.draw("Zara waves. She jumps. She sleeps.", 0, leave)
    assert shown == [0]
    whole = studio.draw("Zara waves. She jumps.", 0, lambda frame, shot: None)  # what was left behind changes nothing
    assert whole.png() == Studio("storygptv").draw("Zara waves. She jumps.", 0, lambda frame, shot: None).png()


@pytest.mark.slow
def test_the_page_draws_and_reports_unknown_names_as_the_command_does():
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_string(PAGE.read_text(), default_timeout=300).run()
    page.text_area(key="story").set_value("Zara waves on the beach. She sees Gandalf. **She** <b>jumps</b>.")
    page.button[0].click().run()
    assert not page.exception
    said = [each.value for each in page.text]
    assert "“She” → Zara: the picture shows Zara" in said
    assert any("No character is called 'Gandalf'" in line for line in said)
    assert not [each.value for each in page.markdown if "jumps" in each.value], "what was typed went through Markdown"
