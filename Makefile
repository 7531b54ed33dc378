# make up: everything runs. make test: everything is tested. Both set up what they need first.
.PHONY: up down test lint bench setup jars audit
.DEFAULT_GOAL := up

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/installed

up: setup
	@sh deploy/system-packages
	@exec $(BIN)/weir up $(WEIR_UP_ARGS)

down: setup
	@$(BIN)/weir down

test: setup
	@sh deploy/system-packages --test
	@$(MAKE) --no-print-directory jars
	@$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	@sh deploy/system-packages --test
	@$(MAKE) --no-print-directory jars
	@$(BIN)/weir up --detach --no-fleet
	@$(BIN)/weir bench results

# Known vulnerabilities of what is pinned, and build/bom.json. Exit code 2: no advisory service could be reached.
audit: setup
	@test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && \
		.venv-audit/bin/python -m pip install -q --disable-pip-version-check pip-audit cyclonedx-bom; }
	@.venv-audit/bin/python -m deploy.audit

jars:
	@$(BIN)/python -m deploy.jars

setup: $(STAMP)

$(STAMP): requirements.lock setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "weir: Python 3.11 or newer is needed: install python3.11 and python3.11-venv" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "==> making the virtual environment with $(PYTHON)"; \
		$(PYTHON) -m venv .venv || { rm -rf .venv; echo "weir: the venv module is missing: install python3-venv" >&2; exit 1; }; }
	@echo "==> installing the pinned dependencies (once, a few minutes)"
	@{ $(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --require-hashes -r requirements.lock; \
		echo $$? >.venv/pip.rc; } | awk '/^Collecting/ { if (++n % 20 == 0) { print "    " n " packages found"; fflush() } } \
		/^Installing collected/ { print "    installing " n " packages"; fflush() } /ERROR/ { print; fflush() }'
	@test "$$(cat .venv/pip.rc)" = 0 || { echo "weir: the dependencies could not be installed: check the network, then run make again" >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
