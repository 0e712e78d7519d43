"""A run that was scored before runs kept ``left_out.parquet`` is scored again, not drawn again."""

from __future__ import annotations

import json

from storybench.cli.main import main
from storybench.records.left_out import LEFT_OUT, load_left_out


def test_a_run_without_the_table_is_scored_again_and_keeps_its_frames(tmp_path, capsys):
    words = [
        "run",
        "model=ground_truth",
        "subset=mini",
        "limit=3",
        f"run_root={tmp_path}",
        "format=json",
        "metrics=core",
    ]
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    folder = tmp_path / first["fingerprint"]
    frame = next((folder / "frames").rglob("*.png"))
    drawn = frame.stat().st_mtime_ns
    table = load_left_out(folder)
    (folder / LEFT_OUT).unlink()
    assert main(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["scores"] == first["scores"]
    assert frame.stat().st_mtime_ns == drawn
    assert load_left_out(folder).keys() == table.keys() != set()
