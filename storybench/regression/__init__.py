"""Two runs side by side: paired differences of every metric both have, and a gate that says whether the new one held.

Works on what a run folder or a row of a board keeps (``record.json`` and ``left_out.parquet``): no frames, no networks,
no torch. What is paired and when is in :mod:`.sides`, the rule of a verdict in :mod:`.verdicts`, how it is printed in
:mod:`.table`, :mod:`.markdown` and :mod:`.junit`.
"""

from storybench.regression.comparing import Compared, Report, compare, judged
from storybench.regression.gate import Gate, GatedMetric, gate_names, load_gate
from storybench.regression.sides import Side, load_side
from storybench.regression.verdicts import Verdict, verdict

__all__ = [
    "Compared",
    "Gate",
    "GatedMetric",
    "Report",
    "Side",
    "Verdict",
    "compare",
    "gate_names",
    "judged",
    "load_gate",
    "load_side",
    "verdict",
]
