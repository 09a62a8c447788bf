"""Sections of `gpu.py` on what a study waits for: clips that are written, and training a dictionary."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from gpu_bench import Bench
from gpu_models import texts
from gpu_speed import captured, reading_ms
from gpu_table import Table

from innerear.capture.generation import generate_samples
from innerear.features.training import train
from innerear.study.prompts import Prompt, Sample

#: Of a dictionary: latents of a token, and a step's tokens.
K, BATCH = 32, 4096


def study(bench: Bench, table: Table) -> None:
    """Compose clips of a study's length with all layers, then the same and write stacks and sound."""
    model, duration = bench.model(bench.half), bench.sizes.clip
    n_steps, reading = model.timeline(duration).n_steps, reading_ms(bench, model)
    for batch in bench.sizes.batches[1::2]:
        captured(model, batch, duration)  # records graphs, which writing replays: it hooks the same places
        composed = bench.seconds(lambda n=batch: captured(model, n, duration))
        with TemporaryDirectory() as folder:
            whole = bench.seconds(lambda n=batch, at=Path(folder): _written(model, n, duration, at))
            size = sum(file.stat().st_size for file in Path(folder).rglob("*.h5")) / batch
        step = 1000 * composed / n_steps
        clips = f"{batch} clips of {duration:g} s"
        table.add(f"a step with capture, {clips}", step, "ms a step", f"{step / reading:.2f} × weights")
        table.add(f"with capture, {clips}", 3600 * batch / composed, "clips an hour", "without sound")
        table.add(f"capture and writing, {clips}", 3600 * batch / whole, "clips an hour", "without sound")
        writing = f"{size / 1e6:.0f} MB a clip"
        table.add(f"writing, {clips}", (whole - composed) / batch, "s a clip", writing)


def _written(model: Any, batch: int, duration: float, folder: Path) -> None:
    prompts = [Prompt(f"p{i}", text, "benchmark", "calm") for i, text in enumerate(texts(batch))]
    generate_samples(
        model,
        [Sample(prompt, i) for i, prompt in enumerate(prompts)],
        [folder / f"{prompt.id}.h5" for prompt in prompts],
        [folder / f"{prompt.id}.wav" for prompt in prompts],
        study="benchmark",
        capture={"layers": "all", "dtype": "float16"},
        generation={"duration": duration},
    )


def dictionary(bench: Bench, table: Table) -> None:
    """Train a TopK dictionary on random tokens of the model's width that lie on the device."""
    bench.forget()
    sizes, width = bench.sizes, 2048 if bench.sizes.latents > 1000 else 64
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(sizes.tokens, width, generator=generator).to(bench.device)
    batch = min(BATCH, sizes.tokens // 4)
    product = _product(bench, tokens[:batch], sizes.latents)

    def trained(steps: int) -> None:
        train(tokens, sizes.latents, K, steps=steps, batch=batch)

    trained(2)
    few, many = (bench.seconds(lambda n=steps: trained(n)) for steps in (5, 25))
    step = (many - few) / 20
    shape = f"{sizes.latents} latents of {width}, {batch} tokens a step"
    table.add("training step", 1000 * step, "ms", f"{step / product:.1f} × the encoder's product, {shape}")
    table.add("training", batch / step, "tokens a s", shape)


def _product(bench: Bench, tokens: torch.Tensor, n_latents: int) -> float:
    """Seconds of one product of a batch with all latents' directions."""
    directions = torch.ones(tokens.shape[1], n_latents, device=tokens.device)
    return min(bench.seconds(lambda: torch.mm(tokens, directions)) for _ in range(5))
