"""List a model's modules with their numbers of calls and shapes, to check a new model before use."""

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import nn

from innerear.models import MusicModel


def trace(model: MusicModel, text: str = "happy music", duration: float = 0.2) -> pd.DataFrame:
    """Compose one short clip and count the calls of every module.

    Parameters
    ----------
    model : from `innerear.load_model`.
    text : the prompt.
    duration : seconds.

    Returns
    -------
    A row per kind of module, in order of first call: `module` (layers written as ``*``), `class`,
    `instances`, `calls` of each, `first` and `then` (output shapes at the first and last call), and `axes`
    (names of the axes).
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    classes: dict[str, str] = {}

    def note(name: str) -> Callable:
        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output
            if isinstance(states, torch.Tensor):
                shapes.setdefault(name, []).append(tuple(states.shape))
                classes[name] = type(module).__name__

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in model.network.named_modules()]
    try:
        model.generate([text], [0], duration)
    finally:
        for handle in handles:
            handle.remove()
    kinds: dict[str, list[str]] = {}
    for name in shapes:
        kinds.setdefault(re.sub(r"\b\d+\b", "*", name) or "(the model)", []).append(name)
    rows = []
    for kind, names in kinds.items():
        calls = sorted({len(shapes[name]) for name in names})
        first, last = shapes[names[0]][0], shapes[names[0]][-1]
        rows.append(
            {
                "module": kind,
                "class": classes[names[0]],
                "instances": len(names),
                "calls": "/".join(map(str, calls)),
                "first": _text(first),
                "then": _text(last) if last != first else "same",
                "axes": _axes(last, model),
            }
        )
    return pd.DataFrame(rows)


def describe(model: MusicModel, text: str, duration: float) -> str:
    """Return a summary of the model and the table of `trace` as text."""
    timeline = model.timeline(duration)
    prefix = (
        "" if model.has_cross_attention else "; its first call also reads the conditions, which are no steps"
    )
    lines = [
        f"{model.name}: {model.n_layers} layers of width {model.d_model}, {model.n_codebooks} codebooks of "
        f"{model.card} tokens at {model.frame_rate:g} Hz, on {model.device} in {model.dtype}",
        f"sites: {', '.join(model.sites)}",
        f"{duration:g} s = {timeline.n_frames} frames = {timeline.n_steps} steps "
        f"({timeline.n_frames} + {timeline.max_delay}, the delay of the last codebook){prefix}",
        "rows of a step: cond first, then uncond; one position each; no axis for codebooks, which are summed",
        "",
        trace(model, text, duration).to_string(index=False, justify="left"),
    ]
    return "\n".join(lines)


def _text(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _axes(shape: tuple[int, ...], model: MusicModel) -> str:
    """Name the axes of one sample's output at a step, as far as its shape shows them."""
    widths = {model.d_model: "d_model", model.card: "token", model.card + 1: "token or special"}
    if len(shape) == 4 and shape[:3] == (2, model.n_codebooks, 1):
        return "branch, codebook, step, token"
    if len(shape) == 3 and shape[:2] == (2, 1):
        return f"branch, step, {widths.get(shape[2], 'width')}"
    if len(shape) == 3 and shape[0] == 2:
        return f"branch, text token, {widths.get(shape[2], 'width')}"
    return ""
