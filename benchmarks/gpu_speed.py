"""Sections of `gpu.py` that take time: the card, a step with and without capture, a replay, a static step."""

import sys
from typing import Any

import torch
from gpu_bench import GUIDANCE, TOP_K, Bench, Sizes, equal_share, exact
from gpu_models import texts, weights_read
from gpu_table import Table
from static_step import StaticStep, graphed

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


def _reading(bench: Bench, model: Any) -> float:
    """Milliseconds that reading the weights once takes: no step of a small batch can be faster."""
    return 1000 * weights_read(model) / bench.bandwidth()


def overhead(bench: Bench, table: Table) -> None:
    """Time a step of audiocraft alone, of a generation without capture, and with all layers captured."""
    model = bench.model(bench.half)
    reading = _reading(bench, model)
    stated = f"{weights_read(model) / 1e9:.3g} GB at {bench.bandwidth() / 1e12:.3g} TB/s"
    table.add(f"reading the weights, {model.dtype}", reading, "ms a step", stated)
    timeline = model.timeline(bench.sizes.timed)
    for batch in bench.sizes.batches:
        ways = {
            "audiocraft": lambda n=batch: _audiocraft(model, n, timeline.n_frames),
            "without": lambda n=batch: model.generate(texts(n), range(n), bench.sizes.timed),
            "with": lambda n=batch: _captured(model, n, bench.sizes.timed),
        }
        took = {name: 1000 * s / timeline.n_steps for name, s in bench.in_turn(ways).items()}
        alone, without, captured = took.values()
        table.add(f"audiocraft alone, {batch} clips", alone, "ms a step", f"{alone / reading:.1f} × weights")
        table.add(f"without capture, {batch} clips", without, "ms a step", f"{without / alone:.3f} × alone")
        table.add(
            f"with capture, {batch} clips", captured, "ms a step", f"{captured / without:.3f} × without"
        )


def _audiocraft(model: Any, batch: int, n_frames: int) -> torch.Tensor:
    """Compose with audiocraft's own loop and sampler."""
    musicgen = model.musicgen
    attributes, _ = musicgen._prepare_tokens_and_attributes(texts(batch), None)
    with torch.no_grad(), musicgen.autocast:
        return musicgen.lm.generate(None, attributes, max_gen_len=n_frames, top_k=TOP_K, cfg_coef=GUIDANCE)


def _captured(model: Any, batch: int, duration: float) -> None:
    """Compose while hearing all layers, as a study does."""
    modules = {"residual": model.modules("residual")}
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
        generated, replayed, passed = bench.in_turn(ways).values()
        steps = f"{timeline.n_steps} steps"
        table.add(f"generating with capture, {batch} clips", generated, "s", steps)
        table.add(f"replay with capture, {batch} clips", replayed, "s", steps)
        table.add(f"replay without capture, {batch} clips", passed, "s", steps)
        table.add(f"generating ÷ replay, {batch} clips", generated / replayed, "×", "both with capture")


def static(bench: Bench, table: Table) -> None:
    """Time a step with static caches as one CUDA graph; its tokens are held against audiocraft's.

    States are kept on the device alone: what their way to the CPU takes is not in it.
    """
    sizes = bench.sizes
    with exact():
        equal = _static_tokens(bench.model("float32"), sizes)
    table.add("tokens equal to audiocraft's, float32", equal, "share", "4 clips")
    model = bench.model(bench.half)
    table.add(f"tokens equal, {model.dtype}", _static_tokens(model, sizes), "share", "4 clips")
    reading = _reading(bench, model)
    for capacity in sizes.capacities:
        for record in (False, True):
            for batch in sizes.batches:
                took = 1000 * _static_seconds(bench, model, batch, capacity, record)
                bench.free()
                kept = "states kept" if record else "plain"
                what = f"{2 * batch} rows, attention over {capacity}, {kept}"
                table.add(what, took, "ms a step", f"{took / reading:.2f} × weights")


def _static_tokens(model: Any, sizes: Sizes) -> float:
    """Share of tokens that a static step draws as audiocraft's does, with the same noise."""
    timeline = model.timeline(sizes.float32)
    capacity = -(-timeline.n_steps // 64) * 64
    one = StaticStep(model, texts(4), range(4), timeline.n_frames, capacity)
    step = graphed(one)
    for _ in range(timeline.n_steps):
        step()
    codes = model.generate(texts(4), range(4), sizes.float32, guidance=GUIDANCE, top_k=TOP_K).codes
    return equal_share(one.codes(), codes)


def _static_seconds(bench: Bench, model: Any, batch: int, capacity: int, record: bool) -> float:
    """Seconds a step, median of several runs; which steps does not matter, since all read the whole cache."""
    n_steps = min(capacity, 128)
    n_frames = n_steps - model.n_codebooks + 1
    one = StaticStep(model, texts(batch), range(batch), n_frames, capacity, record=record)
    step = graphed(one)

    def run() -> None:
        one.reset()
        for _ in range(n_steps):
            step()

    return bench.in_turn({"step": run})["step"] / n_steps
