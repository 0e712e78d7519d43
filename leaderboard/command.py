"""``storybench leaderboard``: the board in a browser; ``storybench leaderboard export``: the same as files."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from storybench.errors import AssetError, ConfigError, DataError, unknown

HERE = Path(__file__).resolve().parent
DEFAULTS = {"results": "", "port": "8501", "headless": "false", "address": "localhost"}
FOLDERS = {"flintstones": "STORYBENCH_FLINTSTONES", "pororo": "STORYBENCH_PORORO"}  # copies of data sets
USAGE = """usage: storybench leaderboard [results=DIR] [port=8501] [address=localhost] [headless=true]
                              [flintstones=DIR] [pororo=DIR]
       storybench leaderboard export ...

results      folder of the rows, <results>/<benchmark>/<row>/; by default those that are shipped
port         where the server listens
address      0.0.0.0 lets other machines in
headless     true: no browser is opened
flintstones, pororo   your copy of a data set, to show captions and true frames of its stories"""


def main(arguments: Sequence[str]) -> int:
    """Serve the board until it is stopped, or write it as files; return the exit status."""
    if arguments and arguments[0] == "export":
        from leaderboard.export.command import main as export

        status: int = export(list(arguments[1:]))
        return status
    if "--help" in arguments:
        print(USAGE)
        return 0
    options = parsed(arguments)
    if importlib.util.find_spec("streamlit") is None or importlib.util.find_spec("altair") is None:
        raise AssetError("The board needs streamlit and altair: pip install 'storybench[leaderboard]'")
    return subprocess.call(server_command(options), cwd=HERE, env=environment(options))


def parsed(arguments: Sequence[str]) -> dict[str, str]:
    """Return key -> value with defaults.

    Raises:
        ConfigError: If a word is no key=value, a key is unknown, or a value is of the wrong kind.
        DataError: If a folder does not exist.
    """
    options = dict(DEFAULTS)
    for word in arguments:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is no key=value. storybench leaderboard --help lists the keys.")
        if key not in (*DEFAULTS, *FOLDERS):
            raise unknown("key", key, [*DEFAULTS, *FOLDERS], "storybench leaderboard")
        options[key] = value
    if not (options["port"].isdecimal() and 1 <= int(options["port"]) <= 65_535):
        raise ConfigError(f"port is {options['port']!r}: expected a whole number from 1 to 65535.")
    if options["headless"] not in ("true", "false"):
        raise ConfigError(f"headless is {options['headless']!r}: expected true or false.")
    for key in ("results", *FOLDERS):
        if options.get(key) and not Path(options[key]).is_dir():
            raise DataError(f"No folder at '{options[key]}': {key} names an existing one.")
    return options


def server_command(options: dict[str, str]) -> list[str]:
    """Return the command of the server; the rest of its settings is in ``.streamlit/config.toml``."""
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(HERE / "served" / "board.py"),
        f"--server.port={options['port']}",
        f"--server.address={options['address']}",
        f"--server.headless={options['headless']}",
    ]


def environment(options: dict[str, str]) -> dict[str, str]:
    """Return the environment of the server: this one's, and where its data lie."""
    found = dict(os.environ)
    if options["results"]:
        found["STORYBENCH_BOARD"] = str(Path(options["results"]).resolve())
    for key, variable in FOLDERS.items():
        if options.get(key):
            found[variable] = str(Path(options[key]).resolve())
    return found
