"""Directions of a study: fitted for each template on the others, from the states of all clips."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from innerear.capture.hooks import capture
from innerear.errors import InputError
from innerear.features.files import load
from innerear.interventions.directions import Direction, between, strongest_feature
from innerear.models import MusicModel
from innerear.stacks.gram_file import GramFile
from innerear.stacks.index import require_stacks, stacks_hash
from innerear.stacks.stack import LayerReader, Stack
from innerear.study.interventions import FEATURES
from innerear.study.prompts import batches
from innerear.timeline import Timeline

#: layer → states [n, C, S, D] of some clips, complete steps only
States = Mapping[int, NDArray]


def stored_states(samples: pd.DataFrame, layers: Sequence[int], site: str) -> Iterator[States]:
    """Yield the states of each clip of a study's index, as they were recorded."""
    for path, content in zip(samples["stack"], samples["content_sha256"], strict=True):
        with Stack(path, content=content) as stack:
            complete = stack.timeline.analysed[stack.complete[stack.timeline.analysed]]
        found = {}
        for layer in layers:
            with LayerReader(path, layer, site, content) as reader:
                states = reader.read(slice(0, reader.shape[1]))
            found[layer] = states[None, :, complete].astype(np.float32)
        yield found


def replayed_states(
    samples: pd.DataFrame, layers: Sequence[int], site: str, model: MusicModel, batch_size: int = 16
) -> Iterator[States]:
    """Yield the states with which another model, a random twin, reads the clips of a study's index."""
    rows = samples.to_dict("records")
    for batch in batches(range(len(rows)), batch_size):
        codes, texts, timeline = read_clips([rows[i] for i in batch])
        how = {"n_steps": timeline.n_steps, "pre_norm": model.pre_norm}
        with capture({site: model.modules(site)}, layers=layers, **how) as recording:
            model.replay(codes, texts, timeline, observe=recording.run)
        complete = timeline.analysed[timeline.complete[timeline.analysed]]
        yield {
            # [S, C, n, D] -> [n, C, S, D]
            layer: recording.all(site, layer).permute(2, 1, 0, 3).float().numpy()[:, :, complete]
            for layer in layers
        }


def read_clips(rows: Sequence[Mapping[str, Any]]) -> tuple[torch.Tensor, list[str], Timeline]:
    """Return codes [B, K, T] and texts of clips of a study's index, and the timeline of the first."""
    found = []
    for row in rows:
        with Stack(row["stack"], content=row["content_sha256"]) as stack:
            codes = torch.from_numpy(stack.codes).long()
            found.append((codes, str(stack.attrs["text"]), stack.timeline))
    return torch.stack([codes for codes, _, _ in found]), [text for _, text, _ in found], found[0][2]


@dataclass(frozen=True)
class ClipFeatures:
    """What fires in the clips of a study in one layer, and what it stands for.

    Attributes
    ----------
    means : [N, F] mean activation of each feature in each clip, over branches.
    decoder : [F, D].
    seen : ids of the prompts that the dictionary was trained on.
    """

    means: NDArray
    decoder: NDArray
    seen: frozenset[str]

    @classmethod
    def read(cls, clips: str | PathLike, dictionary: str | PathLike, samples: pd.DataFrame) -> "ClipFeatures":
        """Read the features of the clips of a study's index, and the dictionary that they are of."""
        with GramFile(clips) as file:
            require_stacks(file, samples)
            recorded = [name for name in ("mean_cond", "mean_uncond") if name in file]
            means = np.mean([file.read(name) for name in recorded], axis=0)
        one = load(dictionary)
        return cls(means, one.decoder.numpy(), frozenset(map(str, one.metadata.get("training_prompts", ()))))


