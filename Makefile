# Needs Python 3.11 or later with venv, and nothing else. Targets with a ## are for you.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STEPS ?= 1000000
SEED ?= 0
SECONDS ?= 60
INSTALLED = $(VENV)/installed
INSTALLED_DEV = $(VENV)/installed-dev
PURE = msgserver/wire/*,msgserver/clientcore.py,msgserver/clientmessages.py,msgserver/sessions.py,msgserver/kept.py,msgserver/current.py,msgserver/tally.py,msgserver/directory.py

TESTS = $(sort $(shell find tests -name 'test_*.py'))

# What takes long, and is the same under both runners, runs once: searches and copies of the tree, and
# processes that mostly wait for each other.
SEARCHES = tests/chaos/test_chaos.py tests/simulation/test_simulation.py tests/test_compiled.py \
    tests/test_bench_gates.py tests/test_bench_loads.py tests/test_overhearing.py \
    tests/mutants/test_runner.py tests/test_docs.py tests/test_docs_operating.py \
    tests/test_docs_site.py
SERVERS = tests/endtoend/test_paths.py tests/endtoend/test_cluster.py tests/endtoend/test_link.py \
    tests/endtoend/test_processes.py tests/endtoend/test_attacks.py tests/endtoend/test_secrets.py \
    tests/test_docs_gates.py tests/test_docs_tls.py tests/test_docs_deploy.py \
    tests/endtoend/test_examples.py tests/endtoend/test_tutorial.py tests/endtoend/test_game.py \
    tests/endtoend/test_chat.py tests/endtoend/test_aio.py tests/endtoend/test_workers.py \
    tests/endtoend/test_commandline.py tests/endtoend/test_commandline_servers.py \
    tests/endtoend/test_commandline_terminal.py tests/test_docs_command_line.py \
    tests/endtoend/test_loadtest.py tests/test_docs_load_testing.py
ONCE = $(SEARCHES) $(SERVERS)

# What a shell starts beside it takes no Ctrl-C, nor does what that starts, such as our own commands.
BESIDE = 'import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); \
    del sys.argv[0]; runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)'

.DEFAULT_GOAL = help
.PHONY: help run run-cluster demo test check simulate attacks chaos fuzz machines mutants interpreted \
    test-compiled bench bench-quick bench-plot bench-logins bench-handshakes bench-holding \
    bench-replays docs clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

run: $(INSTALLED) ## start a login server and a gate, with an example behind them
	@echo 'Login server on 127.0.0.1:8001, gate "sample" on 127.0.0.1:8888 (examples/msgserver.toml).'
	@echo 'Users: alice with "password", bob with "secret". Ctrl-C stops it.'
	@echo 'Next: "make demo" in a second shell.'
	@exec $(BIN)/twistd -n --pidfile= msgserver --config examples/msgserver.toml

run-cluster: $(INSTALLED) ## the same, with a gate of three processes
	@echo 'Login server on 127.0.0.1:8001, gate "sample" on 127.0.0.1, ports 8881 to 8883, each of'
	@echo 'them a process (examples/cluster.toml).'
	@echo 'Users: alice with "password", bob with "secret". Ctrl-C stops it.'
	@echo 'Next: "make demo" in a second shell; and, to see which gates there are:'
	@echo '  $(BIN)/msgserver-ctl --config examples/cluster.toml gates'
	@exec $(BIN)/twistd -n --pidfile= msgserver --config examples/cluster.toml

demo: $(INSTALLED) ## log in to what "make run" started, and send requests
	@$(BIN)/python examples/client.py

# All of it, even where a part fails; the tests come last, so that their counts do. What runs once and
# the two runners go side by side, since much of the time is spent in waiting for processes.
test: interpreted $(INSTALLED_DEV) ## run the linter, the type checker and all tests
	@failed=; said=$$(mktemp -d); \
	beside() { name=$$1; shift; $(BIN)/python -c $(BESIDE) "$$@" >$$said/$$name 2>&1 & }; \
	trap 'kill $$searches $$servers $$pytest; rm -rf $$said; exit 130' INT TERM; \
	$(BIN)/ruff check . || failed="$$failed ruff"; \
	$(BIN)/mypy || failed="$$failed mypy"; \
	beside servers twisted.trial --temp-directory=$$said/1 $(SERVERS); servers=$$!; \
	beside searches twisted.trial --temp-directory=$$said/2 $(SEARCHES); searches=$$!; \
	beside pytest pytest -q $(ONCE:%=--ignore=%); pytest=$$!; \
	$(BIN)/coverage run -m twisted.trial $(filter-out $(ONCE),$(TESTS)) || failed="$$failed trial"; \
	$(BIN)/coverage report; \
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100 || failed="$$failed coverage"; \
	wait $$pytest || failed="$$failed pytest"; cat $$said/pytest; \
	wait $$searches || failed="$$failed searches"; cat $$said/searches; \
	wait $$servers || failed="$$failed servers"; cat $$said/servers; rm -rf $$said; \
	if [ "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

test-compiled: $(INSTALLED_DEV) ## run all tests on compiled sessions, in a copy of the tree
	@$(BIN)/python -m tests.compilation

interpreted: ## remove what MSGSERVER_COMPILE=1 pip install -e . has compiled
	@rm -f msgserver/*.so *__mypyc*.so

check: $(INSTALLED_DEV) ## run the linter and the type checker only
	$(BIN)/ruff check .
	$(BIN)/mypy

simulate: $(INSTALLED_DEV) ## search a simulated network for a broken promise, STEPS=1000000
	@$(BIN)/python -m tests.simulation --steps $(STEPS) --seed $(SEED) --coverage --all-reached

attacks: $(INSTALLED_DEV) ## attack real processes, and watch their memory and a user; 15 minutes
	@$(BIN)/python -m tests.attacks

chaos: $(INSTALLED_DEV) ## break the network of real processes, and drop thousands of clients at once
	@$(BIN)/python -m tests.chaos

fuzz: $(INSTALLED_DEV) ## fuzz ports, clients and parsers for SECONDS=60; only some: FUZZ="gate login"
	@$(BIN)/python -m tests.fuzz $(FUZZ) --seconds $(SECONDS)

machines: $(INSTALLED_DEV) ## search sessions and conversations with state machines
	@$(BIN)/python -m tests.machines --examples 20000

mutants: $(INSTALLED_DEV) ## apply deliberate faults one at a time; only some: FAULTS="S6 kept.py"
	@$(BIN)/python -m tests.mutants $(FAULTS)

bench: $(INSTALLED) ## measure requests a second, next to bare echoes; a quarter of an hour
	@$(BIN)/python -m bench.gates

bench-quick: $(INSTALLED) ## the same, a few of it, in under a minute
	@$(BIN)/python -m bench.gates --quick

bench-plot: $(INSTALLED) ## draw the results that are kept in bench/results
	@$(BIN)/python -m bench.plot

bench-handshakes: $(INSTALLED) ## measure handshakes a second
	@$(BIN)/python -m bench.handshakes

bench-holding: $(INSTALLED) ## measure the memory of logins, and of slow readers
	@$(BIN)/python -m bench.holding

bench-replays: $(INSTALLED) ## measure answers sent again
	@$(BIN)/python -m bench.replays

bench-logins: $(INSTALLED) ## measure logins a second, with and without the control link
	@$(BIN)/python -m bench.logins

docs: $(INSTALLED_DEV) ## make the documentation's site, in .docs/html
	@$(BIN)/python -m sphinx -c docs -b html -n -W --keep-going -q -d .docs/doctrees . .docs/html
	@echo 'The site is .docs/html/index.html.'

clean: interpreted ## remove everything that was made here
	rm -rf $(VENV) .bench .docs .fuzz build dist msgserver.egg-info _trial_temp* .coverage* htmlcov
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'Python 3.11 or later is needed: name one with "make PYTHON=python3.11 ..."' >&2; \
	    exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo '$(PYTHON) has no venv: install it (Debian: apt install python3-venv)' >&2; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml setup.cfg setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml setup.cfg setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(INSTALLED)
