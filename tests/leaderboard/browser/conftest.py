"""A board's server and a browser for its pages. Both start fresh for each module and end with it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MINI = "toonsv-mini-v1"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROBES = re.compile(r"/_stcore/(health|host-config)$")  # Streamlit looks below the page's address first: 404 is normal
BAD = ("Traceback", "Error", "Exception")  # words of the server's log that no visit may cause
START_S, SETTLE_MS = 120, 90_000
STILL = 3  # looks a quarter of a second apart


def load(name: str, path: Path):
    """Return a module of the tests by its file."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@dataclass
class Server:
    """A running server and its log."""

    url: str
    process: subprocess.Popen
    log: Path
    read: int = field(default=0)

    def new_lines(self) -> list[str]:
        """Return what was logged since the last call."""
        text = self.log.read_text()
        lines = text[self.read :].splitlines()
        self.read = len(text)
        return lines


def start_server(board: Path, log: Path) -> Server:
    """Start ``storybench leaderboard`` on a free port and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["leaderboard", f"results={board}", f"port={port}", "headless=true"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "storybench.cli.main", *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return server
        except OSError:
            time.sleep(0.3)
    stop_server(server)
    raise AssertionError(f"the server did not answer within {START_S} s: {log.read_text()}")


def stop_server(server: Server) -> None:
    """End the server and what it started."""
    import signal

    if server.process.poll() is None:
        os.killpg(server.process.pid, signal.SIGTERM)  # its own session: nobody else's process
    try:
        server.process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


@pytest.fixture(scope="session")
def chromium():
    """A browser; without one, or without playwright, the tests are skipped."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A board of 14 rows of the mini benchmark."""
    make_board = load("make_board", HERE.parent / "make_board.py").make_board
    return make_board(tmp_path_factory.mktemp("board"), 14, 32, benchmark=MINI)


@pytest.fixture(scope="module")
def server(board, tmp_path_factory):
    """A server over the board; whatever it logged as an error fails the last test of the module."""
    running = start_server(board.root, tmp_path_factory.mktemp("server") / "log.txt")
    yield running
    stop_server(running)
    text = running.log.read_text()
    assert not any(word in text for word in BAD), text


class Visitor:
    """One window of a browser, and everything it complained of."""

    def __init__(self, context, server: Server) -> None:
        self.context, self.server = context, server
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("requestfailed", lambda r: self._failed(r))
        self.foreign: list[str] = []
        self.page.on("request", lambda r: self._request(r.url))

    def _said(self, message) -> None:
        where = message.location["url"]
        if message.type == "error" and self._ours(where) and not PROBES.search(where):
            self.complaints.append(f"{message.text} {where}")

    def _ours(self, url: str) -> bool:
        return not url or url.startswith((self.server.url, self.server.url.replace("http", "ws", 1), "data:", "blob:"))

    def _request(self, url: str) -> None:
        if not self._ours(url):
            self.foreign.append(url)

    def _failed(self, request) -> None:
        if self._ours(request.url) and "ERR_ABORTED" not in (
            request.failure or ""
        ):  # a page that was left drops what it had asked for
            self.complaints.append(f"{request.url}: {request.failure}")

    def open(self, path: str) -> None:
        """Go to a page and wait until it stands still."""
        self.page.goto(self.server.url + path)
        self.settle()

    def settle(self) -> None:
        """Wait until the script of the page has run and what it shows no longer changes."""
        page = self.page
        page.wait_for_selector("h1", timeout=SETTLE_MS)
        shown, same = "", 0
        while same < STILL:  # a click takes a moment to become a run, and a run to become elements
            page.wait_for_timeout(250)
            page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=SETTLE_MS)
            before, shown = shown, self.main.inner_text()
            same = same + 1 if shown == before else 0

    @property
    def main(self):
        """What the page shows beside its navigation."""
        return self.page.get_by_test_id("stMain")

    def assert_sound(self) -> None:
        """Fail if the page shows an exception, or its window or its server complained of anything."""
        assert self.page.get_by_test_id("stException").count() == 0, self.main.inner_text()
        assert self.complaints == []
        logged = [line for line in self.server.new_lines() if any(word in line for word in BAD)]
        assert logged == []


@pytest.fixture
def visit(chromium, server):
    """Open windows: ``visit()`` gives one with nothing remembered, whose zoom and scheme can be chosen."""
    contexts = []

    def open_window(**options) -> Visitor:
        options = {"viewport": {"width": 1440, "height": 1000}, "accept_downloads": True, **options}
        contexts.append(chromium.new_context(**options))
        return Visitor(contexts[-1], server)

    yield open_window
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory):
    """Where pictures of the pages go: ``STORYBENCH_SCREENSHOTS``, or a folder of this session."""
    named = os.environ.get("STORYBENCH_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
