# SPDX-License-Identifier: Apache-2.0
# Every target works by itself in a fresh clone: it makes .venv where that is missing. Every target
# but `demo` ends with one line `NAME: key=value ...`; the exit status tells the same.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
RUN := sh tools/venv.sh run && $(PYTHON)
TEST := sh tools/venv.sh test && $(PYTHON)
SEEDS ?= 20
SAMPLE ?= 1500
AGENTS ?= 100
MINUTES ?= 10
FIRST ?= 1
JOBS ?= 1
HOSTS ?= 3
INPUTS ?= 1000000
KILLS ?= 20
POWER_CUTS ?= 10
WRITES ?= 1000
SEED ?= 1
POINTS ?= 100
PART ?= 1/1

.PHONY: help demo test check doctor real fidelity lab lab-up lab-down lab-interrupts soak crash-points nightly upgrade fuzz store-kills browser bench docs zipapp lock mutants

help:
	@echo "make demo      the whole product on a simulated cluster of 25 agents (KEEP=1: keep serving)"
	@echo "make test      everything that this machine can test (REQUIRE=all: a missing tier fails)"
	@echo "make check     lint, types, architecture, shell scripts"
	@echo "make doctor    which tests this machine can run, and what it lacks for the others"
	@echo "make real      tests with a real Apache Mesos and a real ZooKeeper on loopback"
	@echo "make soak      many simulated clusters in all kinds of trouble (SEEDS=$(SEEDS) MINUTES=$(MINUTES) FIRST=$(FIRST) JOBS=$(JOBS))"
	@echo "make nightly   make soak with 2,000 seeds and two hours"
	@echo "make upgrade   a newer catalog on a simulated cluster of AGENTS=$(AGENTS) in five fault sets (SEED=$(SEED))"
	@echo "make crash-points  kill the scheduler between any two of its steps (POINTS=$(POINTS), all or a number; PART=$(PART) SEED=$(SEED))"
	@echo "make mutants   SAMPLE=$(SAMPLE) small wrongs in domain/ and protocol/, and whether tests see them (SEED=$(SEED))"
	@echo "make docs      renew the parts of docs/ that are made from the code, and build the site"
	@echo "make zipapp    dist/scaleio-scheduler.pyz, one file that Marathon fetches"
	@echo "make lock      renew requirements/*.txt (UPGRADE=1: to the newest versions)"
	@echo "make lab       tests on booted hosts with real agents (root; LONG=1: those that take long, too)"
	@echo "make lab-up    boot HOSTS=$(HOSTS) such hosts and run the scheduler on them; make lab-down ends them"
	@echo "make lab-interrupts  steps killed, hosts without power, full disks, held locks, bad downloads (KILLS=$(KILLS) POWER_CUTS=$(POWER_CUTS) SEED=$(SEED))"
	@echo "make fidelity  simulated against real: calls of Mesos, and each step in many situations (root)"
	@echo "make store-kills  a writer killed at random moments: SQLite and a real ZooKeeper stay whole (WRITES=$(WRITES) SEED=$(SEED))"
	@echo "make fuzz      what a master may send, as bytes that coverage leads to (INPUTS=$(INPUTS) SEED=$(SEED))"
	@echo "make bench     offers a second beside a peer, 10,000 agents, start, page, Gateway (15 minutes)"
	@echo "make browser   the page in a real Chromium; its pictures are in build/screenshots"

demo:
	@$(RUN) cli.py demo $(if $(filter 1,$(KEEP)),--keep)

test:
	@$(TEST) -m tools.run_tests

check:
	@$(TEST) -m tools.check

doctor:
	@$(TEST) -m tools.doctor

real:
	@$(TEST) -m tools.run_tests --only real zk

upgrade:
	@$(RUN) cli.py simulate --upgrade --agents "$(AGENTS)" --seed "$(SEED)"

soak:
	@$(RUN) -m tools.soak --seeds "$(SEEDS)" --minutes "$(MINUTES)" --first "$(FIRST)" --jobs "$(JOBS)"

nightly:
	@$(MAKE) --no-print-directory soak SEEDS=2000 MINUTES=120 JOBS=2

crash-points:
	@$(RUN) -m tools.crash_points --points "$(POINTS)" --part "$(PART)" --seed "$(SEED)"

docs:
	@$(TEST) -m tools.docs
	@sh tools/venv.sh docs && $(PYTHON) -m tools.docs_site

zipapp:
	@$(TEST) -m tools.zipapp

lock:
	@$(TEST) -m tools.lock $(if $(filter 1,$(UPGRADE)),--upgrade)

lab:
	@$(TEST) -m tools.lab

lab-up:
	@$(TEST) -m tests.lab start --hosts $(HOSTS) --run

lab-down:
	@$(TEST) -m tests.lab stop

lab-interrupts:
	@$(TEST) -m tests.lab.interrupts_run --kills "$(KILLS)" --power-cuts "$(POWER_CUTS)" --seed "$(SEED)"

fidelity:
	@$(TEST) -m tools.fidelity

mutants:
	@sh tools/venv.sh mutants && $(PYTHON) -m tools.mutants --sample "$(SAMPLE)" --seed "$(SEED)"

fuzz:
	@sh tools/venv.sh fuzz && $(PYTHON) -m tools.fuzz --inputs "$(INPUTS)" --seed "$(SEED)"

store-kills:
	@$(TEST) -m tools.store_kills --writes "$(WRITES)" --seed "$(SEED)"

bench:
	@$(TEST) -m benchmarks

browser:
	@$(TEST) -m tools.run_tests --only browser
