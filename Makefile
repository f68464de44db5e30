# Each target sets up what it needs in .venv and reuses it afterwards. Needs only Python >= 3.10 (and make).
#   make demo    index the measured pattern in examples/data; table, picture and bundle in demo_out/
#   make test    everything that must pass: ruff, mypy, the doctests and the tests
#   make lint    ruff alone
#   make types   mypy alone
#   make docs    the documentation as a site in site/; a warning or a broken link fails
# Another Python: make test PYTHON=python3.12. Without make's environment: pip install -e '.[test]'
# A smaller download on Linux: into a new .venv, install torch with the command that pytorch.org ("Get started, locally")
# shows for Pip and CPU, then run make test.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
WORKERS ?= 2

.PHONY: demo test lint types docs clean

demo: $(READY)
	@$(BIN)/alphadiffract-plugin index examples/data/pbso4_xray.xye --wavelength CuKa -o demo_out --overwrite
	@echo "Known: P n m a (62), a 8.480, b 5.398, c 6.958 Å (GSAS-II tutorial data, see examples/data/README.md)."
	@echo "The picture is demo_out/pbso4_xray.png, the answer demo_out/pbso4_xray.json,"
	@echo "the files to start a refinement from are in demo_out/pbso4_xray/."

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses $(WORKERS) --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs site
	@echo "Open site/index.html in a browser."

clean:
	rm -rf $(VENV) demo_out build site

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: $(PYTHON) is no Python 3.10 or newer; how to fix it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: $(PYTHON) has no venv; how to fix it: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (torch is large: a minute or more, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@
