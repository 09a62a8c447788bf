"""Seconds of the processor for clips that are recorded, and for clips that are edited and recorded, in turn.

    python benchmarks/intervention.py nano 4 --batch 16
    python benchmarks/intervention.py small 0.3 --repeats 3

The edit adds a direction at one layer, at every step, with a dose of each clip. Aim: at most 1.05.
"""

import time
from contextlib import nullcontext
from statistics import median

import numpy as np
import torch
from shapes import asked

from innerear import ActivationExtractor, intervene
from innerear.interventions import Add

TEXTS = ["the happy theme on a piano", "play some sad electronic music", "calm acoustic guitar music"]


def main() -> None:
    """Time both in turn and print medians and their ratio."""
    chosen, model = asked(repeats=7)
    torch.set_num_threads(1)
    extractor = ActivationExtractor(model)
    texts = [TEXTS[i % len(TEXTS)] for i in range(chosen.batch)]
    direction = np.random.default_rng(0).normal(size=extractor.model.d_model)
    edit = Add(direction, np.full(chosen.batch, 0.1), layers=extractor.model.n_layers // 2)
    times: dict[str, list[float]] = {"recorded": [], "edited and recorded": []}
    for _ in range(chosen.repeats + 1):
        for name, context in (
            ("recorded", nullcontext()),
            ("edited and recorded", intervene(extractor, edit)),
        ):
            with context:
                start = time.process_time()
                extractor.generate(texts, seeds=range(chosen.batch), duration=chosen.duration)
                times[name].append(time.process_time() - start)
    ratios = [edited / plain for plain, edited in zip(*times.values(), strict=True)][1:]
    clips = f"{extractor.model.name}, {chosen.batch} clips of {chosen.duration:g} s"
    for name, of in times.items():
        print(f"{clips}, {name}: median {median(of[1:]):.3f} CPU s, least {min(of[1:]):.3f}")
    print(f"edited ÷ recorded: median of {chosen.repeats} turns {median(ratios):.3f}")


if __name__ == "__main__":
    main()
