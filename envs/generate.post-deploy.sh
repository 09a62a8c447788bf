#!/usr/bin/env bash
set -euo pipefail
pip install --no-deps audiocraft==1.3.0
