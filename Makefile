# `make demo` and `make test` set up everything they need. Each environment is locked and made anew when its lock changes.

.DEFAULT_GOAL := help
.PHONY: help setup build local demo test unit check bench bench-pacing dashboard dlq replay schemas lock clean

DEV := .venv
SAM := .venv-sam
CHECKS := .venv-checks
MINISTACK := .venv-ministack
BENCH := .venv-bench
RUNTIME := .runtime

# `sam build` wants a python3.13 on PATH.
export PATH := $(CURDIR)/$(DEV)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
# Each of the many processes of a run would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make the environments (every other target does so too)
	@$(MAKE) --silent --no-print-directory -j4 $(DEV)/.done $(SAM)/.done $(MINISTACK)/.done $(CHECKS)/.done

$(DEV)/.done: requirements/dev.txt layers/dependencies/requirements.txt
$(SAM)/.done: requirements/sam.txt
$(CHECKS)/.done: requirements/checks.txt
$(MINISTACK)/.done: requirements/ministack.txt
$(BENCH)/.done: requirements/bench.txt
%/.done:
	python=$$(scripts/find-python) && echo "Installing $< into $*" && rm -rf $* && "$$python" -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

$(RUNTIME)/.done: requirements/runtime.txt | setup
	echo "Installing $< into $(RUNTIME)" && rm -rf $(RUNTIME)
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --target $(RUNTIME) -r $<
	touch $@

build: setup ## Build functions and layers for both architectures (sam build)
	@mkdir -p .aws-sam && echo "sam build" && if ! $(SAM)/bin/sam build --cached --parallel >.aws-sam/build.log 2>&1; \
	then cat .aws-sam/build.log; exit 1; fi
	@$(CHECKS)/bin/python scripts/sbom.py .aws-sam/build .aws-sam/sbom.cdx.json

local: build ## Start the whole stack on this machine (PARAMS="Campaigns=true", PORT=4567, KEEP=DIR, CUBE="--qps 5")
	@exec $(DEV)/bin/python -m local.up $(if $(PORT),--port "$(PORT)") $(if $(KEEP),--keep "$(KEEP)") \
		$(if $(CUBE),--cube="$(CUBE)") $(PARAMS)

demo: build ## Deploy the stack locally, send real messages, show every outcome
	@$(DEV)/bin/python -m local.demo

CHECK := $(addprefix check-,checkov mypy sam-lint sam cfn-lint ruff format bandit bandit-tools)
.PHONY: $(CHECK)

# One line for each check that passes. They run beside one another, and all of them whatever the first says. Each of them
# is also a test: tests/test_checks.py.
check: setup ## Run the checks alone (ruff, mypy, bandit, cfn-lint, …)
	@$(MAKE) --silent --no-print-directory --keep-going -j4 $(CHECK)

check-ruff:
	scripts/quietly "ruff check" $(DEV)/bin/ruff check .
check-format:
	scripts/quietly "ruff format" $(DEV)/bin/ruff format --check .
check-mypy:
	scripts/quietly mypy $(DEV)/bin/mypy
check-cfn-lint:
	scripts/quietly cfn-lint $(DEV)/bin/cfn-lint template.yaml monitoring/dashboard.yaml schemas/registry.yaml
# Any region will do.
check-sam check-sam-lint: export AWS_DEFAULT_REGION ?= eu-central-1
check-sam:
	scripts/quietly "sam validate" $(SAM)/bin/sam validate
check-sam-lint:
	scripts/quietly "sam validate lint" $(SAM)/bin/sam validate --lint
# What runs on Lambda is held to everything that bandit knows; tools on a developer's machine to what is grave.
check-bandit:
	scripts/quietly bandit $(CHECKS)/bin/bandit --quiet --configfile pyproject.toml --recursive layers functions
check-bandit-tools:
	scripts/quietly "bandit, tools" $(CHECKS)/bin/bandit --quiet --configfile pyproject.toml -ll --recursive local scripts benchmarks
# Without the key of a service that it would send its findings to.
check-checkov:
	mkdir -p .aws-sam && scripts/quietly transform $(DEV)/bin/python -m local.transform .aws-sam/transformed.json
	scripts/quietly checkov env -u BC_API_KEY $(CHECKS)/bin/checkov --config-file .checkov.yaml --file .aws-sam/transformed.json

# Tests wait more than they work, so that there are more workers than processors. tests/conftest.py has the order, and
# which tests are one worker's.
WORKERS ?= 5
FILE ?= tests
PYTEST = $(DEV)/bin/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

test: build $(RUNTIME)/.done ## Run every check and test, or some of them (FILE=tests/e2e/test_send.py)
	$(PYTEST) $(FILE)

# Without SAM, MiniStack and the tools of `make check`.
unit: WORKERS = logical
unit: $(DEV)/.done ## Run the tests that need neither a build nor a stack (a minute)
	$(PYTEST) tests/unit

bench: build $(BENCH)/.done $(RUNTIME)/.done ## Measure speed, memory, size and cost beside peers in the same run (a quarter of an hour)
	@$(DEV)/bin/python -m benchmarks

bench-pacing: build ## Drain bursts under the provider's limits, ours and a naive peer (about half an hour)
	@$(DEV)/bin/python -m benchmarks.pacing

dashboard: build ## Draw docs/dashboard.png from a run on this machine (five minutes)
	@$(DEV)/bin/python -m local.dashboard

ARGS ?= list
dlq: setup ## List the dead-letter queue of a deployed stack, or put messages back (ARGS="redrive --all")
	@$(DEV)/bin/python -m scripts.dlq $(ARGS)

replay: setup ## List outcome events that were given up, or publish them (ARGS="replay")
	@$(DEV)/bin/python -m scripts.replay_outcomes $(ARGS)

schemas: setup ## Write anew what is made of code and template: docs/*.schema.json, schemas/registry.yaml, docs/reference/parameters.md
	@PYTHONPATH=layers/cube $(DEV)/bin/python scripts/schemas.py
	@$(DEV)/bin/python -m scripts.reference

lock: ## Lock the newest versions of all packages, with hashes
	@scripts/lock

clean: ## Remove everything that was made
	rm -rf $(DEV) $(SAM) $(CHECKS) $(MINISTACK) $(BENCH) $(RUNTIME) .aws-sam .hypothesis .mypy_cache .pytest_cache .ruff_cache
