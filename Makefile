# make demo | test | check | test-all | sweep | compare | summary | conf-readme | augment-preview | bench | bench-augment | bench-training | bench-start | bench-predict | bench-prepare | bench-slices | bench-growth | bench-dice | tensorboard | clean
PYTHON ?= python3
BIN := .venv/bin
BENCH := .cache/bench
SCORER_ENV := .cache/scorer
NNUNET := .cache/nnunet
MODEL ?= unet
STUDY ?= losses
RECIPE ?= small
LOGDIR ?= outputs

.PHONY: install demo test test-all check format sweep compare summary conf-readme augment-preview bench bench-augment bench-training bench-start bench-predict bench-prepare bench-slices bench-growth bench-dice tensorboard clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt .hatch_build.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,monai,optuna]'
	touch $@

demo: install ## phantoms, prepared, trained, tested, drawn
	$(BIN)/python train.py experiment=demo

test: install ## one thread a test and a test a core: more threads than cores would spin
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n auto --dist loadfile

test-all: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sweep: install ## a study of conf/experiment: STUDY=losses; again goes on where it was cut short
	$(BIN)/python train.py experiment=$(STUDY)

compare: install ## its table, figures and verdict, into experiments/STUDY; BASELINE=augment=none compares with that alone
	$(BIN)/liver-compare multirun/$(STUDY) --metric both $(if $(BASELINE),--baseline $(BASELINE)) --write experiments/$(STUDY)/README.md

summary: install ## the layer table, also in outputs/summary/
	$(BIN)/liver-summary model=$(MODEL)

conf-readme: install ## conf/README.md from the comments of the yamls
	$(BIN)/python -m lightning_liver.help.readme > conf/README.md

bench-augment: $(BENCH)/installed ## what augmentation costs, beside other libraries, into experiments/speed; on an idle machine
	$(BENCH)/bin/python experiments/speed/augmentation.py --write

bench: install $(SCORER_ENV)/installed ## figures and time beside the official scorer: SCORER=a checkout of PatrickChrist/lits-challenge-scoring
	$(BIN)/python -m experiments.speed.scoring $(or $(SCORER),$(error give SCORER=FOLDER, a checkout of PatrickChrist/lits-challenge-scoring)) --python $(SCORER_ENV)/bin/python --write

bench-training: install ## a training step beside a bare loop and the machine's limits; RECIPE=gpu where there is one
	$(BIN)/python -m experiments.speed.training --recipe $(RECIPE) --write

bench-dice: install $(NNUNET)/installed ## Dice over minutes of training beside a bare loop, MONAI and nnU-Net: DATA=a folder as of data=lits; again goes on
	$(BIN)/python -m experiments.speed.dice_over_minutes --data $(or $(DATA),$(error give DATA=FOLDER, with volume-N, segmentation-N and patients.csv)) --nnunet $(NNUNET)/bin/python --write

bench-start: install ## from python train.py to its first step done, beside importing what it stands on
	$(BIN)/python -m experiments.speed.start --write

bench-predict: install $(NNUNET)/installed ## liver-predict beside nnU-Net and MONAI; DATA=a NIfTI file instead of a made scan
	$(BIN)/python -m experiments.speed.predict --nnunet $(NNUNET)/bin/python $(if $(DATA),--data $(DATA)) --write

bench-prepare: install $(NNUNET)/installed ## scans of full size prepared, beside nnU-Net and beside decompressing and writing
	$(BIN)/python -m experiments.speed.prepare --nnunet $(NNUNET)/bin/python --write

bench-slices: install ## a slice at random from the store, beside a memory map; DATA=a folder of scans adds theirs
	$(BIN)/python -m experiments.speed.slices $(if $(DATA),--data $(DATA)) --write

bench-growth: install ## time and memory with 10, 40 and 160 cases
	$(BIN)/python -m experiments.speed.growth --write

$(SCORER_ENV)/installed: experiments/speed/scorer_requirements.txt
	$(PYTHON) -m venv $(SCORER_ENV)
	$(SCORER_ENV)/bin/python -m pip install --quiet -r experiments/speed/scorer_requirements.txt
	touch $@

$(NNUNET)/installed: experiments/speed/nnunet_requirements.txt constraints.txt
	$(PYTHON) -m venv $(NNUNET)
	$(NNUNET)/bin/python -m pip install --quiet -c constraints.txt -r experiments/speed/nnunet_requirements.txt
	touch $@

$(BENCH)/installed: pyproject.toml constraints.txt experiments/speed/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet -c constraints.txt -e '.[monai]' -r experiments/speed/requirements.txt
	touch $@

augment-preview: install ## every policy of conf/augment on the same slices, in outputs/augment-preview/sheet.png
	$(BIN)/liver-augment-preview

tensorboard: install
	$(BIN)/tensorboard --logdir $(LOGDIR) --host 127.0.0.1

clean: ## what can be made again; run folders stay
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
