"""``storybench data verify``: is a folder the published release it should be, and what is wrong with it?

The files, where each is published and the published counts are in ``facts/releases.json``. Verification opens files by
those names itself, not through the adapters, so that it works on releases that an adapter refuses. It reads lists,
annotations and the headers of pictures, never a whole picture.
"""

from __future__ import annotations

from pathlib import Path

from storybench.data.parquet import MANIFEST, is_parquet, read_manifest
from storybench.data.verifying.flintstones import check_flintstones
from storybench.data.verifying.pororo import check_pororo
from storybench.data.verifying.release import file_states, recognise, release_facts
from storybench.data.verifying.report import Count, Defect, FileState, Findings, Report
from storybench.errors import DataError, unknown

__all__ = ["Count", "Defect", "FileState", "Report", "verify"]

CHECKS = {"flintstones": check_flintstones, "pororo": check_pororo}
BUILT = "parquet"  # the form that `storybench data build` writes; no release
ARCHIVE_FOLDER = "pororo_png"  # what pororo.zip unpacks to; its parent serves as the root, too


def verify(dataset: str, root: Path, layout: str | None = None) -> Report:
    """Check a release of a published data set.

    Args:
        dataset: ``flintstones`` or ``pororo``.
        root: Its folder.
        layout: Name of a layout in ``releases.json``, or ``parquet``; None to recognise it from the files.

    Returns:
        What is there, what is missing and where to get it, the counts and the defects.

    Raises:
        ConfigError: If the data set or the layout is unknown.
        DataError: If there is no such folder.
    """
    facts = release_facts(dataset)
    layouts = facts["layouts"]
    if layout is not None and layout not in (*layouts, BUILT):
        raise unknown("layout", layout, (*layouts, BUILT), f"dataset {dataset}")
    if not root.is_dir():
        raise DataError(f"No folder at '{root}': give the folder of the release as dataset.root=DIR.")
    if dataset == "pororo" and (root / ARCHIVE_FOLDER).is_dir():
        root = root / ARCHIVE_FOLDER
    if layout == BUILT or (layout is None and is_parquet(root)):
        return _verify_built(dataset, root)
    also: list[str] = []
    if layout is None:
        layout, also = recognise(facts, root)
    if not layout:
        states = tuple(state for each in layouts.values() for state in file_states(each, root))
        reason = f"No file of any layout is here: expected one of {', '.join(layouts)}."
        return Report(dataset, "", root.name, states, unusable=(reason,))
    found = Findings(root)
    states = file_states(layouts[layout], root)
    if missing := [state.path for state in states if state.need == "required" and not state.present]:
        found.unusable.append(f"Layout {layout} needs {', '.join(missing)}.")
    if also:
        found.notes.append(f"The folder holds layout {', '.join(also)}, too: dataset.layout=NAME checks that one.")
    CHECKS[dataset](layout, facts, found)
    return Report(
        dataset,
        layout,
        root.name,
        states,
        tuple(found.counts),
        tuple(found.defects),
        tuple(found.notes),
        tuple(found.unusable),
    )


def _verify_built(dataset: str, root: Path) -> Report:
    """Check the files of a build against the hashes in its manifest: what it was built from had its own defects."""
    here = (root / MANIFEST).is_file()
    state = FileState(MANIFEST, "names and hashes of the tables", "written by storybench data build", "required", here)
    try:
        manifest = read_manifest(root)
    except DataError as error:
        return Report(dataset, BUILT, root.name, (state,), unusable=(str(error).replace(f"{root}/", ""),))
    if manifest.get("dataset", dataset) != dataset:
        reason = f"The folder was built from data set {manifest['dataset']}: give dataset={manifest['dataset']}."
        return Report(dataset, BUILT, root.name, (state,), unusable=(reason,))
    return Report(dataset, BUILT, root.name, (state,), notes=("Every file has the hash that the manifest records.",))
