"""Try it: a typed story is drawn frame by frame, and the picture says whom each pronoun came to mean.

Everything typed is shown as text or escaped. torch is imported when the first story is drawn, and by no other page.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import streamlit as st

from leaderboard.drawing import MAX_CHARACTERS, MAX_SEED, MAX_SENTENCES, MODELS, ONE_AT_A_TIME, Reel, Shot, Studio
from leaderboard.views.try_it import EXAMPLES, STYLE, marked, meant
from storybench.errors import StorybenchError

COLUMNS = 5  # frames a line
HELP = "; ".join(f"{name}: {words}" for name, words in MODELS.items())
OWN = "a story of your own"
WAIT_S = 300  # for the stories of others, before giving up


@st.cache_resource(show_spinner=False, max_entries=len(MODELS))
def _studio(model: str) -> Studio:
    return Studio(model)


def main() -> None:
    """Show the page."""
    st.title("Try it")
    st.write(
        "Type a story, one sentence a frame, and a model that ships with storybench draws it on this machine's CPU. "
        "The cast: Bolt and Pip (it), Finn, Mr Plum and Otto (he), Mila, Nora and Zara (she), Robin (they). "
        "These are miniatures of a cartoon world, trained to be small; see Metrics for how well they do."
    )
    asked = _form()
    reel: Reel | None = st.session_state.get("reel")
    if asked:
        reel = _draw()
    elif reel is not None:
        _show(reel)
    if reel is not None:
        _below(reel)


def _form() -> bool:
    """Let people choose an example and edit it; return whether they pressed the button."""
    st.session_state.setdefault("story", EXAMPLES[0])
    st.selectbox("Example", [OWN, *EXAMPLES], index=1, key="example", on_change=_take_example)
    st.text_area(
        f"Story: at most {MAX_SENTENCES} sentences and {MAX_CHARACTERS} characters",
        key="story",
        max_chars=MAX_CHARACTERS,
        height=100,
    )
    left, right = st.columns(2)
    left.selectbox("Model", list(MODELS), key="model", bind="query-params", help=HELP)
    right.number_input("Seed", min_value=0, max_value=MAX_SEED, value=0, step=1, key="seed", bind="query-params")
    return st.button("Draw", type="primary")


def _take_example() -> None:
    """Put the chosen example into the text field."""
    if st.session_state["example"] != OWN:
        st.session_state["story"] = st.session_state["example"]


def _draw() -> Reel | None:
    """Draw what stands in the form, showing each frame as it is done."""
    st.session_state.pop("reel", None)
    story = st.session_state["story"]
    studio = _studio(st.session_state["model"])
    try:
        captions = studio.captions(story)
    except StorybenchError as error:
        st.text(f"⚠ {error}")
        return None
    places = _places(len(captions))
    state = st.empty()
    if ONE_AT_A_TIME.locked():
        state.info("Another story is being drawn; yours is next.")
    if not ONE_AT_A_TIME.acquire(timeout=WAIT_S):
        state.warning("Others are still drawing. Try again later.")
        return None
    try:
        state.info(f"Drawing {len(captions)} frames ...")
        shots: list[Shot] = []

        def show(frame: int, shot: Shot) -> None:
            shots.append(shot)
            with places[frame].container():
                _frame(studio, captions, frame, shot)
            state.info(f"Drew {frame + 1} of {len(captions)} frames ...")

        reel = studio.draw(story, int(st.session_state["seed"]), show)
    except StorybenchError as error:
        state.empty()
        st.text(f"⚠ {error}")
        return None
    finally:
        ONE_AT_A_TIME.release()
    state.empty()
    st.session_state["reel"] = reel
    return reel


def _show(reel: Reel) -> None:
    """Show a story that was drawn before."""
    studio = _studio(reel.model)
    captions = [shot.caption for shot in reel.shots]
    for k, (place, shot) in enumerate(zip(_places(len(captions)), reel.shots, strict=True)):
        with place.container():
            _frame(studio, captions, k, shot)


def _places(count: int) -> list[Any]:
    """Return an empty place a frame, ``COLUMNS`` a line."""
    places = []
    for start in range(0, count, COLUMNS):
        places += [column.empty() for column in st.columns(COLUMNS)[: count - start]]
    return places


def _frame(studio: Studio, captions: Sequence[str], frame: int, shot: Shot) -> None:
    """Show one frame, its caption and what the picture makes of each pronoun."""
    from storybench.cli.draw import pronouns
    from storybench.data.toonsv.lexicon import find_names

    spans = pronouns(shot.caption)
    st.image(shot.image, width="stretch")
    st.html(f"{STYLE}<p style='margin:0'>{frame + 1}. {marked(shot.caption, spans)}</p>")
    names = [find_names(caption) for caption in captions]
    for each in meant(captions, frame, spans, names, shot.shown, studio.cast):
        st.text(each.sentence)


def _below(reel: Reel) -> None:
    """Say what the model does not know, how to read the answers, and offer the strip."""
    for remark in reel.remarks:
        st.text(f"⚠ {remark}")
    st.caption(
        "What a pronoun came to mean is a reading of the picture: of the characters named before it that fit it, those "
        "that the benchmark's classifier sees in the frame. The text was not asked, and the classifier can err."
    )
    st.download_button("Download the strip (PNG)", reel.png(), "strip.png", "image/png", on_click="ignore")
    st.code(
        f"storybench draw {shlex.quote(reel.story)} model={reel.model} seed={reel.seed}", language=None, wrap_lines=True
    )


main()
