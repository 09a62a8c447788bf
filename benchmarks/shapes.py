"""MusicGens of the released shapes with random weights: timings need no checkpoint, only its size."""

import argparse
from typing import Any

import torch
from omegaconf import OmegaConf
from options import count, duration

from innerear.models import MusicModel, load_model, nano_directory
from innerear.models.audiocraft import AudiocraftModel
from innerear.models.loading import build_context

#: (layers, d_model, heads) of the released models, and of one for a dry run
SHAPES = {"tiny": (3, 64, 4), "small": (24, 1024, 16), "medium": (48, 1536, 24), "large": (48, 2048, 32)}


def random_musicgen(
    shape: str, device: str = "cpu", dtype: str = "auto", card: int | None = None
) -> AudiocraftModel:
    """Return nano's text encoder and codec around a random language model of a released shape.

    Its codebooks hold nano's 256 tokens instead of 2048, which is a matter of the last layer alone; with
    another `card` nano's codec cannot turn the tokens into sound.
    """
    model: Any = load_model("nano", device=device, dtype=dtype)
    from audiocraft.models import builders  # after load_model, which imports audiocraft without its ballast

    musicgen = model.musicgen
    cfg: Any = OmegaConf.create(OmegaConf.to_container(musicgen.cfg))
    n_layers, d_model, n_heads = SHAPES[shape]
    cfg.transformer_lm.update(num_layers=n_layers, dim=d_model, num_heads=n_heads, hidden_scale=4)
    cfg.transformer_lm.card = card or cfg.transformer_lm.card
    cfg.device = device
    torch.manual_seed(0)
    with build_context(nano_directory(), "nano"):
        musicgen.lm = builders.get_lm_model(cfg).eval()
    return AudiocraftModel(musicgen, f"random weights of the {shape} shape", identity="random")


def asked(
    repeats: int, parser: argparse.ArgumentParser | None = None
) -> tuple[argparse.Namespace, MusicModel]:
    """Read from the command line what a benchmark of one model takes, and load the model.

    A `parser` holds what one benchmark takes besides.
    """
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("model", help=f"nano, a checkpoint, or a random {', '.join(SHAPES)}")
    parser.add_argument("duration", type=duration, help="seconds of a clip")
    parser.add_argument("--batch", type=count, default=1)
    parser.add_argument("--repeats", type=count, default=repeats)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    if chosen.model in SHAPES:
        return chosen, random_musicgen(chosen.model, chosen.device)
    return chosen, load_model(chosen.model, device=chosen.device)
