# Each target sets up what it needs in .venv and reuses it afterwards. Needs only Python >= 3.10 (and make).
#   make demo    index the measured pattern in examples/data; table, picture and bundle in demo_out/
#   make test    all tests
#   make lint    ruff
# Another Python: make test PYTHON=python3.12. Without make's environment: pip install -e '.[test]'

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test lint clean

demo: $(READY)
	@$(BIN)/alphadiffract-plugin index examples/data/pbso4_xray.xye --wavelength CuKa -o demo_out --overwrite
	@echo "Known: P n m a (62), a 8.480, b 5.398, c 6.958 Å (GSAS-II tutorial data, see examples/data/README.md)."
	@echo "The picture is demo_out/pbso4_xray.png, the answer demo_out/pbso4_xray.json,"
	@echo "the files to start a refinement from are in demo_out/pbso4_xray/."

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) demo_out build

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: $(PYTHON) is no Python 3.10 or newer; how to fix it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: $(PYTHON) has no venv; how to fix it: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (torch is large: a minute or more, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@
