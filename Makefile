# her2core: `make run` starts the demonstration laboratory, `make test` proves the build.
#
# A virtual environment counts as installed when a stamp named after the SHA-256 of the requirements is in it, so that
# a changed requirements file, by whatever way it came, installs again.

.DEFAULT_GOAL := help
.PHONY: help run test check faults browser-long bench-check format screenshots venv venv-dev browser clean
.NOTPARALLEL:
SHELL := /bin/bash

# The oldest Python that works is 3.11; PYTHON=/path/to/python chooses another one.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
APP_STAMP := $(VENV)/.app-$(shell sha256sum requirements.txt | cut -c1-16)
DEV_STAMP := $(VENV)/.dev-$(shell cat requirements.txt requirements-dev.txt | sha256sum | cut -c1-16)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar off

help:
	@echo "make run     start the demonstration laboratory on http://127.0.0.1:8501"
	@echo "make test    ruff, mypy, import contracts and all tests, the browser's included"
	@echo "make faults  faults, attacks and fuzzing at full length (an hour or more); writes docs/security.md's tables"
	@echo "make browser-long  all walks in the browser, those with a real image and a killed server included (some 15 minutes)"
	@echo "make check   ruff, mypy and import contracts only"
	@echo "make bench-check  fails where her2core lost more than a quarter of its lead on its peers in benchmarks/results (idle machine)"
	@echo "make format  let ruff put the code in shape"
	@echo "make screenshots  pictures of every page for the documents, of a throw-away demonstration laboratory"
	@echo "make clean   remove the virtual environment and caches; the data folder stays"

run: venv
	@HER2CORE_DEMO=1 $(BIN)/python -m her2core demo
	@echo "her2core is starting on http://127.0.0.1:8501 (stop it with Ctrl-C)"
	@exec env HER2CORE_DEMO=1 HER2CORE_CA_PASSPHRASE=demonstration $(BIN)/python -m streamlit run app.py --server.address 127.0.0.1 --server.port 8501 \
		--server.headless true --browser.gatherUsageStats false

# Files side by side on two cores, whatever the machine has: browser tests wait for pages, and more would starve them.
test: check browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: venv-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-check: venv-dev
	$(BIN)/python -m benchmarks.speed --check

# Exit code of pytest, after the tables are written: a failure is in them too.
faults: venv-dev
	PROOF=long $(BIN)/python -m pytest -m "" --junitxml=.pytest_cache/faults.xml tests/faults tests/attacks tests/imaging/test_fuzz.py; \
	code=$$?; $(BIN)/python -m tests.outcomes .pytest_cache/faults.xml docs/security.md && exit $$code

browser-long: venv-dev browser
	PROOF=long $(BIN)/python -m pytest -m "" tests/browser

format: venv-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: venv-dev browser
	$(BIN)/python -m tests.screenshots

venv: $(APP_STAMP)

venv-dev: $(DEV_STAMP)

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "her2core needs Python 3.11 or newer and found none. Install it, or say where it is: make PYTHON=/path/to/python"; exit 1; fi
	@echo "Making the virtual environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "The virtual environment could not be made. On Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(APP_STAMP): | $(BIN)/python
	@echo "Installing requirements.txt (torch is large: some minutes the first time)"
	@rm -f $(VENV)/.app-* $(VENV)/.dev-*
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV_STAMP): | $(BIN)/python
	@echo "Installing requirements-dev.txt (torch is large: some minutes the first time)"
	@rm -f $(VENV)/.app-* $(VENV)/.dev-*
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(APP_STAMP)

# The browser tests drive Debian's Chromium. Where there is none and it cannot be installed, they are skipped, and
# pytest's closing line counts them.
browser:
	@if [ -n "$$CHROMIUM" ] || command -v chromium chromium-browser google-chrome >/dev/null; then exit 0; fi; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v apt-get >/dev/null && { [ -z "$$sudo" ] || $$sudo true 2>/dev/null; }; then \
		echo "Installing Debian's chromium for the browser tests"; \
		$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq chromium >/dev/null; fi; \
	command -v chromium >/dev/null || \
		echo "No Chromium here and apt cannot install it: the browser tests will be skipped. Install chromium, or set CHROMIUM to its path."

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
