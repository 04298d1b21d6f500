# Needs make and Python 3.11 or later only; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
# No notice about another program at every build.
export NO_MKDOCS_2_WARNING := 1
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORDS := -D citrus_grade -l zh -d citrus_grade/locale
.DEFAULT_GOAL := help
.PHONY: help demo venv test check format bench docs words clean

help:
	@echo "make demo    install, fit a first model, run a simulated minute, show the packout   安装、建模、模拟一分钟、显示分级结果"
	@echo "make test    run all tests                                                          运行全部测试"
	@echo "make check   lint, types, layers, documentation                                     静态检查、类型、分层、文档"
	@echo "make bench   measure the line's speed                                               测量速度"
	@echo "make docs    build the documentation into site/                                     生成文档到 site/"
	@echo "make venv    .venv with the package and all its extras                              建立开发环境"
	@echo "make format  format the code    make words  update the Chinese catalogue    make clean  remove what make built"

demo: .venv/core
	$(BIN)/citrus-grade demo

venv: .venv/all

test: .venv/all
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet

format: .venv/all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/all
	$(BIN)/python -m benchmarks.line

docs: .venv/all
	$(BIN)/mkdocs build --strict

words: .venv/all
	@mkdir -p build
	$(BIN)/pybabel --quiet extract -k N_ --project citrus_grade --no-location --sort-output -o build/words.pot citrus_grade drivers models calibration
	$(BIN)/pybabel --quiet update $(WORDS) -i build/words.pot --width 110 --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	$(BIN)/pybabel --quiet compile $(WORDS)

# Compiled kernels do not notice when a function of another file that they contain has changed.
clean:
	rm -rf .venv build dist site *.egg-info
	find . -name '*.nb[ci]' -delete

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 ...   需要 Python 3.11 或更新版本" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python pyproject.toml
	$(PIP) install --editable .
	touch $@

.venv/all: .venv/core
	$(PIP) install --editable ".[dev,docs]"
	touch $@
