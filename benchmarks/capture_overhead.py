"""Generation with capture of all layers ÷ without, and what other ways of collecting cost.

    python benchmarks/capture_overhead.py nano 2
    python benchmarks/capture_overhead.py small 0.5
    python benchmarks/capture_overhead.py large 8 --device cuda --batch 4

All ways run in turn, several times; medians are set against the median of plain generation.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from statistics import median

import torch
from shapes import asked

from innerear.capture.hooks import capture


@contextmanager
def appended(model) -> Iterator[None]:
    """Append every layer's output of every step to a list, on the CPU: the usual hook."""
    kept: dict[int, list] = {}
    handles = [
        block.register_forward_hook(
            lambda module, inputs, output, i=i: kept.setdefault(i, []).append(output.detach().cpu())
        )
        for i, block in enumerate(model.modules("residual"))
    ]
    yield
    for handle in handles:
        handle.remove()
    for states in kept.values():
        torch.cat(states, dim=1)


@contextmanager
def collected(model) -> Iterator[None]:
    """Keep a tuple of all layers' states per step on the device until the end, as `output_hidden_states`."""
    steps: list[list[torch.Tensor]] = []
    blocks = model.modules("residual")

    def hook(i):
        def keep(module, inputs, output):
            if i == 0:
                steps.append([])
            steps[-1].append(output)

        return keep

    handles = [block.register_forward_hook(hook(i)) for i, block in enumerate(blocks)]
    yield
    for handle in handles:
        handle.remove()
    for layer in range(len(blocks)):
        torch.cat([step[layer] for step in steps], dim=1).cpu()


@contextmanager
def captured(model, batch: int, duration: float) -> Iterator[Callable]:
    """Hear all layers as a study does."""
    modules = {"residual": model.modules("residual")}
    n_steps = model.timeline(duration).n_steps
    with capture(modules, n_steps=n_steps, pre_norm=model.pre_norm) as recording:
        yield recording.run


def main() -> None:
    chosen, model = asked(repeats=5)
    ways = {
        "plain generation": lambda: nullcontext(),
        "capture (innerear)": lambda: captured(model, chosen.batch, chosen.duration),
        "append and .cpu() hook": lambda: appended(model),
        "collect as output_hidden_states": lambda: collected(model),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    texts, seeds = ["happy music"] * chosen.batch, list(range(chosen.batch))
    for repeat in range(chosen.repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            with way() as observe:
                model.generate(texts, seeds, chosen.duration, observe=observe)
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    plain = median(times["plain generation"])
    print(f"{model.name}, {chosen.duration:g} s, batch {chosen.batch}, {model.device}, {model.dtype}")
    for name, spent in times.items():
        print(f"  {name:34s} {median(spent):8.3f} s   ÷ plain {median(spent) / plain:.3f}")


if __name__ == "__main__":
    main()
