"""Section `deviation` of `gpu.py`: a replay's states against those captured, and deliberate faults."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from gpu_bench import Bench, equal_share
from gpu_deviations import BRANCHES, FAULTS, ROUNDINGS, Pair, by_branch, over_layers, spread
from gpu_models import OFFSET, offset, texts
from gpu_table import Table

from innerear import ActivationExtractor


def deviation(bench: Bench, table: Table) -> None:
    """Compare a replay's states with those captured, then faults; once more with the constant of large."""
    model = bench.model(bench.half)
    plain = _deviations_of(bench, table, model, "drawn")
    with offset(model, OFFSET):
        shifted = _deviations_of(bench, table, model, "offset")
    equal = equal_share(shifted, plain)
    table.add(f"tokens equal with offset {OFFSET}", equal, "share", f"{model.dtype}, 1 in float32")


def _deviations_of(bench: Bench, table: Table, model: Any, twin: str) -> torch.Tensor:
    """Add the rows of one model; return the tokens it composed."""
    extractor = ActivationExtractor(model)
    extractor.generate(texts(4), range(4), bench.sizes.compared)
    codes, captured = extractor.codes, extractor.get_activations(raw=True)
    extractor.replay(texts(4))
    replayed = extractor.get_activations(raw=True)
    shares = []
    for states in captured.values():
        ours = by_branch(states.to(bench.device))
        shares.append(spread(ours["delta"]) / spread(ours["cond"]))
    table.add(f"{twin}: delta ÷ cond", median(shares), "of spread", "median over layers")
    pairs = ((replayed[name], captured[name]) for name in captured)
    worst = _add_layers(bench, table, f"{twin}: replay", pairs, max)
    for name, rounded in ROUNDINGS.items():
        _add_layers(bench, table, f"{twin}: {name}", _made(captured, rounded), max)
    least = dict.fromkeys(BRANCHES, float("inf"))
    for name, fault in FAULTS.items():
        found = _add_layers(bench, table, f"{twin}: {name}", _made(captured, fault), min)
        least.update({branch: min(value, least[branch]) for branch, value in found.items() if value})
    for branch in BRANCHES:
        room = f"tolerance between {worst[branch]:.1e} and {least[branch]:.1e}"
        table.add(f"{twin}: least fault ÷ replay, {branch}", least[branch] / worst[branch], "×", room)
    return codes


def _made(captured: Mapping[str, torch.Tensor], change: Callable[[torch.Tensor], Pair]) -> Iterator[Pair]:
    return (change(states.float()) for states in captured.values())


def _add_layers(
    bench: Bench, table: Table, what: str, pairs: Iterator[Pair], extreme: Callable[[Sequence[float]], float]
) -> dict[str, float]:
    """Add the largest (or least) deviation over layers, by branch, beside the median; return the former."""
    layers = over_layers(pairs, bench.device)
    for branch, values in layers.items():
        chosen = extreme(values)
        if extreme is min and not max(values):
            continue  # a fault that leaves this branch as it is
        where = f"layer {values.index(chosen)}, median {median(values):.1e}"
        table.add(f"{what}, {branch}", chosen, f"of spread, {extreme.__name__}", where)
    return {branch: extreme(values) for branch, values in layers.items()}
