"""``left_out.parquet``: every metric of a run without each of its clusters, one row a metric and unit.

It lies beside ``record.json`` and is what two runs are compared by. Written whole or not at all.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from storybench.errors import DataError
from storybench.frames import write_atomic
from storybench.statistics.left_out import LeftOut

LEFT_OUT = "left_out.parquet"
COLUMNS = ("metric", "unit", "size", "value", "without")


def save_left_out(found: Mapping[str, LeftOut], folder: Path) -> Path:
    """Write the table into a run folder and return the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = [len(each.units) for each in found.values()]
    table = pa.table(
        {
            "metric": pa.array(np.repeat(list(found), counts).tolist(), pa.string()).dictionary_encode(),
            "unit": pa.array([u for each in found.values() for u in each.units], pa.string()).dictionary_encode(),
            "size": pa.array(_joined([each.sizes for each in found.values()]), pa.float64()),
            "value": pa.array(np.repeat([each.value for each in found.values()], counts), pa.float64()),
            "without": pa.array(_joined([each.without for each in found.values()]), pa.float64()),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    path = folder / LEFT_OUT
    write_atomic(path, buffer.getvalue())
    return path


def load_left_out(path: Path, metrics: Collection[str] | None = None) -> dict[str, LeftOut]:
    """Return metric id -> its values, of a file or of the folder it lies in.

    Args:
        path: A file, or the folder of a run or a row.
        metrics: Which metrics to read; None for all. Others are not even decoded.

    Raises:
        DataError: If there is none, or it is not such a table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / LEFT_OUT if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"No '{LEFT_OUT}' at '{path}', so the run cannot be compared: score it again with the same command and "
            "rescore=true."
        )
    try:
        chosen = None if metrics is None else [("metric", "in", list(metrics))]
        table = pq.read_table(file, columns=list(COLUMNS), filters=chosen)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"'{file}' is damaged: expected a Parquet table with {', '.join(COLUMNS)}.") from error
    columns = {name: np.asarray(table[name].to_pylist()) for name in ("metric", "unit")}
    numbers = {name: np.asarray(table[name].to_numpy(), dtype=np.float64) for name in ("size", "value", "without")}
    out: dict[str, LeftOut] = {}
    for metric in dict.fromkeys(columns["metric"].tolist()):
        rows = np.flatnonzero(columns["metric"] == metric)
        units = tuple(columns["unit"][rows].tolist())
        value = float(numbers["value"][rows[0]])
        out[metric] = LeftOut(value, units, numbers["without"][rows], numbers["size"][rows])
    return out


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0)
