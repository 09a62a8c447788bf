"""Seconds of the processor for a clip, by audiocraft's own step and by the static decoder, in turn.

    python benchmarks/decoder.py nano 4 --repeats 7
    python benchmarks/decoder.py nano 4 --batch 16
    python benchmarks/decoder.py small 0.5 --repeats 3

All layers are recorded, and the codec makes the sound, as in a study's job; with ``--codec no`` time is that
of the tokens alone. Tokens must be equal, and states to the last bit. Aim: a third for one clip of nano.
"""

import argparse
import time
from statistics import median

import torch
from shapes import asked

from innerear.capture.hooks import capture

TEXTS = ["the happy theme on a piano", "play some sad electronic music", "calm acoustic guitar music"]


def seconds(model, decoder, chosen):
    """Return seconds of the processor and of the clock, the tokens, and the last layer's states."""
    texts = [TEXTS[i % len(TEXTS)] for i in range(chosen.batch)]
    modules = {site: model.modules(site) for site in ("residual", "input")}
    n_steps = model.timeline(chosen.duration).n_steps
    start, clock = time.process_time(), time.perf_counter()
    with capture(modules, n_steps=n_steps, pre_norm=True) as recording:
        made = model.generate(
            texts, range(chosen.batch), chosen.duration, decoder=decoder, observe=recording.run
        )
    taken = time.process_time() - start, time.perf_counter() - clock
    return taken, made.codes, recording.all("residual", model.n_layers - 1)


def main() -> None:
    """Time both in turn and print medians and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--codec", choices=("yes", "no"), default="yes")
    chosen, model = asked(repeats=5, parser=parser)
    torch.set_num_threads(1)
    if chosen.codec == "no":
        model._decode = lambda codes: torch.zeros(len(codes), 1)
    decoders = ("audiocraft", "static")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in decoders}
    for _ in range(chosen.repeats):
        made = {}
        for name in decoders:
            taken, *made[name] = seconds(model, name, chosen)
            times[name].append(taken)
        (codes, states), (same, own) = made.values()
        assert torch.equal(codes, same)
        assert torch.equal(states, own)
    print(
        f"{model.name}, {chosen.batch} clips of {chosen.duration:g} s, {chosen.repeats} repeats, one thread"
    )
    print("decoder      CPU s: median   least   clips a CPU s   by the clock")
    for name, of in times.items():
        cpu, clock = zip(*of, strict=True)
        rate = chosen.batch / median(cpu)
        print(f"{name:<12} {median(cpu):14.3f} {min(cpu):7.3f} {rate:15.2f} {median(clock):14.3f}")
    ratios = [one[0] / two[0] for one, two in zip(*times.values(), strict=True)]
    print(f"audiocraft ÷ static, median of turns: {median(ratios):.2f}; tokens and states equal")


if __name__ == "__main__":
    main()
