# `make demo` and `make test` set up everything they need. Each environment is locked and made anew when its lock changes.

.DEFAULT_GOAL := help
.PHONY: help setup build local demo test check bench dlq lock clean

DEV := .venv
SAM := .venv-sam
MINISTACK := .venv-ministack

# `sam build` wants a python3.13 on PATH, and `sam validate` a region.
export PATH := $(CURDIR)/$(DEV)/bin:$(PATH)
export AWS_DEFAULT_REGION ?= eu-central-1
export SAM_CLI_TELEMETRY := 0

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make the environments (every other target does so too)
	@$(MAKE) --silent --no-print-directory -j3 $(DEV)/.done $(SAM)/.done $(MINISTACK)/.done

$(DEV)/.done: requirements/dev.txt layers/dependencies/requirements.txt
$(SAM)/.done: requirements/sam.txt
$(MINISTACK)/.done: requirements/ministack.txt
%/.done:
	python=$$(scripts/find-python) && echo "Installing $< into $*" && rm -rf $* && "$$python" -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

build: setup ## Build functions and layers for both architectures (sam build)
	@mkdir -p .aws-sam && echo "sam build" && if ! $(SAM)/bin/sam build --cached --parallel >.aws-sam/build.log 2>&1; \
	then cat .aws-sam/build.log; exit 1; fi

local: build ## Start the whole stack on this machine and keep it up
	@$(DEV)/bin/python -m local.up

demo: build ## Deploy the stack locally, send real messages, show every outcome
	@$(DEV)/bin/python -m local.demo

check: setup
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/cfn-lint template.yaml
	$(SAM)/bin/sam validate
	$(SAM)/bin/sam validate --lint

test: check build ## Run every check and test
	$(DEV)/bin/python -m pytest

bench: build ## Measure speed and size, as ratios against peers in the same run
	@$(DEV)/bin/python -m benchmarks

ARGS ?= list
dlq: setup ## List the dead-letter queue of a deployed stack, or put messages back (ARGS="redrive --all")
	@$(DEV)/bin/python scripts/dlq.py $(ARGS)

lock: ## Lock the newest versions of all packages, with hashes
	@scripts/lock

clean: ## Remove everything that was made
	rm -rf $(DEV) $(SAM) $(MINISTACK) .aws-sam .hypothesis .mypy_cache .pytest_cache .ruff_cache
