"""The parts of ``storybench data verify``: the files of a release, the checks of each data set, and what was found."""
