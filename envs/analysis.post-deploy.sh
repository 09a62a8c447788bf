#!/usr/bin/env bash
# Compile what UMAP keeps in numba's cache, once, by one process: jobs that fill it side by side can spoil it.
set -euo pipefail
python -c "import umap"
