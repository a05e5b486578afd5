# `make run` builds the environment and runs the shipped genomes; `make test` builds it and runs the tests.
# Both need Python 3.11 or 3.12 and, once the packages are in, no network.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run run-slurm test test-faults test-slurm lint bench demo-fetch clean

run: $(VENV)/.ready
	@scripts/find_diamond.sh
	@$(BIN)/gemforest run --cores $(CORES)

# On a cluster, from a node that can submit jobs; after the head died, the same command goes on.
run-slurm: $(VENV)/.ready
	@scripts/find_diamond.sh
	@$(BIN)/gemforest resume --profile slurm --cores 2

test: $(VENV)/.ready-dev lint
	@scripts/find_diamond.sh
	@scripts/find_chromium.sh
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder --durations=25

# The whole workflow on a real SLURM of one node, started from Debian's packages for the purpose. Needs root.
test-slurm: $(VENV)/.ready-dev
	@scripts/find_diamond.sh
	GEMFOREST_SLURM_LONG=1 $(BIN)/python -m pytest tests/cluster

# 200 faults at random instants; FAULTS and SEED say otherwise. With root also full disks and read-only folders.
test-faults: $(VENV)/.ready-dev
	@scripts/find_diamond.sh
	GEMFOREST_FAULTS=$(or $(FAULTS),200) GEMFOREST_FAULTS_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/faults

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# What the models predict, beside CarveMe with SCIP: `make bench QUICK=--quick DATA=FOLDER` (growth needs the folder).
BENCH := results/bench
bench: $(VENV)/.ready
	@scripts/find_diamond.sh
	@$(BIN)/python scripts/bench_evaluation.py $(QUICK) --cores $(CORES) --work $(BENCH) \
		$(if $(DATA),--data $(DATA)) --json $(BENCH)/evaluation.json

# The stage fetch with all its troubles, from a small NCBI on this machine.
demo-fetch: $(VENV)/.ready
	@$(BIN)/python scripts/demo_fetch.py

# torch stands in a file of its own: pinned without hash or local version, so that CPU and CUDA builds both install.
$(VENV)/.ready: requirements.lock requirements-torch.lock pyproject.toml
	@echo "Building $(VENV) from the lock file (once)."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --requirement requirements-torch.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-dev.lock
	@touch $@

clean:
	rm -rf $(VENV) results/[!.]* logs resources/cache .snakemake
