# What a person types. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help up demo down status check test test-pg16 test-broker bench-quick attack fuzz chaos soak chaos-mutants setup lock

PYTHON ?= python3
export PYTHON

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## bring the whole platform up on this machine; Ctrl-C stops it
	@scripts/setup run
	@exec .venv/bin/shopflow up

demo: ## play an order's story against the running platform
	@scripts/setup run
	@exec .venv/bin/shopflow demo

status: ## show what runs
	@scripts/setup run
	@exec .venv/bin/shopflow status

down: ## stop the running platform
	@scripts/setup run
	@exec .venv/bin/shopflow down

check: ## lint, types, import contracts
	@scripts/setup dev
	@scripts/check

test: ## every test, on servers of its own
	@scripts/setup dev
	@scripts/test

test-pg16: ## the suite on PostgreSQL 16
	@scripts/setup dev
	@scripts/test-pg16

test-broker: ## the tests of events, on the broker that RABBITMQ_URL names
	@scripts/setup dev
	@scripts/test-broker

attack: ## attack the running platform, and say what was found
	@scripts/setup dev
	@scripts/attack

bench-quick: ## the first figures, in three minutes
	@scripts/setup dev
	@scripts/bench-quick

fuzz: ## long runs of generated input: requests, tokens, messages; up to 20 minutes
	@scripts/setup dev
	@scripts/fuzz

chaos: ## kill, cut and stop everything at every step, on four platforms side by side
	@scripts/setup dev
	@scripts/chaos

soak: ## faults by chance for 20,000 orders, a backlog, providers that are away; under 75 minutes
	@scripts/setup dev
	@scripts/soak

chaos-mutants: ## put known bugs back: the faults have to find each
	@scripts/setup dev
	@scripts/chaos-mutants

setup: ## make .venv with everything for development
	@scripts/setup dev

lock: ## pin what requirements/*.in ask for
	@scripts/lock
