# make harden   from a fresh clone to a hardened lab; STACK=current make harden: of newer software
# make test     the tests, on the lab's two stacks too; make test-long: all of them, on both
# make confinement   docs/confinement.md anew: what root in a container can do under each profile;
#                    STACK=current of the other stack, in a page of its own
# make probes   the program that the gate runs in Docker, for each architecture, from its source
# make wheel    dist/phoenix_harden-VERSION-py3-none-any.whl, which needs no clone
# make reference   the tables of docs/reference/fleet-file.md, and the schema, anew from the models;
#                  the man page, and what shells complete, from the parsers (share/)
# make picture  docs/report.png anew, the page of an audit as Chromium shows it
# make bench    bench/peers.txt and docs/bench.svg anew: a dry run beside Ansible and pct, a run beside
#               the bare restarts (an hour)
# make docker-checks   docs/docker-checks.md anew: what people run, under each (hours)
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
# packed into the program for the nodes, see node/pack.py
SHARED := apparmor/audit_line apparmor/observed docker/daemon_json docker/names \
    pve/application pve/bind_sources pve/conf pve/health pve/hooks pve/keys pve/values \
    runs/journal runs/outcome runs/record text/json_document text/printable
PYINFRA := $(BIN)/pyinfra -y inventory.py
# the lab's, stable or current
STACK ?= $(or $(PHOENIX_LAB_STACK),stable)
LAB_TESTS := lab and not long

.PHONY: harden test test-fast test-deploys test-facts test-programs test-unit-a-to-l test-unit-m-to-z test-long test-stable test-current \
    confinement docker-checks bench probes picture reference wheel lint format lock clean

harden confinement docker-checks bench: export PHOENIX_LAB_STACK := $(STACK)
# facts/ is no installed package
confinement docker-checks: export PYTHONPATH := $(CURDIR)

harden: .venv/done
	$(BIN)/phoenix lab up
	@echo; echo '== before'
	$(PYINFRA) deploys/audit.py
	@echo; echo '== harden'
	$(PYINFRA) deploys/harden.py
	@echo; echo '== after'
	$(PYINFRA) deploys/audit.py --data strict=true

# the two stacks side by side, each with a VM of its own
test: .venv/done
	$(BIN)/phoenix lab tools
	@$(MAKE) --no-print-directory test-fast
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-stable test-current

# five processes: pytest itself runs one test at a time, and many wait more than they work
PROGRAMS := $(wildcard $(foreach name,cli commit create follow install,tests/unit/test_$(name)*.py))
UNIT_A_TO_L := $(filter-out $(PROGRAMS),$(wildcard tests/unit/test_[a-l]*.py))
UNIT_M_TO_Z := $(wildcard tests/unit/test_[m-z]*.py)
FAST := $(BIN)/python -m pytest -m 'not lab and not long'

test-fast: .venv/done
	@$(MAKE) --no-print-directory --jobs=5 --output-sync=target \
	    test-unit-a-to-l test-unit-m-to-z test-programs test-facts test-deploys

test-programs: .venv/done
	$(FAST) $(PROGRAMS)

test-unit-a-to-l: .venv/done
	$(FAST) $(UNIT_A_TO_L)

test-unit-m-to-z: .venv/done
	$(FAST) $(UNIT_M_TO_Z)

test-facts: .venv/done
	$(FAST) tests/facts

test-deploys: .venv/done
	$(FAST) --ignore=tests/unit --ignore=tests/facts --ignore=tests/lab

test-stable test-current: .venv/done
	$(BIN)/phoenix lab up --stack $(@:test-%=%)
	$(BIN)/python -m pytest -m '$(LAB_TESTS) and $(@:test-%=%)' --durations=12 tests/lab

test-long: .venv/done
	@$(MAKE) --no-print-directory test-fast \
	    FAST="$(BIN)/python -m pytest -m 'not lab' --hypothesis-profile=long"
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-stable test-current LAB_TESTS=lab

confinement: .venv/done
	$(BIN)/python tests/lab/confinement.py

docker-checks: .venv/done
	$(BIN)/python -u tests/lab/docker_checks.py

bench: .venv/done
	$(BIN)/python -u bench/peers.py

reference: export PYTHONPATH := $(CURDIR)
reference: .venv/done
	$(BIN)/phoenix schema >phoenix_lxc_configs.schema.json
	$(BIN)/python tests/unit/fleet_keys.py
	$(BIN)/python tests/unit/man_page.py
	$(BIN)/python tests/unit/completion.py

picture: export PYTHONPATH := $(CURDIR)
picture: .venv/done
	$(BIN)/python tests/unit/picture.py

# all files have the time of the last commit, in a checkout without git that of now
wheel: export SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct),$(shell date +%s))
wheel: .venv/done
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

probes:
	templates/probe/build.sh

lint: .venv/done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/vermin --target=3.9- --violations --no-tips --quiet node $(SHARED:%=phoenix/%.py)
	$(BIN)/shellcheck templates/*/*.sh

format: .venv/done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	[ ! -x $(BIN)/phoenix ] || $(BIN)/phoenix lab down
	rm -rf .venv .lab .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build dist

.venv/done: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed: make PYTHON=python3.13 $(MAKECMDGOALS)'; exit 1; }
	@$(PYTHON) -m venv .venv || \
	    { echo 'Python has no venv module here: apt install python3-venv'; exit 1; }
	$(BIN)/pip install --quiet --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# after a change of the dependencies in pyproject.toml
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o constraints.txt
