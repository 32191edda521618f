# Everything that is done with this tree; `make` lists it. The settings are in
# cluster.example.toml, and in .env when there is one (.env.example shows all).
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONFIG ?= cluster.example.toml
SETTINGS := --config $(CONFIG) $(if $(wildcard .env),--env-file .env)
PYTEST := $(BIN)/pytest -q
# Mostly they wait, for leases to end and for what a page shows.
PATIENT_TESTS := $(sort $(wildcard tests/e2e/test_client_*.py tests/e2e/test_cli_*.py) \
	$(wildcard tests/e2e/test_javascript.py tests/e2e/test_docs_[ghp]*.py))
# These share no database.
CLIENT_TESTS := $(sort $(wildcard tests/integration/test_client*.py tests/integration/test_cli_*.py))
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" pyproject.toml \
	deploy/lock/build.in

##@ To run it

.PHONY: run
run: deps ## Start three nodes (and a PostgreSQL, if none is configured); Ctrl-C stops them
	@$(BIN)/gorillad up $(SETTINGS)

.PHONY: migrate
migrate: deps ## Bring the tables of the configured database up to date
	@$(BIN)/gorillad migrate $(SETTINGS)

.PHONY: deps
deps: $(STAMP) ## Make the environment .venv from the lock file (at once when it is there)
	@:

$(STAMP): deploy/lock/dev.txt pyproject.toml deploy/deps.sh
	@deploy/deps.sh $(VENV) deploy/lock/dev.txt
	@touch $@

##@ To check it

.PHONY: ci
ci: check test-integration test-e2e ## Everything that CI runs

.PHONY: check
check: deps ## Format, lint, types, import rule and the fast tests; under a minute
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -n auto tests/test_tidy.py tests/unit tests/simulation

.PHONY: test-unit
test-unit: deps ## Pure logic: no socket, no database
	$(PYTEST) tests/test_tidy.py tests/unit

.PHONY: test-simulation
test-simulation: deps ## Whole clusters over simulated network, disk and clock
	$(PYTEST) -n auto tests/simulation

.PHONY: test-integration
test-integration: deps ## Real sockets, files and PostgreSQL
	@deploy/tools.sh --or-fail
	$(PYTEST) tests/integration $(patsubst %,--ignore='%',$(CLIENT_TESTS))
	$(PYTEST) -n 2 $(CLIENT_TESTS)

.PHONY: test-e2e
test-e2e: deps ## Real nodes behind a real load balancer
	@deploy/tools.sh --or-fail
	$(PYTEST) tests/e2e $(patsubst %,--ignore='%',$(PATIENT_TESTS))
	$(PYTEST) -n 2 --dist loadfile $(PATIENT_TESTS)

.PHONY: test-kill-all
test-kill-all: deps ## Kill all nodes while they are written to, many times: make test-kill-all ROUNDS=50
	GORILLA_TEST_ROUNDS=$(or $(ROUNDS),50) $(PYTEST) -s tests/e2e/test_kill_all.py

.PHONY: test-run-safety
test-run-safety: deps ## Is a command over before a rival has its lock? make test-run-safety ROUNDS=100
	GORILLA_TEST_ROUNDS=$(or $(ROUNDS),100) $(PYTEST) -s tests/e2e/test_cli_run_safety.py

.PHONY: test-chaos
test-chaos: deps ## Faults on real processes, with a report: make test-chaos MINUTES=10 NODES=3
	@deploy/tools.sh --or-fail
	@$(BIN)/python -m tests.support.chaos --minutes $(or $(MINUTES),10) --nodes $(or $(NODES),3) \
		--nemeses "$(or $(NEMESES),all)" --report $(or $(REPORT),chaos-report) \
		$(if $(SEED),--seed $(SEED))

.PHONY: test-client-hunt
test-client-hunt: deps ## Programs contend for locks while everything fails: SECONDS=60 SEED=1
	@$(BIN)/python -m tests.support.client_e2e_hunt --seconds $(or $(SECONDS),60) \
		--seed $(or $(SEED),1)

.PHONY: test-client-soak
test-client-soak: deps ## Thousands of holds of each client, and what is left of them: CYCLES=10000
	@$(BIN)/python -m tests.support.client_e2e_soak --cycles $(or $(CYCLES),10000)

.PHONY: test-pythons
test-pythons: deps ## The clients on other Pythons: make test-pythons PYTHONS="3.12 3.13"
	@$(BIN)/python -m tests.support.client_e2e_pythons $(or $(PYTHONS),3.11 3.12 3.13)

.PHONY: sim
sim: deps ## One simulated run, told in full: make sim PROFILE=crash SEED=7, or SCENARIO=file
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.support.sim --profile $(or $(PROFILE),everything) \
		--seed $(or $(SEED),1) --trace $(if $(SCENARIO),--scenario $(SCENARIO))

.PHONY: sim-long
sim-long: deps ## Many simulated runs of every profile: make sim-long SEEDS=500
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.support.sim --profile $(or $(PROFILE),all) \
		--seed $(or $(SEED),1) --count $(or $(SEEDS),100) --jobs $$(nproc) --shrink

.PHONY: sim-mutants
sim-mutants: deps ## Plant bugs, one after the other, and see the simulation find each
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.support.sim.mutants --jobs $$(nproc)

.PHONY: check-openapi
check-openapi: deps ## Clients that code generators make of the API document, on a real node (minutes)
	@$(BIN)/python -m tests.support.generated

.PHONY: bench
bench: deps ## Acquires a second and latency of three durable nodes on this machine
	@$(BIN)/python -m benchmarks

.PHONY: bench-failover
bench-failover: deps ## How long nothing is served when the leader fails: ROUNDS=20 FAULT=kill|pause
	@$(BIN)/python -m benchmarks.failover --rounds $(or $(ROUNDS),20) --fault $(or $(FAULT),kill)

.PHONY: bench-memory
bench-memory: deps ## Memory of a held lock, a waiter, a session and an idempotency key
	@$(BIN)/python -m benchmarks.memory

##@ To change it

.PHONY: format
format: deps ## Put the code into the house format
	$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

.PHONY: docs
docs: deps ## Write the reference pages and example files that come from the code
	$(BIN)/python -m gorilla.config.reference toml > cluster.example.toml
	$(BIN)/python -m gorilla.config.reference env > .env.example
	$(BIN)/python -m gorilla.config.reference markdown > docs/reference/configuration.md
	$(BIN)/python -m gorilla.observability > docs/reference/metrics.md
	$(BIN)/python -m gorilla.cli.reference > docs/reference/cli.md
	$(BIN)/python -m gorilla.client.reference > docs/reference/client.md

.PHONY: lock
lock: deps ## Resolve the dependencies again and write deploy/lock/
	$(LOCK) --upgrade --extra server --extra cli --output-file deploy/lock/runtime.txt
	$(LOCK) --upgrade --extra dev --output-file deploy/lock/dev.txt

.PHONY: clean
clean: ## Remove the environment, caches and the data of `make run` (its locks are gone then)
	@# Where `gorillad up` had to keep the database elsewhere, and it is of this very tree.
	@if cd .gorilla 2>/dev/null && place=$$(readlink postgresql) && \
		[ "$$(cat "$$place/linked-from" 2>/dev/null)" = "$$(pwd -P)/postgresql" ]; \
		then echo "rm -rf $$place"; rm -rf "$$place"; fi
	rm -rf $(VENV) .gorilla .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
