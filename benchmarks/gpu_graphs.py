"""Section `graphs` of `gpu.py`: steps recorded as CUDA graphs against the same steps as they are."""

from typing import Any

import torch
from gpu_bench import Bench, equal_share
from gpu_models import texts
from gpu_table import Table

from innerear.capture.hooks import capture
from innerear.models.decoder import StaticDecoder
from innerear.models.graphs import Step, unrecorded


def graphs(bench: Bench, table: Table) -> None:
    """Count what is recorded, time it, and compare tokens and states with unrecorded steps and audiocraft."""
    model: Any = bench.model(bench.half)
    lm, own = model.musicgen.lm, model._static
    counted = _Counted(own.record or unrecorded)
    try:
        model._static = StaticDecoder(lm, unrecorded)
        plain, expected = _composed(bench, model)  # starts CUDA, which is no part of recording
        model._static = StaticDecoder(lm, counted)
        first = bench.seconds(lambda: _composed(bench, model))
        again = bench.seconds(lambda: _composed(bench, model))
        codes, states = _composed(bench, model)
    finally:
        model._static = own
    on = model.device.type
    table.add(
        "steps recorded as graphs", counted.done / counted.asked, "share", f"of {counted.asked} on {on}"
    )
    took = 1000 * (first - again) / counted.asked
    table.add("recording a graph", took, "ms", "the first call against the second")
    table.add(
        "tokens equal to unrecorded steps", equal_share(codes, plain), "share", f"4 clips, {model.dtype}"
    )
    apart = float((states - expected).abs().max())
    table.add("states, last layer, against unrecorded steps", apart, "largest gap", "0 is bit-identical")
    theirs, _ = _composed(bench, model, "audiocraft")
    table.add("tokens equal to audiocraft's", equal_share(codes, theirs), "share", f"4 clips, {model.dtype}")


class _Counted:
    """Records steps and counts how many became graphs."""

    def __init__(self, record: Any) -> None:
        self.record, self.asked, self.done = record, 0, 0

    def __call__(self, step: Step) -> Step:
        replay = self.record(step)
        self.asked, self.done = self.asked + 1, self.done + (replay is not step)
        return replay


def _composed(bench: Bench, model: Any, decoder: str = "static") -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes of four clips, and the last layer's states [S, C, B, D]."""
    duration, last = bench.sizes.compared, model.n_layers - 1
    n_steps = model.timeline(duration).n_steps
    modules = {"residual": model.modules("residual")}
    with capture(modules, n_steps=n_steps, pre_norm=model.pre_norm, layers=[last]) as recording:
        made = model.generate(texts(4), range(4), duration, decoder=decoder, observe=recording.run)
    return made.codes, recording.all("residual", last)
