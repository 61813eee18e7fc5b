# `make` without a target lists the targets.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed

.DEFAULT_GOAL := help

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(DONE): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name it: make PYTHON=python3 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --progress-bar off --quiet -r requirements.txt
	$(BIN)/pip install --progress-bar off --quiet --no-deps -e .
	@touch $@

install: $(DONE)  ## Create .venv with the packages that requirements.txt pins.

serve: $(DONE)  ## Import the data, train the models, and start the server on port 3000.
	$(BIN)/nba quickstart
	$(BIN)/nba serve

# Python keeps compiled modules, or each process that the tests start would compile them again.
test test-fast: export PYTHONDONTWRITEBYTECODE :=

test: $(DONE)  ## Run the whole test suite (14 minutes).
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=10

test-fast: $(DONE)  ## Run the quick tests that start no other process (90 seconds).
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=10 --fast

lint: $(DONE)  ## Run ruff, ruff format --check and mypy --strict.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DONE)  ## Sort imports and format the code as lint expects.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-eligibility bench-decide bench-events bench-history  ## Run the speed benchmarks (15 minutes).

bench-decide: $(DONE)  ## Measure /v1/decide against a no-op of the same server.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.bench.decide

bench-eligibility: $(DONE)  ## Measure 3,000 conditions of 1,000 actions in one decision.
	$(BIN)/python -m tests.bench.eligibility

bench-events: $(DONE)  ## Measure /v1/events on one worker: durable and visible events per second.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.bench.events

bench-history: $(DONE)  ## Measure `nba build` over 1, 3 and 10 million events.
	$(BIN)/python -m tests.bench.history

bench-journeys: $(DONE)  ## Measure the journeys of 10 million events, and a map of 30 nodes in Chromium.
	$(BIN)/python -m tests.bench.journeys
	$(BIN)/python -m tests.bench.journeys_page
	$(BIN)/python -m tests.bench.journeys_live

bench-parity: $(DONE)  ## Compare served features with training features, also with planted bugs.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.parity --mutations

bench-kill: $(DONE)  ## Kill the server 20 times (kill -9) while events arrive, and look for losses.
	$(BIN)/python -m tests.bench.kill --rounds 20

bench-learner-kill: $(DONE)  ## Kill the learner 20 times (kill -9), and compare it with an undisturbed one.
	$(BIN)/python -m tests.bench.learner_kill --kills 20

bench-arms: $(DONE)  ## Count the arms of 1,000,000 customer ids in three processes, and merge some.
	$(BIN)/python -m tests.bench.arms --customers 1000000

bench-caps: $(DONE)  ## Ask for decisions with 64 callers at once, and count exceeded caps (20 rounds).
	$(BIN)/python -m tests.bench.caps --rounds 20

bench-guarantees: $(DONE)  ## Measure visible events, long histories, fairness and outages of the store (20 minutes).
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.bench.guarantees

bench-replay: $(DONE)  ## Replay 10,000 logged decisions, and compare the answers to the byte.
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.bench.replay --decisions 10000

bench-fuzz: $(DONE)  ## Send 20,000 requests made by schemathesis, 20,000 made-up paths, and bombs (10 minutes).
	$(BIN)/nba quickstart
	$(BIN)/python -m tests.fuzz --cases 20000
	$(BIN)/python -m tests.fuzz_bombs

bench-off-policy: $(DONE)  ## Measure the coverage of off-policy intervals in 1,500 simulated worlds.
	$(BIN)/python -m tests.bench.off_policy

bench-evaluate: $(DONE)  ## Evaluate policies on 40 logs with open windows, whose truth is known (10 minutes).
	$(BIN)/python -m tests.bench.evaluate_open

bench-imported: $(DONE)  ## Train the bandit on imported logs of 60,000 decisions (5 minutes).
	$(BIN)/python -m tests.bench.imported_log

bench-slots: $(DONE)  ## Learn from three slots that are looked at less and less (10 minutes).
	$(BIN)/python -m tests.bench.slots

bench-lift: $(DONE)  ## Measure the sign and the coverage of the lift in 800 worlds (2 minutes).
	$(BIN)/python -m tests.bench.lift --first-seed 20000

bench-guardrails: $(DONE)  ## Look for one harmful action of eight in 200 worlds, and for none in 200 (1 minute).
	$(BIN)/python -m tests.bench.guardrails

