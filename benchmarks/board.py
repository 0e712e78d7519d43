"""The board with 200 rows of 500 stories in a real browser: how soon something is on the screen, what memory it takes.

The board is made by ``tests/leaderboard/make_board.py``: real stories, the real schema, invented models. One server is
started and visited by one Chromium through Playwright. Warm numbers are medians of ``--times`` visits after the first;
the browser keeps the static files of the server, as a visitor's does from the second visit on. Cold ones are the first
visit of a server that has read nothing, by a browser that has stored nothing. Bars: the first table 2 s, a page of
stories 1 s after the click that asks for it, 1 GB for the server after all pages were seen. ``storybench leaderboard
export`` of the same board is timed, without a bar.

Prints one JSON object. Run: ``python benchmarks/board.py [--rows 200] [--stories 500] [--out FILE]``.
"""

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "leaderboard"
BENCHMARK = "toonsv-v1"
BARS = {"first_table_s": 2.0, "stories_s": 1.0, "server_mb": 1000}
PAGES = ("compare", "stories", "model", "metrics", "try_it", "submit", "changelog")
# a table draws on a canvas, and keeps a text of it beside: its first row is there when the table is on the screen
TABLE = "() => document.querySelector('[data-testid=stDataFrame] canvas td[aria-colindex]')?.textContent !== undefined"
STRIPS = """() => { const seen = [...document.querySelectorAll('[data-testid=stMain] img')]
  .filter(i => i.getBoundingClientRect().top < innerHeight); return seen.length > 1 && seen.every(i => i.complete) }"""
LIMIT_MS = 120_000


def load(name, path):
    """Return a module of the tests by its file."""
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seconds_until(page, act, condition):
    """Return the seconds from an act until a condition holds on the page."""
    started = time.perf_counter()
    act()
    page.wait_for_function(condition, timeout=LIMIT_MS, polling=20)
    return time.perf_counter() - started


def first_table(context, url):
    """Open the board in a new tab and return the seconds to its table."""
    page = context.new_page()
    seconds = seconds_until(page, lambda: page.goto(url, wait_until="commit"), TABLE)
    settle(page)
    page.close()
    return seconds


def stories(context, url):
    """Open the board, click Stories, and return the seconds from the click to the strips in view."""
    page = context.new_page()
    page.goto(url)
    page.wait_for_function(TABLE, timeout=LIMIT_MS)
    settle(page)
    link = page.get_by_role("link", name="Stories", exact=True).first
    seconds = seconds_until(page, link.click, STRIPS)
    settle(page)
    page.close()
    return seconds


def settle(page):
    """Wait until the server has finished the page, so that one visit does not slow the next."""
    page.wait_for_timeout(300)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=LIMIT_MS)


def cpu_seconds(group):
    """Return the processor seconds that the processes of a group have used: a busy machine changes them little."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and os.getpgid(int(folder.name)) == group:
                ticks += sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:13]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(group):
    """Return the resident memory in MB of all processes of a group."""
    total = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and os.getpgid(int(folder.name)) == group:
                lines = (folder / "status").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        except OSError:  # it ended meanwhile
            continue
    return total / 1024


def visited(browser, server, times):
    """Visit everything and return what was measured."""
    url = f"{server.url}/?benchmark={BENCHMARK}"
    fresh = browser.new_context(viewport={"width": 1440, "height": 1000})
    cold = {"first_table_s": first_table(fresh, url), "stories_s": stories(fresh, url)}
    used = cpu_seconds(server.process.pid)
    warm = {"first_table_s": statistics.median(first_table(fresh, url) for _ in range(times))}
    used = (cpu_seconds(server.process.pid) - used) / times
    warm["stories_s"] = statistics.median(stories(fresh, url) for _ in range(times))
    other = browser.new_context(viewport={"width": 1440, "height": 1000})
    new_browser = first_table(other, url)
    page = other.new_page()
    for name in PAGES:
        page.goto(f"{server.url}/{name}?benchmark={BENCHMARK}")
        page.wait_for_selector("h1", timeout=LIMIT_MS)
        settle(page)
    return {
        **{name: round(value, 2) for name, value in warm.items()},
        "server_mb": round(resident_mb(server.process.pid)),
        "server_cpu_s_a_visit": round(used, 2),
        "cold": {name: round(value, 2) for name, value in cold.items()},
        "warm_server_new_browser_first_table_s": round(new_browser, 2),
    }


def exported(board, out):
    """Return seconds, files and MB of an export."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    words = ["leaderboard", "export", f"out={out}", f"results={board}"]
    subprocess.run([sys.executable, "-m", "storybench.cli.main", *words], check=True, capture_output=True)
    files = [path for path in out.rglob("*") if path.is_file()]
    return {
        "export_s": round(time.perf_counter() - started, 1),
        "export_cpu_s": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 1),
        "export_files": len(files),
        "export_mb": round(sum(path.stat().st_size for path in files) / 1e6, 1),
    }


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--stories", type=int, default=500)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if shutil.which("chromium") is None:
        sys.exit("needs chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    make_board = load("make_board", TESTS / "make_board.py").make_board
    serving = load("board_server", TESTS / "browser" / "conftest.py")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        started = time.perf_counter()
        make_board(root / "board", options.rows, options.stories, benchmark=BENCHMARK)
        found = {"rows": options.rows, "stories": options.stories, "made_s": round(time.perf_counter() - started, 1)}
        found["load_average"] = round(os.getloadavg()[0], 1)  # of the machine, before anything is measured
        started = time.perf_counter()
        server = serving.start_server(root / "board", root / "log.txt")
        found["start_s"] = round(time.perf_counter() - started, 1)
        try:
            with sync_playwright() as running:
                browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=serving.FLAGS)
                found |= visited(browser, server, options.times)
                browser.close()
        finally:
            serving.stop_server(server)
        found |= exported(root / "board", root / "site")
    found |= {"times": options.times, "bars": BARS, "holds": all(found[name] <= bar for name, bar in BARS.items())}
    text = json.dumps(found, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
