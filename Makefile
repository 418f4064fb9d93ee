# `make demo` and `make test` set up everything they need.
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python

.PHONY: demo test lint bench docs clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test,lint]"
	touch $@

demo: $(VENV)/.ready  ## the main job on bundled data: a table, codes.csv and a figure
	$(PY) examples/demo_naics.py

test: $(VENV)/.ready  ## all tests and doctests; no network, no GPU
	$(PY) -m pytest -q

lint: $(VENV)/.ready  ## style, formatting and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/.bench: $(VENV)/.ready
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[benchmark]"
	touch $@

bench: $(VENV)/.bench  ## speed and error beside the peers, and the evidence for defaults
	$(PY) benchmarks/encode.py
	$(PY) benchmarks/kmeans.py
	$(PY) benchmarks/refit.py
	$(PY) benchmarks/training.py
	$(PY) benchmarks/beauty.py
	$(PY) benchmarks/curvature.py
	$(PY) benchmarks/pretraining.py
	$(PY) benchmarks/choices.py
	$(PY) benchmarks/hypervq.py
	$(PY) benchmarks/regularizers.py
	$(PY) benchmarks/pictures.py
	$(PY) benchmarks/wordnet.py
	$(PY) benchmarks/recommendation.py --parts trie ids decoding

$(VENV)/.docs: $(VENV)/.ready
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

docs: $(VENV)/.docs  ## the HTML pages, in docs/_build/html
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) demo_output docs/_build docs/auto_examples docs/generated
