"""The response table as a picture: a row a metric, a column a corruption, in a cell how it moves and the verdict."""

from __future__ import annotations

import io

import numpy as np

from storybench.audit.ladder import CORRUPTIONS
from storybench.audit.responses import Audit, Response
from storybench.errors import ConfigError

MARKS = {  # (claim, verdict) -> sign; nothing is said by colour alone
    ("answers", "passes"): "✓",
    ("answers", "fails"): "✗",
    ("ignores", "passes"): "=",
    ("ignores", "fails"): "✗",
    ("none", "no claim"): "",
    ("none", "fails"): "✗",
}


def draw(audit: Audit) -> bytes:
    """Return the response table as a PNG.

    Raises:
        ConfigError: If matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("The audit's figure needs matplotlib: pip install 'storybench[plots]'.") from error
    metrics = list(dict.fromkeys(r.metric for r in audit.responses))
    columns = [name for name in CORRUPTIONS if any(r.corruption == name for r in audit.responses)]
    cells = {(r.metric, r.corruption): r for r in audit.responses}
    figure = Figure(figsize=(2.4 + 0.95 * len(columns), 1.6 + 0.3 * len(metrics)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    changes = np.array([[cells[m, c].change for c in columns] for m in metrics])
    picture = axes.imshow(changes, cmap=colormaps["RdBu"], vmin=-1, vmax=1, aspect="auto")
    for i, metric in enumerate(metrics):
        for j, corruption in enumerate(columns):
            response = cells[metric, corruption]
            colour = "white" if abs(response.change) > 0.6 else "black"
            axes.text(j, i, cell_text(response), ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(columns)), [c.replace("_", "\n", 1).replace("_", " ") for c in columns], fontsize=7.5)
    axes.set_yticks(range(len(metrics)), metrics, fontsize=7.5)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    bar = figure.colorbar(picture, ax=axes, shrink=0.5, pad=0.01)
    bar.set_label("change at full strength, share of the metric's range", fontsize=7.5)
    bar.ax.tick_params(labelsize=7)
    axes.set_xlabel(
        f"✓ falls as it claims   = stays as it claims   ✗ breaks a claim   number: rank correlation with strength\n"
        f"{audit.stories} ToonSV test stories, {audit.frames} frames, five strengths each",
        fontsize=7.5,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def cell_text(response: Response) -> str:
    """Return what stands in a cell: the sign of the verdict, and the rank correlation where something moves."""
    mark = MARKS[response.claim, response.verdict]
    number = "" if response.rank_correlation == 0 else f"{response.rank_correlation:.1f}"
    return f"{mark} {number}".strip()
