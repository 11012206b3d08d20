# make setup   a virtual environment, .venv, with the pinned packages
# make demo    convert a real MRI volume, and show what comes of it
# make view    show it, or STORE=…, in a browser
# make check   format, lint, types, and the fast unit tests: less than a minute
# make test    everything: format, lint, types, tests
# make pythons a part of the tests, with the other versions of Python that are found here
# make bench   whole conversions, against other tools (LARGE=1 for more)
# make pictures   make the pictures of README.md again, with Chromium
# make lock    pin the newest packages that pyproject.toml allows
# make clean   delete what the other targets made

PYTHON ?= python3
VENV := .venv
DEMO := demo
BIN := $(VENV)/bin
READY := $(VENV)/ready
# The versions of Python that continuous integration tests.
PYTHONS := 3.11 3.12 3.13
# A real MRI volume, from nibabel's own tests.
MRI = $$($(BIN)/python -c 'import nibabel; print(nibabel.__path__[0])')/tests/data/example4d.nii.gz
# The unit tests that take too long for `make check`; FAST are the others.
SLOW := bad_input bundle_states claims combinations create_array image memory metadata nodes ownership preview readers report round_trip \
    slabs source_axes source_dicom source_scaled source_stacks source_tiff source_zarr verification windows
FAST = $(filter-out $(SLOW:%=tests/unit/test_%.py),$(wildcard tests/unit/test_*.py))
# Workers are not restarted: a test that crashed one, or hung, would do so again.
PYTEST = $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# What is tested with other versions of Python.
QUICK = tests/workflow/test_convert.py $(FAST)

.PHONY: setup demo view check test pythons quick lint ruff-format ruff-check snakefmt snakemake-lint mypy bench pictures lock clean

setup: $(READY)

$(READY): envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "neurozarr needs Python 3.11 or newer; say which with make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement envs/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	@rm -rf $(DEMO)
	@start=$$(date +%s) && \
	$(BIN)/neurozarr run $(MRI) zarr.chunk=32 -- --directory $(DEMO) && \
	seconds=$$(($$(date +%s) - start)) && \
	echo && \
	$(BIN)/neurozarr info $(DEMO)/results/example4d.nii.zarr && \
	echo "converted in $$seconds s; to see it: make view"

STORE = $(DEMO)/results/example4d.nii.zarr

view: $(READY)
	@$(BIN)/neurozarr view '$(STORE)'

lint: ruff-format ruff-check snakefmt snakemake-lint mypy

ruff-format: $(READY)
	$(BIN)/ruff format --check .

ruff-check: $(READY)
	$(BIN)/ruff check .

snakefmt: $(READY)
	$(BIN)/snakefmt --check Snakefile rules workflow

snakemake-lint: $(READY)
	$(BIN)/snakemake --lint

mypy: $(READY)
	$(BIN)/mypy

# Tests start Python a thousand times; with this variable, it would compile neurozarr each time.
check test quick: export PYTHONDONTWRITEBYTECODE :=

check: lint
	$(PYTEST) $(FAST)

test: lint
	$(PYTEST)

# With -j, several at once.
pythons: $(PYTHONS:%=python-%)

$(PYTHONS:%=python-%): python-%:
	@if [ $* = $$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])') ]; then exit; fi; \
	python=$$(.ci/python $*) || { echo "Python $*: not found, not tested"; exit; }; \
	echo "Python $*: $$python"; \
	PIP_NO_COMPILE=1 $(MAKE) --no-print-directory quick VENV=.venv-$* DEMO=demo-$* PYTHON=$$python

quick: demo
	$(PYTEST) $(QUICK)

bench: $(READY) .venv-bench/ready
	$(BIN)/python tests/benchmarks/bench.py
	$(BIN)/python tests/benchmarks/curve.py

.venv-bench/ready: tests/benchmarks/requirements.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

pictures: $(READY)
	$(BIN)/python -m tests.browser.pictures .github/pictures

lock:
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade --editable '.[report,slurm,sources,test,view]' setuptools
	$(BIN)/pip freeze --disable-pip-version-check --all --exclude pip --exclude-editable > envs/requirements.txt
	touch $(READY)

clean:
	rm -rf .venv .venv-* .snakemake demo demo-* results logs benchmarks scripts/*.egg-info
