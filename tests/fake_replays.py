"""Clips that were read again under other texts, made up for tests: their states, and their likelihood."""

import numpy as np
from fakes import EMOTIONS, Measured

EXTRA = ("neutral", "none", "paraphrase")
PADS = 3
#: of likelihoods
TEXTS = (*EMOTIONS, "neutral", "none")


class Replayed(Measured):
    """An open file of rule counterfactual, in memory, of states [E, R, B, S, D]."""

    def __init__(self, x, emotions, seeds, template, texts=EXTRA):
        n, n_texts = len(emotions), len(emotions) + len(texts)
        names = [*emotions, *texts]
        core = [i for i, name in enumerate(names) if name != "paraphrase"]
        complete = np.ones(x.shape[3], bool)
        complete[:PADS] = complete[len(complete) - PADS :] = False
        kept = np.flatnonzero(complete)
        spans = {"whole": kept, "first_10": kept[: len(kept) // 4], "last_10": kept[-(len(kept) // 4) :]}
        windows = np.stack([x[:, :, :, span].mean(axis=3) for span in spans.values()], axis=3)
        cells = [(a, r, b) for a in range(n) for r in range(len(seeds)) for b in range(n_texts)]
        self.arrays = {
            "complete": (("step",), complete),
            "seconds": (("step",), np.arange(len(complete)) / 50),
        }
        self.axes = {
            "step": np.arange(len(complete)),
            "window": np.array(list(spans)),
            "text_of_all": np.array([names[b] for b in core]),
            "codes": np.array([f"{template}-{emotions[a]}/seed-{seeds[r]}" for a, r, _ in cells]),
            "codes_emotion": np.array([emotions[a] for a, _, _ in cells]),
            "text": np.array([names[b] for _, _, b in cells]),
        }
        for axis, prefix, states in (("step", "", x), ("window", "window_", windows)):
            flat = np.moveaxis(states, 3, 0)  # [S, E, R, B, D]
            mean = flat[:, :, :, core].mean(axis=(1, 2, 3))
            about = (flat - mean[:, None, None, None]).reshape(len(flat), len(cells), -1)
            of_seeds = flat[:, :, :, core].mean(axis=2)
            for name, dims, values in (
                ("gram", (axis, "cell", "cell_2"), about @ about.swapaxes(1, 2)),
                ("mean_product", (axis, "cell"), (about @ mean[:, :, None])[..., 0]),
                ("mean_norm", (axis,), np.sqrt((mean**2).sum(axis=1))),
            ):
                self.arrays[prefix + name] = (dims, values.astype(np.float32))
            self.arrays[f"{prefix}cell_mean"] = ((axis, "emotion", "text_of_all", "d_model"), of_seeds)


def directions(rng, n, d, general):
    """Deviations [*n, D] of mean square 1; n[0] templates have the same ones, or each its own."""
    shape = (1 if general else n[0], *n[1:], d)
    x = rng.normal(size=shape)
    x = np.broadcast_to(x, (n[0], *n[1:], d)).copy()
    for axis in range(1, len(n)):
        x -= x.mean(axis=axis, keepdims=True)
    mean_square = (x**2).sum(axis=-1).mean(axis=tuple(range(1, len(n))), keepdims=True)
    return x / np.sqrt(mean_square)[..., None]


def network(
    design,
    *,
    text=0.0,
    history=0.0,
    interaction=0.0,
    clip=1.0,
    seed_effect=0.0,
    cell=0.0,
    paraphrase=0.0,
    shared=False,
    general=False,
    n_steps=20,
    d=12,
    seed=0,
):
    """States [T][E, R, B, S, D] of a synthetic network; each number is the variance of one effect.

    `text` and `history` may be arrays [S]. `shared` gives text and history one direction. `clip` is what is
    of one clip alone, `cell` of one clip under one text, `seed_effect` common to all clips of a seed, in all
    templates.
    """
    rng = np.random.default_rng(seed)
    n, n_seeds, n_templates = len(np.unique(design.labels)), len(design.seeds), design.n_blocks
    of_text = directions(rng, (n_templates, n), d, general)
    of_history = of_text if shared else directions(rng, (n_templates, n), d, general)
    of_both = directions(rng, (n_templates, n, n), d, general)
    level = [np.sqrt(np.broadcast_to(v, n_steps))[:, None] for v in (text, history, interaction)]
    n_texts = n + len(EXTRA)

    def noise(*shape):
        return rng.normal(size=(*shape, n_steps, d)) / np.sqrt(d)

    common = np.sqrt(seed_effect) * noise(1, n_seeds, 1)
    replies = []
    for t in range(n_templates):
        x = np.zeros((n, n_seeds, n_texts, n_steps, d))
        x += 3 + common + np.sqrt(clip) * noise(n, n_seeds, 1) + np.sqrt(cell) * noise(n, n_seeds, n_texts)
        x += level[1] * of_history[t][:, None, None, None]
        x[:, :, :n] += level[0] * of_text[t][:, None] + level[2] * of_both[t][:, None, :, None]
        own = np.arange(n)
        # The paraphrase is the own text, said otherwise.
        x[:, :, -1] = x[own, :, own] + np.sqrt(2 * paraphrase) * noise(n, 1)
        replies.append(x)
    return replies


class Likelihoods(Measured):
    """An open likelihood file, in memory, of values [E, R, B, dist, K, T]."""

    def __init__(self, nll, template):
        n, n_seeds, n_texts, *rest = nll.shape
        cells = [(a, r, b) for a in range(n) for r in range(n_seeds) for b in range(n_texts)]
        values = nll.reshape(len(cells), *rest).astype(np.float32)
        self.arrays = {"nll": (("cell", "distribution", "codebook", "frame"), values)}
        self.axes = {
            "codes": np.array([f"{template}-{EMOTIONS[a]}/seed-{r}" for a, r, _ in cells]),
            "codes_emotion": np.array([EMOTIONS[a] for a, _, _ in cells]),
            "text": np.array([TEXTS[b] for _, _, b in cells]),
            "distribution": np.array(["cond", "guided"]),
            "codebook": np.arange(nll.shape[4]),
        }


def likelihoods(design, cost=0.0, seed=0, n_frames=20):
    """Values [T][E, R, B, 2, 2, frames]: clips and texts differ, and another emotion's text costs `cost`."""
    rng = np.random.default_rng(seed)
    shape = (design.n_blocks, 4, len(design.seeds), len(TEXTS), 2, 2, n_frames)
    nll = 3 + rng.normal(size=(*shape[:3], 1, 1, 1, 1)) + rng.normal(size=(shape[0], 1, 1, shape[3], 1, 1, 1))
    nll = nll + 0.2 * rng.normal(size=shape)
    other = np.ones((4, len(TEXTS)))
    other[np.arange(4), np.arange(4)] = 0
    nll += cost * other[:, None, :, None, None, None]
    return nll
