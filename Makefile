# `make read`, `make book` and `make test` matter. They set up what they need and go on where they were stopped.
PYTHON ?= python3
BIN := .venv/bin
PROFILE ?= laptop

.PHONY: read book fast-book test clean

# The book from notebooks that were executed before: nothing is rendered, trained or measured.
read: .venv/ready
	@echo "The book is ready:" && $(BIN)/phalar study read

# Every number computed here, from the weights that ship (PROFILE=laptop), or trained here as well.
book: .venv/ready
	$(BIN)/phalar study grid --profile $(PROFILE) --jobs 2
	$(BIN)/phalar study run --profile $(PROFILE) --jobs 2
	@echo "The book is ready:" && $(BIN)/phalar study book --profile $(PROFILE)

# The same in minutes on a sliver of the data: shows that everything runs, not what comes out.
fast-book: .venv/ready
	$(BIN)/phalar study run --profile smoke --jobs 2
	@echo "The book is ready:" && $(BIN)/phalar study book --profile smoke

# Two processes of one thread each: most tests are too small to keep two threads busy.
test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The stamp is written last: an installation that was interrupted is taken up again. pip compiles modules one after
# another; here every core does, and what does not compile (templates, other versions' code) is nobody's concern.
.venv/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	touch $@

# Everything that was made, but for the environment.
clean:
	rm -rf _build data/cache .pytest_cache .ruff_cache .hypothesis
