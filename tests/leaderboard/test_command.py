"""``storybench leaderboard``: its words, its mistakes, and a server that answers."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from leaderboard import command
from storybench.cli.main import main
from storybench.errors import ConfigError, DataError


def test_help_names_every_key(capsys):
    assert main(["leaderboard", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{key}" in shown for key in (*command.DEFAULTS, *command.FOLDERS, "export"))


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [
        ("prot=1", ConfigError, "Did you mean: port"),
        ("port", ConfigError, "no key=value"),
        ("port=abc", ConfigError, "whole number"),
        ("port=70000", ConfigError, "65535"),
        ("headless=yes", ConfigError, "true or false"),
        ("results=/no/such/folder", DataError, "No folder"),
    ],
)
def test_a_mistake_is_one_sentence(word, error, says):
    with pytest.raises(error, match=re.escape(says)):
        command.parsed([word])
    assert main(["leaderboard", word]) == 2


def test_the_server_is_told_where_the_rows_are(tmp_path):
    options = command.parsed([f"results={tmp_path}", f"pororo={tmp_path}", "port=9000"])
    assert command.environment(options)["STORYBENCH_BOARD"] == str(tmp_path)
    assert command.environment(options)["STORYBENCH_PORORO"] == str(tmp_path)
    assert "--server.port=9000" in command.server_command(options)


@pytest.mark.slow
def test_the_board_answers(board):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "storybench.cli.main",
            "leaderboard",
            f"results={board}",
            f"port={port}",
            "headless=true",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/compare", timeout=5) as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("the server did not answer within a minute")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
