# `make` alone explains itself. Needs Python 3.11+, git and make; everything else goes into .venv.

# The first Python on PATH that is new enough. Another one, `make PYTHON=python3.13 ...`, has an environment of its own.
ifeq ($(origin PYTHON),undefined)
PYTHON  := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV    := .venv
else
VENV    := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' || echo unknown)
endif
BIN     := $(VENV)/bin
# One that could not be finished, or whose Python has gone, is made again.
ifneq ($(wildcard $(VENV)),)
ifneq ($(shell $(BIN)/python -c 'import pip' >/dev/null 2>&1 && echo works),works)
$(shell rm -f $(VENV)/*.stamp)
endif
endif

# The released set, installed from the lock for all systems at once, for its licences and the SBOM.
LOCKED  := build/locked
UV      := $(BIN)/uv --no-config

.DEFAULT_GOAL := help
.PHONY: help run demo test test-contract check format fuzz bench bench-peers bench-soak lock licences sbom audit clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## Start the gateway: with your key if one is set, else against the simulated upstream
	@if [ -n "$$DRAGOMAN_CONFIG" ]; then \
		echo "DRAGOMAN_CONFIG is set: starting 'dragoman serve' with it."; exec $(BIN)/dragoman serve $(PORT:%=--port %); \
	elif [ -n "$$ANTHROPIC_API_KEY$$ANTHROPIC_API_KEYS" ]; then \
		echo "A key is set in the environment: starting 'dragoman serve'."; exec $(BIN)/dragoman serve $(PORT:%=--port %); \
	else \
		echo "No ANTHROPIC_API_KEY in the environment: starting 'dragoman demo', against a simulated upstream."; \
		exec $(BIN)/dragoman demo $(PORT:%=--port %); \
	fi

demo: $(VENV)/run.stamp ## Start the gateway against the simulated upstream
	@exec $(BIN)/dragoman demo $(PORT:%=--port %)

test: $(VENV)/dev.stamp ## Run the whole test suite
	$(BIN)/python -m pytest --numprocesses=auto $(ARGS)

test-contract: $(VENV)/contract.stamp ## Run the official SDKs' own tests against the gateway (fetches them from PyPI)
	$(BIN)/python -m tests.contract.sdk_suites $(ARGS)

fuzz: $(VENV)/dev.stamp ## Throw damaged input at every reader until stopped, or for SECONDS=600; findings go to .fuzz/
	$(BIN)/python -m tests.fuzz $(SECONDS:%=--seconds %) $(ARGS)

check: $(VENV)/dev.stamp ## Lint, formatting and types (ruff, mypy --strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp ## Rewrite the code in the project's formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.stamp ## Measure: size, time to ready, translation costs, and the gateway under load beside nginx
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(VENV)/dev.stamp ## Measure the load beside other gateways too (installs them, about 1 GB)
	$(BIN)/python -m benchmarks install-peers
	$(BIN)/python -m benchmarks load --peers $(ARGS)

bench-soak: $(VENV)/dev.stamp ## See whether memory stays flat: 100,000 requests, 1,000 clients that leave
	$(BIN)/python -m benchmarks soak $(ARGS)

lock: $(VENV)/release.stamp ## Pin the released set anew, with the hashes of all files: requirements.lock, docs/licences.md
	$(UV) pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --extra store --extra valkey --extra otel \
		--no-emit-package httpx2-jsfetch --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --output-file requirements.lock
	@$(MAKE) --no-print-directory licences

licences: $(LOCKED)/stamp ## List the licences of what the lock holds: docs/licences.md
	@{ printf '# Licences\n\nWhat `requirements.lock` installs beside Dragoman (Apache-2.0), and under which licence, as each package says\n'; \
		printf 'of itself. Made by `make licences`.\n\n'; \
		$(BIN)/pip-licenses --python $(LOCKED)/bin/python --from=mixed --format=markdown; } > docs/licences.md

sbom: $(LOCKED)/stamp ## Write the list of parts (SBOM, CycloneDX JSON) of the released set: build/dragoman.cdx.json
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/dragoman.cdx.json \
		$(LOCKED)/bin/python

# Only pip-audit's own word counts as an all-clear: where it cannot reach its data, it has looked at nothing.
audit: $(VENV)/release.stamp ## Look the released set up among known vulnerabilities (needs pip-audit's data from the network)
	@mkdir -p build
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock 2>&1 | tee build/audit.txt
	@if grep -q '^No known vulnerabilities found' build/audit.txt; then exit 0; \
		elif grep -q '^Found ' build/audit.txt; then echo "make audit: vulnerabilities are known, see above."; exit 1; \
		else echo "make audit: NOT AUDITED, pip-audit could not do its work or reach its data."; exit 1; fi

clean: ## Remove the virtual environment and caches
	rm -rf .venv .venv-3.* .venv-peers .peers build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz

$(VENV)/python.stamp:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Dragoman needs Python 3.11 or newer; $(or $(PYTHON),what is on PATH) is not."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@touch $@

$(VENV)/run.stamp: pyproject.toml | $(VENV)/python.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/python.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@ $(VENV)/run.stamp

$(VENV)/contract.stamp: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group contract
	@touch $@

$(VENV)/release.stamp: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group release
	@touch $@

# Without their markers, packages for other systems and versions are installed too, and so have their licences read.
$(LOCKED)/stamp: requirements.lock $(VENV)/release.stamp
	rm -rf $(LOCKED)
	$(UV) venv --quiet --python $(BIN)/python $(LOCKED)
	sed -E 's/ ; .*\\$$/ \\/' requirements.lock > $(LOCKED)/all.lock
	$(UV) pip install --quiet --python $(LOCKED) --require-hashes --no-deps --requirement $(LOCKED)/all.lock
	@touch $@
