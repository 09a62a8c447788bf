#!/usr/bin/env bash
# All that is measured without a GPU, one after another, at sizes that take some twenty minutes on two quiet cores.
#
#     make benchmarks | tee benchmarks.txt
#
# One that fails does not stop the others; the last line names those that did. Not here, for they take longer:
# scale.py at its own sizes (up to 10,000 samples), analyses.py at 992 clips, sums.py at 992 clips, power.py.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export OMP_NUM_THREADS=1 PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$PWD/src"
failed=()

measure() {
    SECONDS=0
    printf '\n== %s (load %s)\n' "$*" "$(cut -d' ' -f1 /proc/loadavg)"
    "${PYTHON:-python3}" benchmarks/"$@" || failed+=("$1")
    printf '   took %s s\n' "$SECONDS"
}

measure capture_overhead.py nano 2 --repeats 9
measure capture_overhead.py small 0.5 --repeats 3
measure decoder.py nano 4 --repeats 5
measure decoder.py nano 4 --batch 16 --repeats 3
measure decoder.py small 0.3 --repeats 3
measure intervention.py nano 4 --repeats 9
measure replay.py nano 2 --repeats 2
measure replay.py small 1 --repeats 1
measure batching.py --seeds 4 --repeats 1
measure acoustics.py --repeats 5
measure features.py
measure gram_pass.py --rounds 5
measure similarity_movie.py --rounds 5
measure sums.py --width 256 --rounds 1
measure decomposition.py --rounds 1
measure analyses.py --templates 10
measure dag.py --repeats 1 --batch prompt --seeds 20 --pairs 1000 10000
measure scale.py --templates 10 32 100
measure study_throughput.py --seeds 1 --batch prompt --repeats 1
if [ -d results/emotions_nano/benchmarks ]; then
    measure where.py results/emotions_nano --imports --repeats 1
fi

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
