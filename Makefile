# The commands of this project. `make demo` and `make test` set up all they need.
#   ARGS  further arguments, e.g. make demo ARGS="--window 5s", make test ARGS="tests/unit -x"
#   MODE  of `make wasm`: compiled (by mypyc) or bytecode
#   PYTHON  the interpreter of .venv, 3.11 or newer
SHELL := bash
MODE ?= compiled
PYTHON ?=
ARGS ?=

READY := .venv/.ready
RUN := PYTHONPATH=filter:. .venv/bin/python
COMPILED := dist/tallyman.wasm
BYTECODE := dist/tallyman-bytecode.wasm
BUILD_SOURCES := $(shell find build filter/proxywasm filter/tallyman -name '*.py' -o -name '*.c' -o -name '*.h')
CONFIGURATION := .cache/tutorial.json

.PHONY: help setup demo up test wasm lint bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo   play the whole tutorial on a real Envoy, check every number, stop"
	@echo "make up     the same world, left running; Ctrl-C stops it"
	@echo "make test   all tests"
	@echo "make wasm   dist/tallyman.wasm (MODE=bytecode: dist/tallyman-bytecode.wasm)"
	@echo "make lint   ruff, mypy --strict"
	@echo "make bench  the benchmarks"
	@echo "make setup  only what the others need; make clean removes what was built"

setup: $(READY)

$(READY): requirements.lock requirements-vm.lock pyproject.toml build/environment.sh
	@PYTHON="$(PYTHON)" bash build/environment.sh
	@touch $@

demo: $(COMPILED)
	@$(RUN) -m host_sim demo $(ARGS)

# With a terminal the world runs as a job of its own, so that Ctrl-C reaches it alone and make ends as it does.
up: $(COMPILED)
	@if [ -t 0 ]; then set -m; $(RUN) -m host_sim up $(ARGS); else exec env $(RUN) -m host_sim up $(ARGS); fi

test: $(COMPILED) $(BYTECODE)
	@$(RUN) -m pytest $(ARGS)

ifeq ($(MODE),compiled)
wasm: $(COMPILED)
else ifeq ($(MODE),bytecode)
wasm: $(BYTECODE)
else
wasm:
	@echo "make wasm: found MODE=$(MODE), expected compiled or bytecode" >&2; exit 2
endif

$(CONFIGURATION): $(READY) $(wildcard envoy/tutorial/*.yaml)
	@mkdir -p $(@D)
	@$(RUN) -m host_sim check envoy/tutorial --output plugin > $@

$(COMPILED): $(READY) $(CONFIGURATION) $(BUILD_SOURCES)
	@$(RUN) build/build.py tallyman --configuration $(CONFIGURATION) --output $@

$(BYTECODE): $(READY) $(CONFIGURATION) $(BUILD_SOURCES)
	@$(RUN) build/build.py tallyman --configuration $(CONFIGURATION) --mode bytecode --output $@

lint: $(READY)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@MYPYPATH=filter .venv/bin/mypy --strict filter host_sim
	@cd build && ../.venv/bin/mypy --strict .

bench: $(COMPILED) $(BYTECODE)
	@$(RUN) -m bench $(ARGS)

clean:
	rm -rf dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