bench-surrogate: $(DONE)  ## Compare 7 days of surrogate with 90 of truth, and look for a slow poison (15 minutes).
	$(BIN)/python -m tests.bench.surrogate

bench-learner: $(DONE)  ## Measure what learning costs: bytes, locks, decisions with 1,000 actions, lag.
	$(BIN)/python -m tests.bench.learner_cost

bench-forty-days: $(DONE)  ## Explain and replay 10,000 decisions of forty days, and measure the ledger.
	$(BIN)/python -m tests.bench.forty_days

bench-bandit: $(DONE)  ## Compare the bandit with the kept results of its rivals (4 minutes).
	$(BIN)/python -m tests.bench.bandit

bench-rivals: $(DONE)  ## Install and measure the rivals of bench-bandit again (60 minutes).
	$(BIN)/pip install --progress-bar off --quiet mabwiser==2.7.4 vowpalwabbit==9.11.9 xgboost-cpu==3.2.0
	$(BIN)/python -m tests.bench.bandit --rivals
	$(BIN)/python -m tests.bench.bandit --rivals --sets others

bench-served: $(DONE)  ## Compare the served bandit with the same class in a notebook (20 minutes).
	-$(BIN)/pip install --progress-bar off --quiet vowpalwabbit==9.11.9
	$(BIN)/python -m tests.bench.served

bench-delay: $(DONE)  ## Play actions with windows of 3, 14 and 30 days, only acceptances told (15 minutes).
	$(BIN)/python -m tests.bench.delay

bench-made-up: $(DONE)  ## Play the bandit on sets made up to show its weaknesses (10 minutes).
	$(BIN)/python -m tests.bench.made_up

bench-added-value: $(DONE)  ## Play sure things, persuadables and sleeping dogs, 3 worlds (20 minutes).
	$(BIN)/python -m tests.bench.added_value

bench-hillstrom: $(DONE)  ## Compare a learned policy with the best fixed arm on 20 splits of Hillstrom.
	$(BIN)/python -m tests.bench.hillstrom

bench-uplift: $(DONE)  ## Rank customers by what an e-mail adds, on 20 splits of Hillstrom (2 minutes).
	$(BIN)/python -m tests.bench.uplift

SIMULATE := $(BIN)/nba simulate --world both --days 90 --seeds 5 --first-seed 30001 --policies \
	served,leaving_off,nobody,random,fixed,rules,oracle,informed

bench-simulate: $(DONE)  ## Play the service and its rivals in two businesses, 5 worlds each (hours).
	$(SIMULATE) --customers 4000
	$(SIMULATE) --customers 20000 --no-lifts

bench-simulate-http: $(DONE)  ## Play 1,000 customers for 40 days on a server, and check its lift (5 minutes).
	$(BIN)/python -m tests.bench.simulate_http

bench-ceiling: $(DONE)  ## Measure the share of the oracle's gain that visible features allow (3 minutes).
	$(BIN)/python -m tests.bench.ceiling

bench-worlds: $(DONE)  ## Check that the oracle is best in ten simulated worlds of each business (3 minutes).
	$(BIN)/python -m tests.bench.check_worlds

bench-learning: $(DONE)  ## Measure how soon a live server finds each segment's best action (18 minutes).
	$(BIN)/python -m tests.bench.learning

mlflow: $(DONE)  ## Serve MLflow's pages on port 5000.
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db --port 5000

bento: $(DONE)  ## Build the bento for `bentoml serve next_best_action:latest`.
	$(BIN)/bentoml build

clean:  ## Delete data, models and .venv.
	rm -rf $(VENV) .nba mlruns/mlflow.db mlruns/artifacts

.PHONY: help install serve test test-fast lint format mlflow bento clean
.PHONY: bench bench-arms bench-bandit bench-caps bench-ceiling bench-decide bench-delay bench-eligibility bench-evaluate bench-events bench-forty-days bench-fuzz bench-guarantees bench-guardrails bench-hillstrom bench-history bench-imported bench-journeys bench-kill bench-learner bench-learner-kill bench-learning bench-lift bench-made-up bench-off-policy bench-parity bench-replay bench-rivals bench-served bench-simulate-http bench-simulate bench-slots bench-surrogate bench-uplift bench-worlds bench-added-value
