#!/bin/sh
# Everything that needs a GPU, in order and in under ten minutes: is it right, how fast is it, and
# would other tiles be faster? Words given to it go to the bench.
#
#   PYTHON=.venv/bin/python sh benchmarks/gpu.sh
#
# A failed test stops it. Bench and sweep begin no case after their limits and store each finished
# one, so what is measured is kept whatever happens later.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
out_of_time() { test "$1" -eq 124 && echo "gpu.sh: $2 ran out of time"; }

"$PYTHON" -c 'import sys, torch
sys.exit(None if torch.cuda.is_available() else "gpu.sh needs a GPU that PyTorch can use")'
timeout 190 "$PYTHON" -m pytest -q -p no:nbval tests/kernels tests/rotation/test_positions.py ||
	out_of_time $? "the tests"
timeout 280 "$PYTHON" benchmarks/bench_gpu.py --limit 220 "$@" || out_of_time $? "the bench"
timeout 110 "$PYTHON" benchmarks/sweep_gpu.py --limit 80 || out_of_time $? "the sweep"
