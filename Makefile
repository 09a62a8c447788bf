# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
INSTALLED := .venv/installed
# A killed run leaves Snakemake's lock and jobs marked incomplete. Files get their names only when whole, so both are
# harmless and the next run continues. The Snakefile's own lock refuses two runs at once; it ends with the process.
RESUME := --rerun-incomplete --nolock

# Where HOME cannot be written, Snakemake ends at its start: it then keeps its cache with the checkout. Weights that
# lie in HOME are still read.
ifneq ($(shell c="$${XDG_CACHE_HOME:-$$HOME/.cache}"; mkdir -p "$$c" 2>&- && test -w "$$c" && echo yes),yes)
    export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
    ifneq ($(wildcard $(HOME)/.cache/huggingface),)
        export HF_HOME ?= $(HOME)/.cache/huggingface
    endif
endif

.PHONY: run test test-cluster test-browser test-long check format lock dag docs benchmarks nano clean

run: $(INSTALLED)  ## The study of config.yaml from text to report: results/<study>/
	@$(BIN)/python -m innerear study config.yaml > /dev/null
	$(BIN)/snakemake --cores $(CORES) --scheduler greedy --logger innerear $(RESUME)
	@study="$$($(BIN)/python -m innerear study config.yaml)" && \
		$(BIN)/snakemake --cores 1 --report "results/$$study/report.zip" && \
		echo "Open results/$$study/index.html; all figures are in report.zip too"

test: check  ## All tests but those of test-long, test-cluster and test-browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not long" --ignore tests/cluster --ignore tests/browser

test-long: $(INSTALLED)  ## Long tests, half an hour: studies killed at fifty moments, run in other ways, of recorded music, with a new analysis
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long tests/workflow tests/docs

test-cluster: $(INSTALLED)  ## Tests that need Debian packages (.ci/run installs them): a study on a Slurm cluster on this machine, other readers of our files
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster tests/stacks/test_other_tools.py

test-browser: $(INSTALLED)  ## Tests that need Debian's chromium, firefox-esr and pulseaudio (.ci/run installs them): pages in browsers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

check: $(INSTALLED)  ## Style, types and the workflow's own linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/basedpyright

format: $(INSTALLED)  ## Format all code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile workflow

lock: $(INSTALLED)  ## Resolve envs/requirements.in anew into envs/lock.txt
	$(BIN)/uv pip compile --upgrade --universal --fork-strategy fewest --python-version 3.11 --no-header \
		--no-emit-index-url --no-annotate --override envs/overrides.txt envs/requirements.in -o envs/lock.txt

dag: $(INSTALLED)  ## The rule graph, as mermaid
	@$(BIN)/snakemake --rulegraph mermaid-js --forceall 2>/dev/null

docs: $(INSTALLED)  ## Renew the parts of docs/ that come from the schema, the default study and the workflow
	$(BIN)/python docs/renew.py

benchmarks: $(INSTALLED)  ## Run all benchmarks that need no GPU, in some twenty minutes; benchmarks/README.md has the results
	@PYTHON=$(BIN)/python bash benchmarks/all.sh

nano: $(INSTALLED)  ## Train the embedded model again from nothing (under an hour on 2 CPU cores)
	$(BIN)/python resources/nano/training/train.py --output resources/nano

clean:  ## Remove the environment; results stay
	rm -rf .venv

# The environment keeps the choice, for when a new lock installs it again; only `make clean` takes it back.
HAS := $(shell cat .venv/torch 2>&-)
TORCH ?= $(HAS)
ifneq ($(MAKECMDGOALS),clean)
    ifneq ($(filter-out cpu,$(TORCH)),)
        $(error TORCH=$(TORCH) is not known: TORCH=cpu installs PyTorch without CUDA, and no TORCH the default build)
    endif
    ifneq ($(and $(wildcard .venv/torch),$(filter-out $(TORCH)+,$(HAS)+)),)
        $(error TORCH=$(TORCH): .venv has $(if $(HAS),PyTorch's CPU builds,PyTorch with CUDA) already; make clean first)
    endif
endif

# With TORCH=cpu, PyTorch comes from its own index of CPU builds, and what only CUDA needs stays away: 3 GB, not 7.
ifeq ($(TORCH),cpu)
    NOT_INSTALLED := ^(cuda-|nvidia-|triton)
    FROM := --torch-backend cpu
else
    NOT_INSTALLED := ^$$
endif

# audiocraft's own dependency list cannot be satisfied any more, so the lock is complete and
# nothing is resolved here.
$(INSTALLED): envs/lock.txt envs/acoustics.post-deploy.sh envs/analysis.post-deploy.sh pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Inner Ear needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $$(grep '^uv==' envs/lock.txt)
	grep -vE '$(NOT_INSTALLED)' envs/lock.txt | \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --compile-bytecode $(FROM) -r -
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	PATH="$(CURDIR)/$(BIN):$$PATH" bash envs/acoustics.post-deploy.sh
	PATH="$(CURDIR)/$(BIN):$$PATH" bash envs/analysis.post-deploy.sh
	echo "$(TORCH)" > .venv/torch
	touch $@
