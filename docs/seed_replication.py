"""Measure what the cosine of 0.9999 between "happy" and "sad" is made of, for seed_replication.md.

    python docs/seed_replication.py [--published emotion_activations.pt] [--figure FILE.svg] [--seeds 8]

The published states are `results/emotion_activations.pt` of the repository QQCPM/Music: MusicGen large, the
last step of four clips. Without the file their part is left out. Nano's clips are generated here.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from innerear import ActivationExtractor, load_model
from innerear.figures.drawing.style import new_figure, save, styled
from innerear.models import MusicModel

EMOTIONS = ("happy", "sad", "calm", "energetic")
#: the second is to nano, whose states spread more widely, what −9.8 is to MusicGen large
CONSTANTS = (-9.8, -53.0)
#: each correction also contains those before it
CORRECTIONS = (
    "as published: last step, both branches, raw",
    "all steps",
    "cond alone",
    "without the mean over units",
    "without what all clips share",
)
WITHIN = "the same, two clips of one emotion"
PARTS = ("constant along (1, …, 1)", "what all clips share", "the pair's own")
# Okabe and Ito's palette.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#D55E00", "#0072B2")
_MARKERS = ("o", "s", "x", "^", "D")


@dataclass(frozen=True)
class Clips:
    """Raw states of clips of several emotions.

    Attributes
    ----------
    model : its name.
    layers : the L layers.
    states : float32 [L, N, C, S, D]; branch 0 is cond.
    emotions, seeds : [N]
    codes : tokens [N, K, T]; None where nobody kept them.
    """

    model: str
    layers: Sequence[int]
    states: np.ndarray
    emotions: np.ndarray
    seeds: np.ndarray
    codes: torch.Tensor | None = None

    @property
    def pairs(self) -> dict[str, np.ndarray]:
        """Masks [N, N] of pairs that share no seed: happy and sad, any two emotions, one emotion."""
        apart = self.seeds[:, None] != self.seeds
        alike = self.emotions[:, None] == self.emotions
        happy_sad = (self.emotions[:, None] == "happy") & (self.emotions == "sad")
        return {"happy, sad": happy_sad & apart, "two emotions": ~alike & apart, "one emotion": alike & apart}


def published_clips(path: Path) -> Clips:
    """Read `emotion_activations.pt`, or its states as an array `states` [N, L, C, D] of an npz file."""
    if path.suffix == ".npz":
        stored = np.load(path)
        states, layers, emotions = stored["states"], stored["layers"].tolist(), stored["emotions"]
    else:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        layers = [int(name.removeprefix("layer_")) for name in stored["activations"][0]]
        clips = [torch.stack([layer[:, 0] for layer in clip.values()]) for clip in stored["activations"]]
        states, emotions = (
            torch.stack(clips).numpy(),
            np.array([clip["label"] for clip in stored["metadata"]]),
        )
    # [N, L, C, D] -> [L, N, C, S = 1, D]. Nobody set a seed: all clips differ in it.
    ordered = states.swapaxes(0, 1)[:, :, :, None]
    return Clips("MusicGen large", layers, ordered, emotions, np.arange(len(emotions)))


def generated_clips(model: MusicModel, name: str, n_seeds: int) -> Clips:
    """Generate "happy music", "sad music", … with every seed, 3 s each."""
    emotions, seeds = zip(*product(EMOTIONS, range(n_seeds)), strict=True)
    extractor = ActivationExtractor(model)
    extractor.generate([f"{emotion} music" for emotion in emotions], seeds=seeds, duration=3)
    layers = extractor.get_activations(raw=True).values()
    states = np.stack([layer.permute(2, 1, 0, 3).numpy() for layer in layers])  # L × [S, C, B, D]
    return Clips(name, extractor.layers, states, np.array(emotions), np.array(seeds), extractor.codes)


def add_constant(model: MusicModel, constant: float) -> None:
    """Add a constant to all units of every state, through the K embeddings that are summed at each step."""
    embeddings = model.musicgen.lm.emb
    with torch.no_grad():
        for embedding in embeddings:
            embedding.weight += constant / len(embeddings)


def gram(states: np.ndarray) -> np.ndarray:
    """Inner products [N, N] of states [N, …], each flattened to one vector."""
    flat = states.reshape(len(states), -1).astype(np.float64)
    return flat @ flat.T


def cosines(products: np.ndarray) -> np.ndarray:
    """Cosines [N, N] of vectors with these inner products."""
    lengths = np.sqrt(np.diag(products))
    return products / lengths[:, None] / lengths


def corrected(clips: Clips, layer: int) -> dict[str, np.ndarray]:
    """Return cosines [N, N] after each of `CORRECTIONS`; those of all steps need states of all steps.

    What all clips share is estimated without bias as the mean inner product of clips of two emotions.
    """
    raw = clips.states[layer]
    cond = raw[:, 0]
    products = gram(cond - cond.mean(axis=-1, keepdims=True))
    common = products[clips.pairs["two emotions"]].mean()
    grams = (gram(raw[:, :, -1]), gram(raw), gram(cond), products, products - common)
    return {
        name: cosines(one)
        for name, one in zip(CORRECTIONS, grams, strict=True)
        if name != "all steps" or raw.shape[2] > 1
    }


def parts(clips: Clips, layer: int) -> np.ndarray:
    """Split the raw cosine of happy and sad in cond into its `PARTS`: three terms of one sum."""
    cond = clips.states[layer][:, 0]
    raw, products = gram(cond), gram(cond - cond.mean(axis=-1, keepdims=True))
    lengths = np.sqrt(np.diag(raw))
    common = products[clips.pairs["two emotions"]].mean()
    terms = (raw - products, np.full_like(raw, common), products - common)
    pairs = clips.pairs["happy, sad"]
    return np.array([(term / lengths[:, None] / lengths)[pairs].mean() for term in terms])


def summary(clips: Clips, layer: int) -> dict[str, float]:
    """Return mean cosines of happy and sad after each correction, and `WITHIN` after the last."""
    found, pairs = corrected(clips, layer), clips.pairs
    values = {name: float(one[pairs["happy, sad"]].mean()) for name, one in found.items()}
    if pairs["one emotion"].any():
        values[WITHIN] = float(found[CORRECTIONS[-1]][pairs["one emotion"]].mean())
    return values


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def middle(clips: Clips) -> int:
    """Return the position of the published layer, 12 of 48, or of the middle layer."""
    return list(clips.layers).index(12) if 12 in clips.layers else len(clips.layers) // 2


def corrections_table(every: Sequence[Clips]) -> str:
    """Return the cosine after each correction, and the correction's share of the whole fall, by model."""
    columns = [summary(clips, middle(clips)) for clips in every]
    names = (*CORRECTIONS, *([WITHIN] if any(WITHIN in values for values in columns) else []))
    rows = [[name, *(_with_share(values, name) for values in columns)] for name in names]
    heads = [f"{clips.model}, layer {clips.layers[middle(clips)]}" for clips in every]
    return markdown(["cosine of happy and sad (share of the fall)", *heads], rows)


