#!/usr/bin/env bash
# All that is claimed of a GPU, measured in one table in less than 8 minutes; see gpu.py for the options.
#
#     bash benchmarks/gpu.sh --output gpu.tsv          # a GPU of 40 GB or more
#     bash benchmarks/gpu.sh --tiny                    # a dry run anywhere
#
# PYTHON names the interpreter that has audiocraft (python3 if not set). Nothing is downloaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false USE_TF=0 USE_JAX=0 PYTHONUNBUFFERED=1
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$PWD/src"
exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
