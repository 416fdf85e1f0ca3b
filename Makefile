# What a newcomer types; `make help` lists it. What a maintainer runs besides (three Pythons, wheels, benchmarks)
# stands in noxfile.py. Needed on the machine: Python 3.11 or newer, pip, make, git.

VENV := .venv
BIN := $(VENV)/bin
MEMBERS := $(dir $(wildcard packages/*/pyproject.toml plugins/*/pyproject.toml))
PINS := constraints.txt pyproject.toml $(addsuffix pyproject.toml,$(MEMBERS))

# The first that really runs: a version manager may put a shim on PATH that has no interpreter behind it.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# Only pinned versions, only into $(VENV), only the Python that is here.
export UV_NO_SYNC := 1
export UV_PYTHON_DOWNLOADS := never
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt

# A machine behind a mirror or a proxy tells pip and its own certificate store so; uv has to be told to look there.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= 1
endif

CHECKS := lint types imports
.PHONY: help setup demo test $(CHECKS) docs format lock clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@echo 'Checking tells what your defences made of what the red team did. Start with: make demo'
	@echo
	@awk -F ':.*## ' '/^[a-z]+( [a-z]+)*:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Another interpreter: make setup PYTHON=/path/to/python3.12. Wheels, benchmarks, all Pythons: $(BIN)/nox --list'

setup: $(VENV)/.setup  ## Build .venv with everything that development needs, at pinned versions

demo: $(VENV)/.demo  ## Run a recorded operation through the engine and print its report
	@$(BIN)/checking demo

test: $(CHECKS)  ## Run every check and every test, documentation examples included
	@$(BIN)/pytest -n logical --maxprocesses 4 --dist loadgroup

lint: setup  ## Check style, format and known security mistakes
types: setup  ## Check types, strictly
imports: setup  ## Check who may import whom
docs: setup  ## Run the examples in README and docs
lock: setup  ## Write the newest allowed versions into constraints.txt
$(CHECKS) docs lock:
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nox --no-venv --no-install --session $@

format: setup  ## Format the sources, mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:  ## Remove .venv and everything else that is built; your databases stay
	rm -rf $(VENV) .nox dist build htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache

$(VENV)/.setup: $(PINS) | $(BIN)/uv
	@echo 'Installing the packages, the plugins and the tools into $(VENV)'
	@$(INSTALL) --group dev -e 'packages/checking-core[storage,postgres,amqp,testing]' \
		$(addprefix -e ,$(filter-out packages/checking-core/,$(MEMBERS)))
	@touch $(VENV)/.demo $@

$(VENV)/.demo: $(PINS) | $(BIN)/uv
	@echo 'Installing the server and two plugins into $(VENV)'
	@$(INSTALL) -e packages/checking-core -e packages/checking-server -e plugins/mock -e plugins/sigma
	@touch $@

# The pip that is here fills the new environment. Where there is none (or one before 22.3, which cannot), ensurepip
# brings one; Debian keeps that in a package of its own.
$(BIN)/uv:
	@test -n '$(PYTHON)' || { echo >&2 'Checking needs Python 3.11 or newer: install it, or name it with PYTHON=...'; exit 1; }
	@echo 'Creating $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv --without-pip $(VENV)
	@if $(PYTHON) -m pip --help 2>/dev/null | grep -q -e '--python '; then \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet -c constraints.txt uv; \
	elif $(BIN)/python -c 'import ensurepip' 2>/dev/null; then \
		$(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip install --quiet -c constraints.txt uv; \
	else \
		echo >&2 '$(PYTHON) has neither pip nor ensurepip: apt-get install python3-venv (or its like), then again'; exit 1; \
	fi
