"""The prose of the board: what each column is, what each page is for, and what must be said beside a number."""

from __future__ import annotations

from storybench.board.entry import LEVELS

LEVEL_WORDS = {level: level for level in LEVELS}
COLUMNS = {
    "rank": (
        "Ranks that the data leave open for the metric the board is sorted by: 1 + the number of rows that are "
        "significantly better, to N - the number of those significantly worse (paired over stories, Holm's correction "
        "over all pairs, 5 %). Rows with the same set are tied. Ceiling, floor and withdrawn rows have no rank."
    ),
    "model": "Name of the model. Select a row to open its page.",
    "level": "How far the numbers were checked: " + "; ".join(f"{name}: {says}" for name, says in LEVELS.items()) + ".",
    "s/frame": "Drawing time only. Measured on different machines, so a rough guide, except between regenerated rows.",
    "parameters": "Weights that draw, all parts together, as the card states.",
    "date": "When the level was given.",
}
CELLS = (
    "A cell is the value and half of its 95 % interval over stories, shares in percent; ↑ higher is better, ↓ lower is "
    "better. An empty cell was not run: its reason is on the page of the model. It never means 0. To tell two models "
    "apart take the page Compare, which pairs stories, and not the overlap of two intervals."
)
SPEED_CAVEAT = (
    "Seconds a frame were measured on each submitter's machine, so they compare roughly; rows marked regenerated were "
    "timed on the board's."
)
PUBLISHED = (
    "**As published, protocol differs.** These numbers are the papers' own. Nothing here was measured by storybench; "
    "no row of one table compares with a row of another, and none with the measured board: other data, other "
    "classifiers, other FID. Tables are not sorted by value."
)
EMPTY = "No rows of {benchmark} with text {text} are on this board yet. The page Submit says how to add one."
COMPARE = (
    "Differences to the first model, paired over stories: what both find easy or hard cancels. Each interval holds "
    "95 % by itself; the verdict is corrected for all differences shown (Holm), so it may say less than one interval "
    "suggests."
)
STORIES = (
    "Frames under their captions. A reference is underlined and in brackets, and the text says whom it means. Below "
    "each frame: ✓ a character that should be there and was seen, ✗ one that was not seen, + one that nobody asked "
    "for, as the benchmark's network reads the frame. It can err."
)
NO_DOCUMENT = "{name} is part of a checkout of the repository and was not installed with this package."
METRICS = (
    "Floor: what true frames of other stories get, or a guesser. Ceiling: what the true frames get through the same "
    "networks. A value means little outside of them. Noise: half of the 95 % interval, the median over the ranked "
    "rows; two models that differ by less than about 1.4 times that cannot be told apart by it, a paired comparison "
    "often can."
)
AUDIT = (
    "True frames were spoilt on purpose, in ten ways and five strengths. A metric should fall where what it speaks of "
    "is spoilt, and stand still elsewhere."
)
SAW_TEST = (
    "**Stories of the test split were in its training data**, as its card says. Read its numbers with that in mind."
)
ORACLE = "It was given more than captions and cast: "
