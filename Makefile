# `make` alone lists what can be made.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed

.DEFAULT_GOAL := help

help:  ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(DONE): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name it: make PYTHON=python3 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --progress-bar off --quiet -r requirements.txt
	$(BIN)/pip install --progress-bar off --quiet --no-deps -e .
	@touch $@

install: $(DONE)  ## Create .venv and install what is pinned in requirements.txt.

serve: $(DONE)  ## Real data, features, models, and the server on port 3000.
	$(BIN)/nba quickstart
	$(BIN)/nba serve

test: $(DONE)  ## The whole test suite.
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(DONE)  ## ruff, ruff format and mypy --strict.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DONE)  ## Put imports and lines into the form that lint asks for.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-eligibility bench-decide bench-events bench-history  ## Speed (15 minutes).

bench-decide: $(DONE)  ## Speed of /v1/decide against a no-op of the same server.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.bench.decide

bench-eligibility: $(DONE)  ## 3,000 conditions of 1,000 actions, asked in one decision.
	$(BIN)/python -m tests.bench.eligibility

bench-events: $(DONE)  ## Events a second on one worker, durable and visible.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.bench.events

bench-history: $(DONE)  ## `nba build` over 1, 3 and 10 million events.
	$(BIN)/python -m tests.bench.history

bench-parity: $(DONE)  ## Features served against features of history, and every mutation of either.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.parity --mutations

bench-kill: $(DONE)  ## kill -9 during ingestion, 20 times.
	$(BIN)/python -m tests.bench.kill --rounds 20

bench-learner-kill: $(DONE)  ## kill -9 of the learner, 20 times, beside one that is left alone.
	$(BIN)/python -m tests.bench.learner_kill --kills 20

bench-caps: $(DONE)  ## 64 callers at once, and merges meanwhile: is a cap ever passed? 20 rounds.
	$(BIN)/python -m tests.bench.caps --rounds 20

bench-replay: $(DONE)  ## 10,000 decisions, each decided again from the log.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.bench.replay --decisions 10000

bench-fuzz: $(DONE)  ## 6,000 requests that schemathesis makes up; counts by route and status.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.fuzz --cases 6000

bench-off-policy: $(DONE)  ## 500 worlds: do off-policy intervals hold the truth as often as they say?
	$(BIN)/python -m tests.bench.off_policy

bench-bandit: $(DONE)  ## Our bandit against Vowpal Wabbit and MABWiser on real sets (40 minutes).
	-$(BIN)/pip install --progress-bar off --quiet mabwiser==2.7.4 vowpalwabbit==9.11.9
	$(BIN)/python -m tests.bench.bandit

bench-hillstrom: $(DONE)  ## Does a learned policy beat the best fixed arm? 20 half splits of real e-mails.
	$(BIN)/python -m tests.bench.hillstrom

bench-rehearsal: $(DONE)  ## Six policies in five simulated worlds: 20,000 customers, 90 days (20 minutes).
	$(BIN)/nba rehearse --customers 20000 --days 90 --seeds 5

bench-ceiling: $(DONE)  ## How much of the oracle's gain can be had by what a business can see? (3 minutes).
	$(BIN)/python -m tests.bench.ceiling

bench-learning: $(DONE)  ## How soon is a segment's best action found, live? 50 decisions a second, 20 minutes.
	$(BIN)/python -m tests.bench.learning --minutes 20

mlflow: $(DONE)  ## MLflow's pages on port 5000.
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db --port 5000

bento: $(DONE)  ## Build the bento, ready for `bentoml serve next_best_action:latest`.
	$(BIN)/bentoml build

clean:  ## Forget data, models and .venv.
	rm -rf $(VENV) .nba mlruns/mlflow.db mlruns/artifacts

.PHONY: help install serve test lint format mlflow bento clean
.PHONY: bench bench-ceiling bench-decide bench-eligibility bench-events bench-history bench-parity bench-kill bench-learner-kill bench-learning bench-caps bench-replay bench-fuzz bench-off-policy bench-bandit bench-hillstrom bench-rehearsal
