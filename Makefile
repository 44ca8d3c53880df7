# Everything a person or CI runs. VENV=path puts the environment elsewhere.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
APP_STAMP := $(VENV)/.app-installed
SERVICE_STAMP := $(VENV)/.service-installed
TEST_STAMP := $(VENV)/.test-installed

.PHONY: help app serve setup setup-test test test-slow test-fast check format fuzz bench bench-train weights clean

help:
	@echo "make app     install what the app needs and serve it"
	@echo "make serve   install what the HTTP service needs and serve it on port 8600"
	@echo "make test    install what the tests need and run them, the browser included"
	@echo "make test-slow   the tests of minutes: overfitting, kills at random, a Ray cluster"
	@echo "make check   lint, types, import layers"
	@echo "make fuzz    open thousands of damaged files, minutes"
	@echo "make bench   measure speed and print a table"
	@echo "make bench-train  measure training beside the published loops, minutes"
	@echo "make weights RADIOGRAPHS=… PRETRAINED=…   train the models that come with the package, hours"
	@echo "make setup   only install what the app needs"

app: setup
	$(BIN)/streamlit run streamlit_app.py

serve: $(SERVICE_STAMP)
	$(BIN)/python -m fracture_core serve

setup: $(APP_STAMP)

setup-test: $(TEST_STAMP)

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv

# Ultralytics asks for opencv-python, which needs libGL. The headless build takes its place; see
# override-dependencies in pyproject.toml, which uv reads and pip does not.
$(APP_STAMP): pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable . opencv-python-headless
	touch $@

$(SERVICE_STAMP): pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[service]' opencv-python-headless
	touch $@ $(APP_STAMP)

$(TEST_STAMP): pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[test]' opencv-python-headless
	$(BIN)/python tests/install_browser.py
	touch $@ $(APP_STAMP) $(SERVICE_STAMP)

# A process a core, so each has one thread.
test: setup-test
	$(BIN)/python tests/install_browser.py
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile -m "not slow"

test-slow: setup-test
	$(BIN)/python tests/install_browser.py
	$(BIN)/pytest -m slow

test-fast: setup-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile -m "not browser and not slow"

check: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/oxlint --deny-warnings fracture_core/ui
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: setup-test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

bench: setup-test
	$(BIN)/python -m benchmarks

bench-train: setup-test
	$(BIN)/python -m benchmarks training

weights: setup
	$(BIN)/python -m trainers shipped-models --radiographs "$(RADIOGRAPHS)" --pretrained "$(PRETRAINED)"

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
