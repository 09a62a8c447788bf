"""Directions of a study: fitted for each template on the others, from the states of all clips."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from innerear.capture.hooks import capture
from innerear.errors import InputError
from innerear.features.files import load_own
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
    """The features that fire in a study's clips in one layer, their decoder vectors and training prompts.

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
        one = load_own(Path(dictionary))
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
    sums, prompts = _Sums(), _Prompts(samples, templates)
    for of_clips in states:
        sums.add(of_clips)
    direction, label_mean, covariance, chosen = [], [], [], []
    for layer in layers:
        means = prompts.means(np.concatenate(sums.means[layer]))  # [P, C, D]
        vectors = {
            one: prompts.between(means, poles, layer=layer, source=one)
            for one in ("means", *sources)
            if one != FEATURES
        }
        if features:
            lengths = np.linalg.norm(vectors["means"], axis=1)
            numbers, vectors[FEATURES] = prompts.along_features(features[layer], poles, lengths)
            chosen.append(numbers)
        direction.append([vectors[one] for one in sources])
        label_mean.append(prompts.label_means(means))
        covariance.append(sums.covariance(layer))
    coords = {"layer": np.array(layers, np.int32), "source": np.array(list(sources))}
    coords |= {"label": np.array(prompts.names), "template": np.array(list(templates)), "prompt": prompts.ids}
    coords |= {axis: np.arange(len(covariance[0]), dtype=np.int32) for axis in ("d_model", "d_model_2")}
    known = {FEATURES: frozenset[str]().union(*(one.seen for one in features.values()))} if features else {}
    seen = [prompts.seen(known.get(one, ())) for one in sources]
    arrays = {
        "direction": (("layer", "source", "template", "d_model"), np.array(direction, np.float32)),
        "label_mean": (("layer", "template", "label", "d_model"), np.array(label_mean, np.float32)),
        "covariance": (("layer", "d_model", "d_model_2"), np.array(covariance, np.float32)),
        "template_of": (("prompt",), prompts.template),
        "seen": (("source", "template", "prompt"), np.array(seen)),
    }
    if features:
        arrays["feature"] = ("layer", "template"), np.array(chosen, np.int32)
    own = {"stacks_sha256": stacks_hash(samples), "start": poles[0], "end": poles[1], **attrs}
    GramFile.write(path, arrays, coords, own)


class _Prompts:
    """The P prompts of a study, and which of them the directions for each template are fitted on.

    Attributes
    ----------
    ids, labels, template : [P].
    names : the labels that there are.
    """

    def __init__(self, samples: pd.DataFrame, templates: Sequence[str]) -> None:
        columns = (np.array(samples[name].tolist(), str) for name in ("prompt_id", "emotion", "template"))
        self._of_clip, label_of, template_of = columns
        self.ids, first = np.unique(self._of_clip, return_index=True)
        self.labels, self.template = label_of[first], template_of[first]
        self.names = list(dict.fromkeys(label_of.tolist()))
        self._kept = [self.template != one for one in templates]

    def means(self, values: NDArray) -> NDArray:
        """Return the means of clips' values [N, …] over the clips of each prompt, [P, …]."""
        return np.stack([values[self._of_clip == one].mean(axis=0) for one in self.ids])

    def between(self, means: NDArray, poles: tuple[str, str], *, layer: int, source: str) -> list[NDArray]:
        """Return the vector for each template of prompts' means [P, C, D]."""
        return [
            between(means[rows], self.labels[rows].tolist(), poles, layer=layer, source=source).vector
            for rows in self._kept
        ]

    def along_features(
        self, features: ClipFeatures, poles: tuple[str, str], lengths: NDArray
    ) -> tuple[list[int], list[NDArray]]:
        """Return the number of the strongest feature for each template, and its vector of a length."""
        fires = self.means(features.means)
        found = [
            strongest_feature(fires[rows], features.decoder, self.labels[rows].tolist(), poles)
            for rows in self._kept
        ]
        vectors = [unit * length for (_, unit), length in zip(found, lengths, strict=True)]
        return [number for number, _ in found], vectors

    def label_means(self, means: NDArray) -> list[list[NDArray]]:
        """Return the mean over prompts [P, C, D] of each label, for each template."""
        return [
            [means[rows & (self.labels == one)].mean(axis=(0, 1)) for one in self.names]
            for rows in self._kept
        ]

    def seen(self, more: Iterable[str]) -> list[NDArray]:
        """Return which prompts [P] a direction for each template was fitted on, with some more."""
        return [rows | np.isin(self.ids, list(more)) for rows in self._kept]


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
    """The file that `fit` writes, opened: its directions refuse the prompts that they were fitted on."""

    def __init__(self, path: str | PathLike) -> None:
        with GramFile(path) as file:
            self.layers = [int(layer) for layer in file.coords("layer")]
            self.sources, self.templates = file.labels("source"), file.labels("template")
            self.labels = file.labels("label")
            self.site, self.attrs = str(file.attrs["site"]), dict(file.attrs)
            self._direction, self._label_mean = file.read("direction"), file.read("label_mean")
            self._covariance, self._seen = file.read("covariance"), file.read("seen")
            self._prompts = dict(zip(file.labels("prompt"), file.labels("template_of"), strict=True))
            self._feature = file.read("feature") if "feature" in file else None

    def direction(self, layer: int, source: str, template: str) -> Direction:
        """Return the direction for clips of one template, fitted on the others."""
        place = self.sources.index(source), self._of(template)
        seen = frozenset(
            prompt for prompt, known in zip(self._prompts, self._seen[place], strict=True) if known
        )
        return Direction(self._direction[(self.layers.index(layer), *place)], layer, self.site, source, seen)

    def feature(self, layer: int, source: str, template: str) -> int:
        """Return the number of the feature that a direction is of; −1 where it is of none."""
        if source != FEATURES or self._feature is None:
            return -1
        return int(self._feature[self.layers.index(layer), self._of(template)])

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
