"""Clips of a study's interventions, made up: loudness follows the dose, or does not."""

import fakes
import numpy as np
import pandas as pd
from fakes import Stored

LABELS = ("calm", "energetic", "happy", "sad")
POLES = ("calm", "energetic")
TEMPLATES = tuple(f"t{number}" for number in range(8))
LAYERS = (0, 3)
FEATURES = ("loudness", "centroid", "flatness")
STATISTICS = {"permutations": 199, "bootstraps": 50, "seed": 0}
#: loudness of each label; the other features are noise
_LOUDNESS = dict(zip(LABELS, (-30.0, -15.0, -24.0, -20.0), strict=True))


class SteeredSounds(Stored):
    """The sounds [10, n] of a layer: two templates at doses −½, 0 and ½, then 4 random directions."""

    def __init__(self, sounds, rate=8000):
        arrays = {
            "audio": (("template", "dose", "sample"), sounds[:6].reshape(2, 3, -1)),
            "random_audio": (("draw", "sample"), sounds[6:]),
            "random_template": (("draw",), np.array([0, 1, 0, 1])),
        }
        super().__init__(arrays, {"template": ["t0", "t1"], "dose": np.array([-0.5, 0, 0.5])})
        self.attrs, self.rate = self, rate

    def whole(self, name):
        return {"sample_rate": self.rate}[name]


def sheet(rng):
    """The index of a study of two seeds, and its clip features."""
    samples = fakes.sheet(TEMPLATES, 2, LABELS).sort_values("template", kind="stable", ignore_index=True)
    clips = pd.DataFrame(
        [
            (sample, feature, _value(feature, _LOUDNESS[label], rng))
            for sample, label in zip(samples["sample_id"], samples["emotion"], strict=True)
            for feature in FEATURES
        ],
        columns=["sample_id", "feature", "value"],
    )
    return samples, clips


def steered(rng, *, weights="trained", effect=30.0, random=2.0, draws=39, lacks=None, features=()):
    """Clips of two layers at doses of ¼ and ½: loudness is `effect` × dose above that of neutral ones.

    Along random directions the effect is normal, with this spread. `lacks` names a template without values.
    Directions of features steer the templates `features` as well as those of means do.
    """
    rows = []
    conditions = [("none", 0.0, -1)] + [("means", dose, -1) for dose in (0.25, 0.5, -0.25, -0.5)]
    conditions += [
        (source, dose, -1) for source in ("delta", *["features"] * bool(features)) for dose in (0.5, -0.5)
    ]
    steered_by = {"random": TEMPLATES[:3], "features": features}
    for layer in LAYERS:
        turns = rng.normal(0, random, draws)
        drawn = [("random", dose, draw) for draw in range(draws) for dose in (0.5, -0.5)]
        for source, dose, draw in conditions + drawn:
            for template in steered_by.get(source, TEMPLATES):
                slope = turns[draw] if source == "random" else effect * (source in ("means", "features"))
                loudness = -22 + slope * dose
                values = [_value(feature, loudness, rng) for feature in FEATURES]
                if template == lacks and dose == 0.5 and source == "means":
                    values = [np.nan] * len(FEATURES)
                nll = np.nan if source == "random" else 2 + dose**2 + 0.01 * rng.normal()
                feature = (7 if template in TEMPLATES[:6] else 9) if source == "features" else -1
                named = (layer, source, "both", dose, draw, template, 0, feature)
                rows.append((*named, 1 + abs(dose), nll, *values, "", weights))
    names = [
        "layer",
        "source",
        "branch",
        "dose",
        "draw",
        "template",
        "seed",
        "feature",
        "distance",
        "nll",
        *FEATURES,
        "reason",
        "weights",
    ]
    return pd.DataFrame(rows, columns=names)


def ablated(rng, used=True):
    """Clips of all labels without a subspace; without the labels' own they all sound alike, if it is used."""
    rows = []
    for layer in ("3", "all"):
        for subspace in ("labels", "random"):
            for template in TEMPLATES:
                for label in LABELS:
                    loudness = -22.0 if used and subspace == "labels" else _LOUDNESS[label]
                    values = [_value(feature, loudness, rng) for feature in FEATURES]
                    rows.append((layer, subspace, f"{template}-{label}", label, template, 0, *values, ""))
    names = ["layer", "subspace", "prompt", "emotion", "template", "seed", *FEATURES, "reason"]
    return pd.DataFrame(rows, columns=names)


def patched(rng, cost=0.1):
    """Likelihoods with cond's states of another text: they cost so much in layer 3 and nothing in layer 0."""
    rows = []
    for template in TEMPLATES:
        for label in POLES:
            own = 2 + rng.normal(0, 0.1)
            rows.append(("none", "", "whole", template, label, 0, own))
            rows.append(("none", "text", "whole", template, label, 0, own + cost + rng.normal(0, 0.01)))
            for layer in LAYERS:
                for window in ("whole", "first half"):
                    more = cost * (layer == 3) + rng.normal(0, 0.01)
                    rows.append((str(layer), "text", window, template, label, 0, own + more))
                rows.append(
                    (str(layer), "history", "first half", template, label, 0, own + 4 + rng.normal(0, 0.1))
                )
    return pd.DataFrame(rows, columns=["layer", "differs", "window", "template", "emotion", "seed", "nll"])


def _value(feature, loudness, rng):
    return {"loudness": loudness + rng.normal(0, 0.5), "centroid": rng.normal(500, 50)}.get(
        feature, rng.normal()
    )
