"""One class a layout on disk; each gives the clips of a published release (:mod:`storybench.data.clips`)."""
