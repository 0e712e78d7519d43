"""The script that Streamlit runs: ``python -m streamlit run leaderboard/served/board.py``.

It stands apart from ``pages``: a folder of that name beside the script would make Streamlit open an address such as
``/compare`` without the navigation that :mod:`leaderboard.app` builds.
"""

from __future__ import annotations

from leaderboard.app import main

main()