def _with_share(values: dict[str, float], name: str) -> str:
    """Return a cosine, and by how much the correction lowers it as a share of what all of them do."""
    known = [each for each in CORRECTIONS if each in values]
    if name not in values:
        return "–"
    cosine = f"{values[name]:.5f}".replace("-", "−")
    if name not in known[1:]:
        return cosine
    taken = values[known[known.index(name) - 1]] - values[name]
    return f"{cosine} ({taken / (values[known[0]] - values[known[-1]]):.1%})"


def parts_table(every: Sequence[Clips]) -> str:
    """Return the parts of the raw cosine in cond: of all published layers, and of nano's middle one."""
    rows = []
    for clips in every:
        for i in range(len(clips.layers)) if clips.states.shape[3] == 1 else [middle(clips)]:
            split, values = parts(clips, i), summary(clips, i)
            numbers = [f"{value:.6f}" for value in (*split, split.sum())]
            numbers += [f"{values[name]:.3f}" for name in CORRECTIONS[-2:]]
            rows.append([f"{clips.model}, {clips.layers[i]}", *(text.replace("-", "−") for text in numbers)])
    return markdown(["model, layer", *PARTS, "sum: raw cosine, cond", *CORRECTIONS[-2:]], rows)


@styled
def draw(every: Sequence[Clips]) -> Figure:
    """Draw the cosine of happy and sad after each correction, by layer, one panel a model."""
    title = 'Raw cosine of "happy" and "sad" in the residual stream, and what each correction leaves of it'
    how = "each correction contains those before it; nano with c: c is added to all units of every state"
    figure, axes = new_figure(1, len(every), title=title, subtitle=how, panel=(2.6, 3.0), sharey=True)
    for panel, clips in zip(axes[0], every, strict=True):
        found = [summary(clips, i) for i in range(len(clips.layers))]
        for name, colour, marker in zip(CORRECTIONS, _COLOURS, _MARKERS, strict=True):
            if name in found[0]:
                line = [values[name] for values in found]
                panel.plot(
                    clips.layers, line, color=colour, marker=marker, markerfacecolor="none", label=name
                )
        n_steps, n_pairs = clips.states.shape[3], int(clips.pairs["happy, sad"].sum())
        steps = f"{n_steps} steps" if n_steps > 1 else "last step only"
        panel.set_title(f"{clips.model}\n{n_pairs} pair{'s' * (n_pairs > 1)}, {steps}")
        panel.set_xticks(list(clips.layers))
        panel.set_xlabel("layer")
        panel.axhline(0, color="0.7", linewidth=0.6)
    axes[0, 0].set_ylabel("cosine (no unit)")
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def main() -> None:
    """Measure, print the tables, and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--published", type=Path, help="emotion_activations.pt, or its states as npz")
    parser.add_argument("--figure", type=Path, help="SVG or PNG to write")
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    every = []
    if arguments.published and arguments.published.exists():
        every.append(published_clips(arguments.published))
    else:
        print(f"MusicGen large is left out: {arguments.published or '--published'} is not there\n")
    nano = generated_clips(load_model("nano", device="cpu"), "nano", arguments.seeds)
    every.append(nano)
    for constant in CONSTANTS:
        model = load_model("nano", device="cpu")
        add_constant(model, constant)
        twin = generated_clips(model, f"nano with {constant:+g}".replace("-", "−"), arguments.seeds)
        equal = (twin.codes == nano.codes).flatten(1).all(1)
        print(f"{twin.model}: tokens of {int(equal.sum())} of {len(equal)} clips are those of nano\n")
        every.append(twin)
    print(corrections_table(every), parts_table(every), sep="\n\n")
    if arguments.figure:
        save(draw(every), arguments.figure)


if __name__ == "__main__":
    main()
