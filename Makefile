# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 or later, make, a C compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= 2
EXTRAS ?= [test,lint,docs,progress]
EVERYTHING := [captions,cluster-generic,docs,lint,progress,s3,sensitivity,slurm,test]
# Snakemake loads each plugin that it finds whenever it starts: these are found by the tests of clusters alone.
PLUGINS := $(VENV)/cluster
# What keeps files on a remote store, and such a store: found by the tests of stores alone.
STORE := $(VENV)/store
# What drives a browser, found by the tests of pages alone.
DRIVER := $(VENV)/browser
WHEEL := build/wheel
# What one job or worker compiled, the others and later runs need not, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo run test test-slurm test-wheel test-browser screenshots lint types docs format generate clean

demo: $(READY)
	$(BIN)/snakemake --cores $(CORES)

# Your own data, on all GPUs and cores of this machine: `make run CONFIG=my.yaml`.
run: CORES = all
run: $(READY)
	$(if $(CONFIG),,$(error say which configuration: make run CONFIG=my.yaml))
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)

test: $(READY)
	$(BIN)/python -m pytest -n $(CORES)

# A real Slurm of one node on this machine, as root; where it cannot be installed, the tests say why and skip. And
# a store as remote ones are.
test-slurm: $(READY) $(PLUGINS)/.ready $(STORE)/.ready
	command -v slurmctld > /dev/null || tests/cluster/install_slurm.sh
	PYTHONPATH=$(abspath $(PLUGINS)) $(BIN)/python -m pytest -n $(CORES) --dist loadfile tests/cluster tests/test_constraints.py

# The wheel, installed into an environment of its own: the demo from another folder, as users without a checkout have
# it. Whether all extras could be installed with it, pip tells without installing them.
test-wheel:
	rm -rf $(WHEEL)
	$(PYTHON) -m venv $(WHEEL)/bare
	$(WHEEL)/bare/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEEL) .
	$(WHEEL)/bare/bin/python -m pip install --quiet --constraint constraints.txt $(WHEEL)/refvessel-*.whl
	$(WHEEL)/bare/bin/python -m pip install --quiet --constraint constraints.txt --dry-run \
		"$$(echo $(WHEEL)/refvessel-*.whl)$(EVERYTHING)"
	mkdir $(WHEEL)/run
	cd $(WHEEL)/run && ../bare/bin/refvessel --version && ../bare/bin/refvessel doctor && \
		../bare/bin/refvessel run --cores $(CORES)

# The report's pages in a real Chromium; where it cannot be installed, the tests say why and skip.
test-browser: $(READY) $(DRIVER)/.ready
	command -v chromium > /dev/null || tests/report/browser/install_chromium.sh
	PYTHONPATH=$(abspath $(DRIVER)) $(BIN)/python -m pytest tests/report/browser

# The pictures of README and docs, from the demo's report.
screenshots: demo $(DRIVER)/.ready
	PYTHONPATH=$(abspath $(DRIVER)) $(BIN)/python tools/screenshots.py results/report docs

lint: types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check --compact-diff Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/python tools/generate.py --check

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# What docs/developing.md lists: each file that is made from the sources.
generate: $(READY)
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/commands.py
	$(BIN)/python tools/errors.py
	$(BIN)/python tools/reruns.py
	$(BIN)/python tools/environments.py
	$(BIN)/python tools/translations.py

clean:
	rm -rf results site .snakemake

# Built beside itself and renamed, so that an interrupted installation is not taken for a whole one.
$(READY): pyproject.toml constraints.txt
	rm -f $(READY)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".$(EXTRAS)"
	touch $(READY)

$(PLUGINS)/.ready: $(READY)
	rm -rf $(PLUGINS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --target $(PLUGINS) \
		snakemake-executor-plugin-slurm snakemake-executor-plugin-slurm-jobstep throttler \
		snakemake-executor-plugin-cluster-generic
	touch $@

# Without what these need besides, which is there.
$(STORE)/.ready: $(READY)
	rm -rf $(STORE)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --target $(STORE) \
		snakemake-storage-plugin-s3 boto3 botocore jmespath s3transfer \
		moto blinker cffi cryptography flask flask-cors itsdangerous responses werkzeug xmltodict
	touch $@

$(DRIVER)/.ready: $(READY)
	rm -rf $(DRIVER)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --target $(DRIVER) playwright axe-playwright-python
	touch $@
