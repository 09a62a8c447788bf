"""Sections of `gpu.py` that take time: the card, a step with and without capture, and a replay."""

import sys
from typing import Any

import torch
from gpu_bench import GUIDANCE, TOP_K, Bench
from gpu_models import texts, weights_read
from gpu_table import Table

from innerear import ActivationExtractor
from innerear.capture.hooks import capture


def machine(bench: Bench, table: Table) -> None:
    """Name the card and torch, and time a copy."""
    name, memory = "CPU", float("nan")
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        name, memory = properties.name, properties.total_memory / 2**30
    table.add("card", name, "", f"{memory:.0f} GiB" if memory == memory else "")
    table.add("torch", torch.__version__, "", f"python {sys.version.split()[0]}")
    table.add("copy on the device", bench.copied() / 1e12, "TB/s", "read and written")


def reading_ms(bench: Bench, model: Any) -> float:
    """Milliseconds that reading the weights once takes: no step of a small batch can be faster."""
    return 1000 * weights_read(model) / bench.bandwidth()


def overhead(bench: Bench, table: Table) -> None:
    """Time a step of audiocraft alone, of a generation without capture, and with all layers captured.

    A generation runs through the static decoder, on a GPU as CUDA graphs; its clips have at most 64 steps.
    """
    model = bench.model(bench.half)
    reading = reading_ms(bench, model)
    stated = f"{weights_read(model) / 1e9:.3g} GB at {bench.bandwidth() / 1e12:.3g} TB/s"
    table.add(f"reading the weights, {model.dtype}", reading, "ms a step", stated)
    timeline = model.timeline(bench.sizes.timed)
    for batch in bench.sizes.batches:
        ways = {
            "audiocraft": lambda n=batch: _audiocraft(model, n, timeline.n_frames),
            "without": lambda n=batch: model.generate(texts(n), range(n), bench.sizes.timed),
            "with": lambda n=batch: captured(model, n, bench.sizes.timed),
        }
        took = {name: 1000 * s / timeline.n_steps for name, s in bench.medians(ways).items()}
        alone, without, recorded = took.values()
        ratios = {
            f"audiocraft alone, {2 * batch} rows": (alone, ""),
            f"without capture, {2 * batch} rows": (without, f"{without / alone:.3f} × alone, "),
            f"with capture, {2 * batch} rows": (recorded, f"{recorded / without:.3f} × without, "),
        }
        for what, (value, against) in ratios.items():
            table.add(what, value, "ms a step", f"{against}{value / reading:.2f} × weights")


def _audiocraft(model: Any, batch: int, n_frames: int) -> torch.Tensor:
    """Compose with audiocraft's own loop and sampler."""
    musicgen = model.musicgen
    attributes, _ = musicgen._prepare_tokens_and_attributes(texts(batch), None)
    with torch.no_grad(), musicgen.autocast:
        return musicgen.lm.generate(None, attributes, max_gen_len=n_frames, top_k=TOP_K, cfg_coef=GUIDANCE)


def captured(model: Any, batch: int, duration: float) -> None:
    """Compose and record all layers and what the first one reads, as a study does."""
    modules = {site: model.modules(site) for site in ("residual", "input")}
    n_steps = model.timeline(duration).n_steps
    with capture(modules, n_steps=n_steps, pre_norm=model.pre_norm) as recording:
        model.generate(texts(batch), range(batch), duration, observe=recording.run)


def replay(bench: Bench, table: Table) -> None:
    """Time a pass over finished clips, with all layers captured and without, against generating them."""
    model, duration = bench.model(bench.half), bench.sizes.compared
    timeline, extractor = model.timeline(duration), ActivationExtractor(model)
    for batch in (1, 4):
        codes = model.generate(texts(batch), range(batch), duration).codes
        ways = {
            "generate": lambda n=batch: extractor.generate(texts(n), range(n), duration),
            "replay": lambda n=batch, c=codes: extractor.replay(texts(n), c, timeline),
            "pass": lambda n=batch, c=codes: model.replay(c, texts(n), timeline),
        }
        generated, replayed, passed = bench.medians(ways).values()
        steps = f"{timeline.n_steps} steps"
        table.add(f"generating with capture, {batch} clips", generated, "s", steps)
        table.add(f"replay with capture, {batch} clips", replayed, "s", steps)
        table.add(f"replay without capture, {batch} clips", passed, "s", steps)
        table.add(f"generating ÷ replay, {batch} clips", generated / replayed, "×", "both with capture")