def fit(
    states: Iterator[States],
    samples: pd.DataFrame,
    layers: Sequence[int],
    poles: tuple[str, str],
    sources: Sequence[str],
    templates: Sequence[str],
    path: str | PathLike,
    attrs: Mapping[str, object],
    features: Mapping[int, ClipFeatures] | None = None,
) -> None:
    """Fit every direction, and write them into one file.

    Parameters
    ----------
    states : of all samples, in their order.
    samples : the study's index.
    poles, sources : see `between`; of the source features, see `strongest_feature`.
    templates : for each of them, directions are fitted on all others.
    path, attrs : of the file.
    features : of each layer, where they are a source.

    Notes
    -----
    The file's arrays: `direction` [layer, source, template, d_model]; `seen` [source, template, prompt],
    whether a direction was fitted on a prompt; `label_mean` [layer, template, label, d_model], mean states of
    a label in all templates but one, over branches; `covariance` [layer, d_model, d_model] of the tokens of
    all clips in all branches; `feature` [layer, template], the number of the feature that is taken.
    """
    sums = _Sums()
    for of_clips in states:
        sums.add(of_clips)
    columns = (np.array(samples[name].tolist(), str) for name in ("prompt_id", "emotion", "template"))
    prompt_of, label_of, template_of = columns
    prompts, first = np.unique(prompt_of, return_index=True)
    labels, template = label_of[first], template_of[first]
    names = list(dict.fromkeys(label_of.tolist()))
    kept = [np.flatnonzero(template != one) for one in templates]
    direction, label_mean, covariance, chosen = [], [], [], []
    for layer in layers:
        means = _by_prompt(np.concatenate(sums.means[layer]), prompt_of, prompts)  # [P, C, D]
        vectors = {
            one: [
                between(means[rows], labels[rows].tolist(), poles, layer=layer, source=one).vector
                for rows in kept
            ]
            for one in ("means", *sources)
            if one != FEATURES
        }
        if features:
            fires, decoder = _by_prompt(features[layer].means, prompt_of, prompts), features[layer].decoder
            best = [strongest_feature(fires[rows], decoder, labels[rows].tolist(), poles) for rows in kept]
            chosen.append([latent for latent, _ in best])
            lengths = np.linalg.norm(vectors["means"], axis=1)
            vectors[FEATURES] = [unit * length for (_, unit), length in zip(best, lengths, strict=True)]
        direction.append([vectors[one] for one in sources])
        label_mean.append(
            [[means[rows[labels[rows] == one]].mean(axis=(0, 1)) for one in names] for rows in kept]
        )
        covariance.append(sums.covariance(layer))
    coords = {
        "layer": np.array(layers, np.int32),
        "source": np.array(list(sources)),
        "label": np.array(names),
    }
    coords |= {"template": np.array(list(templates))}
    coords |= {axis: np.arange(len(covariance[0]), dtype=np.int32) for axis in ("d_model", "d_model_2")}
    arrays = {
        "direction": (("layer", "source", "template", "d_model"), np.array(direction, np.float32)),
        "label_mean": (("layer", "template", "label", "d_model"), np.array(label_mean, np.float32)),
        "covariance": (("layer", "d_model", "d_model_2"), np.array(covariance, np.float32)),
    }
    coords["prompt"] = prompts
    seen = np.array([[template != one for one in templates]] * len(sources))
    if features:
        arrays["feature"] = (("layer", "template"), np.array(chosen, np.int32))
        known = set.union(*(set(one.seen) for one in features.values()))
        seen[list(sources).index(FEATURES)] |= np.isin(prompts, list(known))
    arrays |= {"template_of": (("prompt",), template), "seen": (("source", "template", "prompt"), seen)}
    own = {"stacks_sha256": stacks_hash(samples), "start": poles[0], "end": poles[1], **attrs}
    GramFile.write(path, arrays, coords, own)


def _by_prompt(values: NDArray, prompt_of: NDArray, prompts: NDArray) -> NDArray:
    """Return the means of clips' values [N, …] over the clips of each prompt, [P, …]."""
    return np.stack([values[prompt_of == one].mean(axis=0) for one in prompts])


class _Sums:
    """Mean states of each clip, and sums over all tokens, layer by layer."""

    def __init__(self) -> None:
        self.means: dict[int, list[NDArray]] = {}
        self._n: dict[int, int] = {}
        self._sum: dict[int, NDArray] = {}
        self._products: dict[int, NDArray] = {}

    def add(self, states: States) -> None:
        """Take in a batch of clips' states."""
        for layer, of_clips in states.items():
            if not of_clips.shape[2]:
                raise InputError(
                    "no step is complete (holds all codebooks): set a longer generation.duration"
                )
            self.means.setdefault(layer, []).append(of_clips.mean(axis=2, dtype=float))
            tokens = of_clips.reshape(-1, of_clips.shape[-1])
            self._n[layer] = self._n.get(layer, 0) + len(tokens)
            self._sum[layer] = self._sum.get(layer, 0.0) + tokens.sum(axis=0, dtype=float)
            self._products[layer] = self._products.get(layer, 0.0) + (tokens.T @ tokens).astype(float)

    def covariance(self, layer: int) -> NDArray:
        """Return the covariance of tokens [D, D]."""
        mean = self._sum[layer] / self._n[layer]
        return self._products[layer] / self._n[layer] - np.outer(mean, mean)


class Directions:
    """The file that `fit` writes, opened: its directions refuse the prompts that they were fitted on.

    `features` are the numbers [layer, template] of the features that are taken, None where there are none.
    """

    def __init__(self, path: str | PathLike) -> None:
        with GramFile(path) as file:
            self.layers = [int(layer) for layer in file.coords("layer")]
            self.sources, self.templates = file.labels("source"), file.labels("template")
            self.labels = file.labels("label")
            self.site, self.attrs = str(file.attrs["site"]), dict(file.attrs)
            self._direction, self._label_mean = file.read("direction"), file.read("label_mean")
            self._covariance, self._seen = file.read("covariance"), file.read("seen")
            self._prompts = dict(zip(file.labels("prompt"), file.labels("template_of"), strict=True))
            self.features = file.read("feature") if "feature" in file else None

    def direction(self, layer: int, source: str, template: str) -> Direction:
        """Return the direction for clips of one template, fitted on the others."""
        place = self.sources.index(source), self._of(template)
        seen = frozenset(
            prompt for prompt, known in zip(self._prompts, self._seen[place], strict=True) if known
        )
        return Direction(self._direction[(self.layers.index(layer), *place)], layer, self.site, source, seen)

    def subspace(self, layer: int, template: str) -> tuple[NDArray, NDArray]:
        """Return differences between labels [Q, D] in the other templates, and their mean [D]."""
        means = self._label_mean[self.layers.index(layer), self._of(template)]
        return means - means.mean(axis=0), means.mean(axis=0)

    def covariance(self, layer: int) -> NDArray:
        """Return the covariance of a layer's tokens [D, D]."""
        return self._covariance[self.layers.index(layer)]

    def prompts(self, template: str) -> list[str]:
        """Return the ids of a template's prompts."""
        return [prompt for prompt, of in self._prompts.items() if of == template]

    def _of(self, template: str) -> int:
        if template not in self.templates:
            raise InputError(
                f"no direction was fitted without template {template!r}; there are {self.templates}"
            )
        return self.templates.index(template)
