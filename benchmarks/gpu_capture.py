"""Samples per hour of MusicGen large's shape on a GPU, with all layers captured and without.

The language model has large's shape, random weights and float16; text encoder and codec are nano's, since
neither decides the speed of a step. With and without capture take turns at each batch; medians are printed
with their ratio (aim: the time with capture at most 1.05 of the time without). Refuses without a GPU.

    python benchmarks/gpu_capture.py [--batches 1 4 16 32] [--duration 8] [--repeats 3]
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from omegaconf import OmegaConf

from innerear.capture.hooks import capture
from innerear.models import MusicModel, load_model
from innerear.models.loading import checkpoint_loading

NANO = Path(__file__).parents[1] / "resources/nano"
SETTINGS = {"guidance": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0}


def random_model(n_layers: int, width: int, heads: int, device: str, dtype: torch.dtype) -> MusicModel:
    """A MusicGen of that shape with random weights, around nano's text encoder and codec."""
    nano = load_model("nano", device=device).musicgen
    from audiocraft.models import builders
    from audiocraft.models.musicgen import MusicGen

    cfg = OmegaConf.create(OmegaConf.to_container(nano.cfg))
    cfg.device, cfg.dtype = device, str(dtype).removeprefix("torch.")
    shape = {"dim": width, "num_layers": n_layers, "num_heads": heads, "hidden_scale": 4}
    cfg.transformer_lm = {**cfg.transformer_lm, **shape}
    with checkpoint_loading(NANO, dtype):
        lm = builders.get_lm_model(cfg).eval()
    return load_model(MusicGen("random", nano.compression_model, lm, max_duration=30))


def seconds(model: MusicModel, batch: int, duration: float, with_capture: bool) -> float:
    """Time of one batch, audio included."""
    texts, seeds = ["a happy solo piano piece"] * batch, list(range(batch))
    start = time.perf_counter()
    if with_capture:
        modules = {site: model.modules(site) for site in ("residual", "input")}
        timeline = model.timeline(duration)
        layers = list(range(model.n_layers))
        with capture(modules, n_samples=batch, n_steps=timeline.n_steps, layers=layers) as recording:
            model.generate(texts, seeds, duration, observe=recording.run, **SETTINGS)
    else:
        model.generate(texts, seeds, duration, **SETTINGS)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def report(model: MusicModel, batches: list[int], duration: float, repeats: int) -> None:
    """Print a row for each batch."""
    seconds(model, 1, min(duration, 1), with_capture=True)  # kernels are loaded, memory is allocated
    print("batch   samples/h without   samples/h with   time with ÷ without")
    for batch in batches:
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(repeats):
            for with_capture, taken in times.items():
                taken.append(seconds(model, batch, duration, with_capture))
        without, captured = statistics.median(times[False]), statistics.median(times[True])
        print(
            f"{batch:>5} {3600 * batch / without:>19.0f} {3600 * batch / captured:>16.0f} "
            f"{captured / without:>21.3f}"
        )


def main() -> None:
    """Measure large's shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--duration", type=float, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU, and torch sees none")
    print(f"48 layers of width 2048, {options.duration:g} s clips, {torch.cuda.get_device_name()}")
    model = random_model(48, 2048, 32, "cuda", torch.float16)
    report(model, options.batches, options.duration, options.repeats)


if __name__ == "__main__":
    main()
