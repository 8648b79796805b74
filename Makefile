# Every chore has a target; `make` or `make help` lists them. Each target sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
REQUIREMENTS := requirements/bootstrap.txt requirements/lock.txt requirements/data.txt
COMPILE := uv pip compile --quiet --no-emit-index-url --no-header --python-version 3.11 --generate-hashes
JOBS ?= 2

.PHONY: help setup demo up down test unit prove lint typecheck format bench quality curve cold-start docs-answers lock jars-lock docker clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Compiled once at installation: every process of the stack would compile Feast anew where bytecode may not be written.
setup: $(STAMP)  ## install everything, with every hash checked, into .venv

$(STAMP): $(REQUIREMENTS) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11, or name it with make PYTHON=…" >&2; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || { echo "a C++ compiler is missing: hnswlib is built on this machine; install g++, or name one in CXX" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/lock.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/data.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## real films for real people in the browser; CHECK=1 tries it without a person and exits
	$(BIN)/freshet demo $(if $(CHECK),--check)

up: setup  ## start Kafka, Redis, Flink and the server
	$(BIN)/freshet up

down: setup  ## stop them
	$(BIN)/freshet down

test: lint typecheck unit  ## everything: lint, types, unit and integration tests
	$(BIN)/pytest -m "integration and not proof"

unit: setup  ## the tests that start no server
	$(BIN)/pytest -m "not integration and not proof" -n $(JOBS)

prove: setup  ## the long proofs: SQL's answers, a repository applied and feeds labelled under load, nothing lost, parity
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/proofs.txt
	$(BIN)/pytest -s -m proof
	CONSENT_ORDERS=60 $(BIN)/pytest -s --timeout 1800 tests/streams/test_consent.py
	LOST_EVENTS=100000 $(BIN)/pytest -s -m "not proof" tests/streams/test_nothing_lost.py
	PARITY_EVENTS=220000 PARITY_DEFINITIONS=bench.repositories.forty $(BIN)/pytest -s --timeout 3600 \
		tests/streams/test_parity.py::test_every_emission_of_every_declared_feature_is_the_same

lint: setup  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: setup  ## mypy, strict
	$(BIN)/mypy

bench: setup  ## freshness, ingest, throughput, history, feed, bundles, filters, rules, reactions, adding, digests, surfaces
	$(BIN)/freshet bench freshness --features 0,8
	$(BIN)/freshet bench ingest
	$(BIN)/freshet bench throughput --features 0,40
	$(BIN)/freshet bench history
	$(BIN)/freshet bench feed --items 10000,100000,1000000 --processes 1,2
	$(BIN)/freshet bench bundles
	$(BIN)/freshet bench filters
	$(BIN)/freshet bench rules
	$(BIN)/freshet bench served-rules
	$(BIN)/freshet bench reactions
	$(BIN)/freshet bench adding
	$(BIN)/freshet bench digests
	$(BIN)/freshet bench surfaces

quality: setup  ## how good the feed is on MovieLens-100K, beside popularity and factorization
	$(BIN)/python -m training.quality

curve: setup  ## accuracy against diversity, calibration, coverage and novelty of each re-ranker, on MovieLens-100K
	$(BIN)/python -m training.rerank_curve

cold-start: setup  ## how good the feed is for new people, after few events, picks, interests or a profile, on MovieLens-100K
	$(BIN)/python -m training.cold_start

docs-answers: setup  ## write the answers below the calls in docs/ anew, from a stack with MovieLens-100K
	DOCS_ANSWERS=write $(BIN)/pytest -m proof tests/proofs/test_demo_live.py -k every_call

lock: setup  ## resolve the Python requirements again
	printf 'uv\nsetuptools>=80\n' | $(BIN)/$(COMPILE) --upgrade - -o requirements/bootstrap.txt
	$(BIN)/$(COMPILE) --upgrade --extra train --extra dev pyproject.toml -o requirements/lock.txt

jars-lock: setup  ## resolve the jars of Kafka and Flink again
	$(BIN)/freshet jars lock

docker: setup  ## build the images and check the compose file
	docker compose -f docker/compose.yaml build

clean:  ## remove caches and .freshet (all local data); keeps .venv
	@test ! -x $(BIN)/freshet || $(BIN)/freshet down
	rm -rf .freshet .mypy_cache .pytest_cache .ruff_cache .coverage build dist *.egg-info
