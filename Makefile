# Sets up everything in .venv and runs it there. PYTHON chooses the interpreter, WORKERS how many processes test.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINT ?=
WORKERS ?= auto
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed-dev
DEMO_STAMP = $(VENV)/.installed-demo
ECG_STAMP = $(VENV)/.installed-ecg
TEXT_STAMP = $(VENV)/.installed-text
DATA_STAMP = $(VENV)/.installed-data
DATA_DEMO = out/demo-data
MUTANTS_STAMP = $(VENV)/.installed-mutants
MUTANTS ?=
PYTHONS = 3.10 3.11 3.12 3.13 3.14

.PHONY: demo demo-ecg demo-text demo-data test test-quick test-all test-lowest check docs mutants bench clean help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(DEMO_STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo]"
	@touch $@

$(ECG_STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[ecg]"
	@touch $@

$(TEXT_STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[text]"
	@touch $@

$(DATA_STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[cluster]"
	@touch $@

$(STAMP): pyproject.toml $(CONSTRAINT) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINT:%=-c %) -e ".[dev]"
	@touch $@ $(DEMO_STAMP) $(ECG_STAMP) $(DATA_STAMP)

$(MUTANTS_STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[mutants]"
	@touch $@

demo: $(DEMO_STAMP)  ## set up and explain a bundled photo with a real network
	@mkdir -p out
	$(BIN)/signxai explain src/signxai/data/chelsea.png \
		--method lrp_epsilon_0_25_std_x --method lrpsign_epsilon_0_25_std_x \
		--method lrp_epsilon_0_1 --method grad_cam \
		--method gradient --method gradient_x_sign --method smoothgrad \
		--method lrp_alpha_1_beta_0 \
		--output out/demo.png

demo-ecg: $(ECG_STAMP)  ## set up and explain a ventricular beat of a bundled ECG
	@mkdir -p out
	$(BIN)/signxai explain src/signxai/data/233_1655s.hea --model ecg_beats --at-beat 13 \
		--method gradient --method grad_cam_timeseries \
		--method lrp_epsilon_0_25_std_x --method lrpsign_epsilon_0_25_std_x \
		--output out/demo-ecg.png

demo-text: $(TEXT_STAMP)  ## set up and explain a sentence with a small language model
	@mkdir -p out
	$(BIN)/signxai text "red 4 blue 7 green 11 gray 2 violet 16 blue ?" --model recall_words --method lrp_epsilon_0_1 \
		--output out/demo-text.html --output out/demo-text.png

demo-data: $(DATA_STAMP)  ## set up and explain 850 bundled pictures, find the clusters of their maps, write a report
	@mkdir -p $(DATA_DEMO)
	$(BIN)/python -m zipfile -e examples/tagged_pictures/pictures.zip $(DATA_DEMO)/pictures
	PYTHONPATH=examples/tagged_pictures $(BIN)/signxai run $(DATA_DEMO)/pictures --model network:load \
		--method lrp_epsilon_0_25_std_x --method gradient_x_input --store $(DATA_DEMO)/maps.zarr
	$(BIN)/signxai cluster $(DATA_DEMO)/maps.zarr --method lrp_epsilon_0_25_std_x --class ring
	$(BIN)/signxai report $(DATA_DEMO)/maps.zarr --output $(DATA_DEMO)/report

test: $(STAMP)  ## set up and run all tests, on all cores (WORKERS=2: in two processes)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

test-quick: $(STAMP)  ## the tests that are not marked slow, before each commit
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not slow"

check: $(STAMP)  ## lint and check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## run every example of the documents and docstrings, and make the site out/docs/index.html of them
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal src tests/project/test_documentation.py
	$(BIN)/python -m sphinx -b html -c docs/site -d out/doctrees -W --keep-going -q . out/docs

test-all:  ## run all tests on every Python >= 3.10 found
	@tools/for-each-python $(PYTHONS)

test-lowest:  ## run all tests on the lowest versions that are supported (Python 3.10)
	@tools/for-each-python --constraint tests/lowest-versions.txt 3.10

mutants: $(MUTANTS_STAMP)  ## change 300 places of the source, one at a time: do the tests notice? (writes tests/mutants.md)
	PYTHONPATH=tools $(BIN)/python -m mutants --output tests/mutants.md $(MUTANTS)

bench: $(STAMP)  ## measure against Zennit, Captum and the plain gradient, and runs over data sets: writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py --memory

clean:  ## remove what was set up and generated
	rm -rf .venv* .mutants out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
