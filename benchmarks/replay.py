"""Capture of all layers from stored tokens ÷ generating the clip again with capture.

python benchmarks/replay.py nano 2
python benchmarks/replay.py small 1
python benchmarks/replay.py large 8 --device cuda --batch 4
"""

import time
from statistics import median

import torch
from shapes import asked

from innerear import ActivationExtractor


def main() -> None:
    chosen, model = asked(repeats=3)
    extractor = ActivationExtractor(model)
    texts = ["happy music"] * chosen.batch
    times: dict[str, list[float]] = {"generate": [], "replay": []}
    deviation = 0.0
    for repeat in range(chosen.repeats + 1):
        start = time.perf_counter()
        extractor.generate(texts, list(range(chosen.batch)), chosen.duration)
        middle = time.perf_counter()
        captured = extractor.get_activations()
        begin = time.perf_counter()
        extractor.replay(texts)
        end = time.perf_counter()
        for name, states in extractor.get_activations().items():
            difference = (states - captured[name]).abs().max() / captured[name].abs().max()
            deviation = max(deviation, float(difference))
        if repeat:  # the first round warms up
            times["generate"].append(middle - start)
            times["replay"].append(end - begin)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    ratio = median(times["generate"]) / median(times["replay"])
    print(f"{model.name}, {chosen.duration:g} s, batch {chosen.batch}, {model.device}, {model.dtype}")
    for name, spent in times.items():
        print(f"  {name:10s} {median(spent):8.3f} s")
    print(
        f"  replay is {ratio:.1f} times faster; states differ by at most {deviation:.1e} of the largest unit"
    )


if __name__ == "__main__":
    main()
