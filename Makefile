# make demo | test | check | test-all | test-cluster | sweep | compare | summary | conf-readme | augment-preview | bench | audit | licences | tensorboard | clean
PYTHON ?= python3
BIN := .venv/bin
AUGMENTATION_ENV := .cache/bench
SCORER_ENV := .cache/scorer
NNUNET_ENV := .cache/nnunet
AUDIT_ENV := .cache/audit
CLUSTER_ENV := .cache/cluster
MODEL ?= unet
STUDY ?= losses
LOGDIR ?= # a folder of runs; without it outputs/ and multirun/

.PHONY: install demo test test-all test-cluster check format sweep compare summary conf-readme augment-preview bench audit licences tensorboard clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt .hatch_build.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,monai,optuna]'
	touch $@

demo: install ## draw and prepare phantoms, train, test, make pictures
	$(BIN)/python train.py experiment=demo

test: install ## one process per core, one thread each: more threads than cores would spin
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n auto --dist loadfile

test-all: install
	$(BIN)/python -m pytest

test-cluster: $(CLUSTER_ENV)/installed ## sweeps on Ray and Slurm; without slurmctld and slurmd on submitit's local executor alone
	OMP_NUM_THREADS=1 $(CLUSTER_ENV)/bin/python -m pytest tests/apps/test_cluster_sweep.py tests/apps/test_slurm.py

$(CLUSTER_ENV)/installed: pyproject.toml constraints.txt .hatch_build.py
	$(PYTHON) -m venv $(CLUSTER_ENV)
	$(CLUSTER_ENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[dev,slurm,ray]'
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sweep: install ## run a study of conf/experiment, STUDY=losses; repeat to continue an interrupted one
	$(BIN)/python train.py experiment=$(STUDY)

compare: install ## write its table, figures and verdict into experiments/STUDY; BASELINE=augment=none compares with that only
	$(BIN)/liver-compare multirun/$(STUDY) --metric both $(if $(BASELINE),--baseline $(BASELINE)) --write experiments/$(STUDY)/README.md

summary: install ## print the layer table and write it to outputs/summary/
	$(BIN)/liver-summary model=$(MODEL)

conf-readme: install ## write conf/README.md from the comments of the yamls
	$(BIN)/python -m lightning_liver.help.readme > conf/README.md

# Environment that runs the benchmark, and that of its peer; DATA=, SCORER=, RECIPE=, OPTIONS="--rounds 2" are passed on
BENCH_ENV = $(if $(filter augmentation,$(WHAT)),$(AUGMENTATION_ENV),.venv)
PEER_ENV = $(if $(filter dice predict prepare,$(WHAT)),$(NNUNET_ENV)) $(if $(filter scoring,$(WHAT)),$(SCORER_ENV))
bench: $(addsuffix /installed,$(BENCH_ENV) $(PEER_ENV)) ## measure speed beside peers, WHAT=training, and write it into experiments/speed; without WHAT, list them
	$(BENCH_ENV)/bin/python -m experiments.speed $(or $(WHAT),--help) $(if $(DATA),--data $(DATA)) $(if $(SCORER),--scorer $(SCORER)) $(if $(RECIPE),--recipe $(RECIPE)) $(OPTIONS) --write

$(SCORER_ENV)/installed: experiments/speed/scoring/requirements.txt
	$(PYTHON) -m venv $(SCORER_ENV)
	$(SCORER_ENV)/bin/python -m pip install --quiet -r experiments/speed/scoring/requirements.txt
	touch $@

$(NNUNET_ENV)/installed: experiments/speed/nnunet_requirements.txt constraints.txt
	$(PYTHON) -m venv $(NNUNET_ENV)
	$(NNUNET_ENV)/bin/python -m pip install --quiet -c constraints.txt -r experiments/speed/nnunet_requirements.txt
	touch $@

$(AUGMENTATION_ENV)/installed: pyproject.toml constraints.txt experiments/speed/augmentation/requirements.txt
	$(PYTHON) -m venv $(AUGMENTATION_ENV)
	$(AUGMENTATION_ENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[monai]' -r experiments/speed/augmentation/requirements.txt
	touch $@

augment-preview: install ## draw every policy of conf/augment on the same slices: outputs/augment-preview/sheet.png
	$(BIN)/liver-augment-preview

$(AUDIT_ENV)/installed: experiments/promises/requirements.txt
	$(PYTHON) -m venv $(AUDIT_ENV)
	$(AUDIT_ENV)/bin/python -m pip install --quiet -r experiments/promises/requirements.txt
	touch $@

audit: $(AUDIT_ENV)/installed ## known vulnerabilities of the packages of constraints.txt; a package that is not looked up fails, too
	$(AUDIT_ENV)/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

LICENCES := MIT;BSD;Apache;Python Software Foundation;PSF;Mozilla;MPL;ISC
licences: install $(AUDIT_ENV)/installed ## every installed package has one of these licences, and none is GPL, LGPL or AGPL
	$(AUDIT_ENV)/bin/pip-licenses --python=$(BIN)/python --partial-match --fail-on="GPL;GNU;Affero" --summary
	$(AUDIT_ENV)/bin/pip-licenses --python=$(BIN)/python --partial-match --allow-only="$(LICENCES)" --summary

comma := ,
tensorboard: install ## curves of all runs, or of LOGDIR=multirun/losses alone
	$(BIN)/tensorboard $(if $(LOGDIR),--logdir $(LOGDIR),--logdir_spec outputs:outputs$(comma)multirun:multirun) --host 127.0.0.1

clean: ## delete environments, caches and builds, but no run folders
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
