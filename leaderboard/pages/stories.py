"""Stories side by side: true frames and up to three models, captions, and what was seen in each frame."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from leaderboard import arranging, browsing, cached, text
from leaderboard.controls import URL, Choice, chosen, escape, is_dark, titles
from leaderboard.data import RANKED, WITHDRAWN
from leaderboard.views import strips
from storybench.board.row import Row
from storybench.errors import StorybenchError

MOST = 3


def main() -> None:
    """Show the page."""
    choice = chosen()
    if choice is None:
        return
    rows = arranging.ordered(choice.tables, "antecedent_acc")
    options = [str(n) for n in rows[rows["kind"].isin([RANKED, WITHDRAWN]) & rows["has_frames"]].index]
    if not options:
        st.info("No row here has frames to browse.")
        return
    names = pick_models(choice, options)
    tables = {name: found for name in names if (found := frames_of(choice, name)) is not None}
    if not tables:
        return
    order, wanted, field = pick_order(len(tables))
    scores = [browsing.story_scores(frames, field) for frames in tables.values()]
    stories = browsing.ordered_stories(scores, order, browsing.tags(next(iter(tables.values()))), wanted)
    show_page(choice, tables, stories, dict(zip(tables, scores, strict=True)), field)


def pick_models(choice: Choice, options: list[str]) -> list[str]:
    """Show the selector of models; return one to three rows."""
    names = st.multiselect(
        "Models (the first is A, the second B)",
        options,
        default=options[:2],
        max_selections=MOST,
        key="models",
        bind=URL,
    )
    st.caption(text.STORIES)
    return names or options[:1]


def frames_of(choice: Choice, name: str) -> pd.DataFrame | None:
    """Return the frames of a row; None, and a sentence on the page, where they cannot be read."""
    try:
        return cached.frames(Row(cached.root() / choice.benchmark / name))
    except StorybenchError as error:
        st.warning(escape(str(error)))
        return None


def pick_order(models: int) -> tuple[browsing.Order, list[str], str]:
    """Show how stories are sorted and filtered; return order, tags and the field that is counted."""
    left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom")
    orders = [order for order in browsing.ORDERS if models > 1 or order != "gap"]
    order = left.selectbox("Sort by", orders, key="sort", bind=URL, help="; ".join(f"{k}: {v}" for k, v in ORDERS))
    field = middle.selectbox("Count", list(browsing.FIELDS), key="count", bind=URL)
    wanted = right.pills(
        "With", list(browsing.TAGS), selection_mode="multi", key="tags", bind=URL, help="; ".join(TAGS)
    )
    st.caption(f"Sorted by {browsing.ORDERS[order]}, counting {browsing.FIELDS[field]}.")
    return order, list(wanted), field


ORDERS = tuple(browsing.ORDERS.items())
TAGS = tuple(f"{name}: {says}" for name, says in browsing.TAGS.items())


def show_page(
    choice: Choice, tables: dict[str, pd.DataFrame], stories: list[str], scores: dict[str, pd.Series], field: str
) -> None:
    """Show one page of stories, each as soon as its frames are ready."""
    total = browsing.pages(len(stories))
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.markdown(f"**{len(stories)}** stories, {browsing.PAGE} a page.")
    with right:
        page = st.pagination(total, key="page", bind=URL)
    part = stories[(page - 1) * browsing.PAGE : page * browsing.PAGE]
    texts = cached.texts(choice.benchmark, choice.text)
    if texts.problem:
        st.info(f"No captions and no true frames: {escape(texts.problem)}")
    judged = {name: browsing.judged(frames, part) for name, frames in tables.items()}
    called = titles(choice.tables)
    st.html(strips.style(dark=is_dark()))
    for story in part:
        shares = [f"{called[n]} {s.get(story) * 100:.0f} %" for n, s in scores.items() if pd.notna(s.get(story))]
        with st.container(border=True):
            st.caption(escape(f"{story}: {browsing.FIELDS[field]}: {', '.join(shares) or 'nothing to judge'}"))
            reels = [true_reel(choice.benchmark, story)] if texts.stories else []
            reels += [reel(choice, name, called[name], story, judged[name][story]) for name in tables]
            length = max(len(judged[name][story]) for name in tables)
            st.html(strips.story(story, texts.stories.get(story, ()), reels, length))


def true_reel(benchmark: str, story: str) -> strips.Reel:
    """Return the true frames of a story, or why there are none."""
    try:
        return strips.Reel("True frames", cached.true_strip(benchmark, story), "", ())
    except (StorybenchError, KeyError) as error:
        return strips.Reel("True frames", None, str(error), ())


def reel(choice: Choice, name: str, title: str, story: str, judged: list[browsing.Judged]) -> strips.Reel:
    """Return the frames of a story as a row drew them."""
    thumb = Row(cached.root() / choice.benchmark / name).thumb(story)
    return strips.Reel(title, thumb.read_bytes() if thumb else None, "This row keeps no pictures.", judged)


main()
