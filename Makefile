# make demo    set up, draw 32 stories with both reference models, score them, print one table, write strips
# make board   the leaderboard in a browser
# make test    all tests
# make lint    style, types, import arrows

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUFF_PATHS := storybench storygptv baselines leaderboard tests benchmarks configs setup.py

export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo board test browser test-fast lint format clean

$(STAMP): pyproject.toml setup.py constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,masks,lora,fid,captions,plots,peers,leaderboard,browser]'
	@touch $@

demo: $(STAMP)
	$(BIN)/storybench demo

board: $(STAMP)
	$(BIN)/storybench leaderboard

test: $(STAMP) browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations 15 -m "slow or not slow"

browser: # Debian's chromium, which the browser tests drive; without it they are skipped with a sentence
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -qq --yes chromium >/dev/null; } \
	  || echo "No chromium here: the browser tests are skipped. Install your system's package 'chromium' to run them."

test-fast: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check $(RUFF_PATHS)
	$(BIN)/ruff format --check $(RUFF_PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix $(RUFF_PATHS)
	$(BIN)/ruff format $(RUFF_PATHS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
