"""Submit: how a row comes onto the board, and a check of an archive before it is handed in.

An uploaded archive is read as bytes by ``storybench.submission``: nothing of it is run, unpickled or written anywhere,
and it is forgotten when the page is left.
"""

from __future__ import annotations

import json
import threading
from typing import BinaryIO

import streamlit as st

from leaderboard.views.submit import CHECKLIST, MAX_MB, SEVERITIES, commands, problem_table, summary_table, verdict
from storybench.submission.report import Report

WAIT_S = 120  # for the archives of others


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    """Return the lock that lets one archive be checked at a time: a check keeps one core busy."""
    return threading.Lock()


def main() -> None:
    """Show the page."""
    st.title("Submit")
    st.write(
        "A row needs the frames of every story of a benchmark version. The board scores them again, so your own "
        "numbers are optional. `docs/submit.md` tells the whole way, `storybench submit --help` the options."
    )
    st.code(commands(), language="bash", wrap_lines=True)
    with st.expander("Checklist"):
        for line in CHECKLIST:
            st.text(f"☐ {line}")
    st.header("Check an archive")
    st.caption(
        f"Up to {MAX_MB} MB. Everything that is wrong is named at once. The archive is read as bytes: nothing in it is "
        "run or unpacked, and nothing is kept. Check larger ones on your machine: `storybench submit check entry.zip`"
    )
    upload = st.file_uploader("Archive", type=None, key="archive", max_upload_size=MAX_MB)
    if upload is None:
        st.session_state.pop("checked", None)
        return
    checked = st.session_state.get("checked")
    if checked is None or checked[0] != upload.file_id:
        report = _check(upload)
        if report is None:
            return
        st.session_state["checked"] = checked = (upload.file_id, report)
    _show(checked[1])


def _check(upload: BinaryIO) -> Report | None:
    """Return what is wrong with an uploaded archive; None if others' archives took too long."""
    from storybench.submission.checking import check_archive

    bar = st.progress(0.0, "Waiting for the archive before yours ...")
    if not _lock().acquire(timeout=WAIT_S):
        bar.empty()
        st.warning("Other archives are still being checked. Try again later.")
        return None
    try:
        bar.progress(0.0, "Reading the archive ...")

        def step(done: int, total: int) -> None:
            if done % 25 == 0 or done == total:
                bar.progress(done / max(total, 1), f"{done} of {total} frames looked at")

        return check_archive(upload, progress=step)
    finally:
        _lock().release()
        bar.empty()


def _show(report: Report) -> None:
    """Show a report; its strings are a stranger's and escaped."""
    (st.success if report.ok else st.error)(verdict(report))
    if report.problems:
        st.html(problem_table(report))
        st.caption(
            f"“{SEVERITIES['error']}” keeps an archive off the board; a “{SEVERITIES['warning']}” stands in its row."
        )
    if report.summary:
        st.html(summary_table(report.summary))
    st.download_button(
        "Download the report (JSON)", _json(report), "report.json", "application/json", on_click="ignore"
    )


def _json(report: Report) -> str:
    """Return a report as JSON."""
    return json.dumps(report.to_json(), indent=1, default=str)


main()
