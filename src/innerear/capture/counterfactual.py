"""Read every clip of a template under every text of the template, and compare the states.

A cell is one clip's codes under one text. One teacher-forced pass gives the states of all steps; nothing is
generated. A layer's file keeps the inner products between cells and the means over seeds, not the states.
Memory holds the states of a group of layers and one layer's Gram; each group is one more pass over all cells.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from innerear.capture.hooks import capture as record
from innerear.errors import InputError
from innerear.gram.reading import named_windows
from innerear.io.files import atomic
from innerear.models import DISTRIBUTIONS, MusicModel
from innerear.stacks import GramFile, Stack, part_name
from innerear.stacks.gram_file import Arrays, Coords
from innerear.study.prompts import batches
from innerear.study.text_swaps import NEUTRAL, NONE, PARAPHRASE
from innerear.timeline import Timeline

#: distributions of each cell's likelihood; without a text both are that of the uncond branch
KEPT = ("cond", "guided")


@dataclass(frozen=True)
class Clip:
    """A finished clip. Its codes are read again."""

    sample: str
    emotion: str
    seed: int
    text: str
    codes: np.ndarray  # int16 [K, T]


class TextPass(NamedTuple):
    """Clips, by number, that are run together under one text each; `text` names it."""

    text: str
    clips: tuple[int, ...]
    prompts: tuple[str, ...]


class Cells:
    """The cells of a template: clip × text, in the order of every cell axis.

    Parameters
    ----------
    clips : emotion by emotion, seed by seed; the same seeds for each emotion.
    neutral : the template's text without an emotion; None leaves it out.
    paraphrases : another wording of each emotion's prompt; empty leaves it out.

    Attributes
    ----------
    emotions, seeds : E and R of them, in order.
    texts : B names: the emotions, neutral, none, paraphrase.
    prompts : what is read in each cell [n cells]; "" for no text.
    core : bool [n cells]; all but the paraphrases, whose mean is the origin.

    Raises
    ------
    InputError: clips that are not fully crossed, or whose emotions have several texts.
    """

    def __init__(self, clips: Sequence[Clip], neutral: str | None, paraphrases: Mapping[str, str]) -> None:
        self.clips = list(clips)
        self.emotions = list(dict.fromkeys(clip.emotion for clip in clips))
        self.seeds = list(dict.fromkeys(clip.seed for clip in clips))
        crossed = [(emotion, seed) for emotion in self.emotions for seed in self.seeds]
        if [(clip.emotion, clip.seed) for clip in clips] != crossed or len(self.emotions) < 2:
            raise InputError(
                f"the clips {', '.join(clip.sample for clip in clips)} are not two or more emotions × the "
                "same seeds, emotion by emotion: give all clips of one template"
            )
        self._by_text = {clip.emotion: [clip.text] * len(clips) for clip in clips}
        for clip in clips:
            other = self._by_text[clip.emotion][0]
            if clip.text != other:
                raise InputError(
                    f"{clip.sample} was made from {clip.text!r}, another clip of {clip.emotion!r} from "
                    f"{other!r}: texts can be swapped where a template has one prompt for each emotion"
                )
        if neutral:
            self._by_text[NEUTRAL] = [neutral] * len(clips)
        self._by_text[NONE] = [""] * len(clips)
        if paraphrases:
            self._by_text[PARAPHRASE] = [paraphrases[clip.emotion] for clip in clips]
        self.texts = list(self._by_text)
        self.prompts = [self._by_text[text][clip] for clip in range(len(clips)) for text in self.texts]
        self.core = np.array([text != PARAPHRASE for _ in clips for text in self.texts])

    def __len__(self) -> int:
        return len(self.clips) * len(self.texts)

    def of(self, text: str, clips: Sequence[int]) -> list[int]:
        """Return the cells of some clips under a text."""
        return [clip * len(self.texts) + self.texts.index(text) for clip in clips]

    def passes(self, batch_size: int) -> Iterator[TextPass]:
        """Yield what is run: every clip under every text, at most so many clips at a time.

        No text needs no pass: a clip's states without text are the uncond branch of the pass under its own
        prompt.
        """
        for text in self.texts:
            if text == NONE:
                continue
            for clips in batches(range(len(self.clips)), batch_size):
                yield TextPass(text, clips, tuple(self._by_text[text][clip] for clip in clips))

    def coordinates(self) -> tuple[Arrays, Coords]:
        """Return what a file says of each cell, and the coordinates of the cell axes."""
        clips = [clip for clip in self.clips for _ in self.texts]
        texts = {
            "codes": [clip.sample for clip in clips],
            "codes_emotion": [clip.emotion for clip in clips],
            "text": self.texts * len(self.clips),
            "prompt": self.prompts,
        }
        arrays: Arrays = {name: (("cell",), np.array(values)) for name, values in texts.items()}
        arrays["seed"] = (("cell",), np.array([clip.seed for clip in clips], np.int64))
        return arrays, {"cell": np.arange(len(self), dtype=np.int32)}


def replay_templates(
    model: MusicModel,
    templates: Sequence[Mapping[str, Any]],
    folders: Sequence[str | PathLike],
    made_with: Any = None,
    **how: Any,
) -> int:
    """Replay several templates, each as `replay_template` does; their folders appear together at the end.

    The workflow removes the folders of a job that failed or was stopped, also those that are whole. Each is
    therefore made next to its place, in a hidden folder and under a name that stands for all that it is made
    of. There the next run of the job finds it.

    Parameters
    ----------
    templates : arguments of `replay_template` for each, as JSON can hold them; `how` are those of all.
    made_with : what else the results depend on, as JSON can hold it: settings of the model, the code.

    Returns
    -------
    The number of passes, without those of an earlier run.
    """
    made, passes = dict[Path, Path](), 0
    for folder, own in zip(map(Path, folders), templates, strict=True):
        made_of = json.dumps([own, how, made_with, model.identity()], sort_keys=True)
        digest = hashlib.sha256(made_of.encode()).hexdigest()
        made[folder] = folder.with_name(f".{folder.name}") / digest
        if not made[folder].exists():
            print(folder, file=sys.stderr)
            passes += replay_template(model, folder=made[folder], name=folder, **own, **how)
    for folder, hidden in made.items():
        os.replace(hidden, folder)
        shutil.rmtree(hidden.parent)  # with what an earlier job left there
    return passes


def replay_template(
    model: MusicModel,
    stacks: Sequence[str | PathLike],
    folder: str | PathLike,
    *,
    name: str | PathLike | None = None,
    contents: Sequence[str] | None = None,
    stacks_sha256: str | None = None,
    layers: Sequence[int],
    neutral: str | None,
    paraphrases: Mapping[str, str],
    site: str = "residual",
    batch_size: int = 16,
    layers_at_once: int | None = None,
    keep_states: bool = False,
    dtype: str = "float16",
) -> int:
    """Read the clips of a template under all of its texts, and write each layer's Gram and the likelihoods.

    Parameters
    ----------
    model : that composed the clips, or its twin with random weights.
    stacks : of the template's clips: emotion by emotion, seed by seed.
    folder : appears once it is whole. Its files, named by `innerear.stacks.part_name`: one of `cell_gram` for
        each layer, and the tokens' negative log-likelihood, float32 [cell, distribution, codebook, frame] in
        nats, of the distributions `KEPT`.
    name : where the folder will lie in the end, if it gets another name.
    contents, stacks_sha256 : content hashes that the stacks must have, as the study's index lists them, and
        their `innerear.stacks.stacks_hash`, which the files keep.
    layers, site : whose states.
    neutral, paraphrases : as `Cells` takes them.
    batch_size : clips of a pass at most.
    layers_at_once : layers whose states are held in memory together; all if not given.
    keep_states : keep the cells' states too, [cell, step, d_model] in the layers' files.
    dtype : of states, and of their means over seeds, as kept: ``"float16"`` or ``"float32"``.

    Returns
    -------
    The number of passes: clips under a text, for each group of layers.

    Raises
    ------
    InputError: a stack that is missing, of other weights, or of another length; clips that are not crossed.
    """
    clips, timeline, stored = _read_clips(stacks, contents, model)
    cells = Cells(clips, neutral, paraphrases)
    where, coords = cells.coordinates()
    steps = timeline.analysed
    seconds, complete = timeline.seconds[steps], timeline.complete[steps]
    attrs = {name: stored[name] for name in ("study", "template", "frame_rate", "model_identity")} | {
        "model": model.name,
        "weights": "trained" if model.identity() == stored["model_identity"] else "random_init",
        "weights_identity": model.identity(),
        "guidance": float(stored.get("generation_guidance", 1.0)),
        "site": site,
        "stacks_sha256": stacks_sha256,
    }
    groups, name = list(batches(sorted(layers), layers_at_once or len(layers))), name or folder
    with atomic(folder) as parts:
        for number, group in enumerate(groups, start=1):
            print(f"layers {group[0]} to {group[-1]}, group {number} of {len(groups)}", file=sys.stderr)
            states, nll = _read(model, cells, timeline, group, site, batch_size, attrs["guidance"])
            if number == 1:
                arrays = where | {"nll": (("cell", "distribution", "codebook", "frame"), nll)}
                axes = dict(zip(("codebook", "frame"), map(np.arange, nll.shape[2:]), strict=True))
                axes |= coords | {"distribution": np.array(KEPT)}
                GramFile.write(parts / part_name(), arrays, axes, attrs, Path(name, part_name()))
            for layer in group:
                of_layer = states.pop(layer)
                arrays, axes = cell_gram(of_layer, cells, complete, dtype)
                arrays |= where | {"seconds": (("step",), seconds)}
                if keep_states:
                    own = _stored(of_layer.swapaxes(0, 1), dtype)
                    arrays["states"] = (("cell", "step", "d_model"), own)
                own, named = attrs | {"layer": layer}, Path(name, part_name(layer))
                GramFile.write(parts / part_name(layer), arrays, coords | axes, own, named)
    return sum(len(one.clips) for one in cells.passes(batch_size)) * len(groups)


def _read_clips(
    stacks: Sequence[str | PathLike], contents: Sequence[str] | None, model: MusicModel
) -> tuple[list[Clip], Timeline, dict[str, Any]]:
    """Return the clips, and the timeline (the same for all) and attributes of the first."""
    clips, found = [], []
    for path, content in zip(stacks, contents or [None] * len(stacks), strict=True):
        with Stack(path, content=content) as source:
            attrs = source.attrs
            clips.append(
                Clip(attrs["sample_id"], attrs["emotion"], int(attrs["seed"]), attrs["text"], source.codes)
            )
            found.append((source.timeline, attrs))
        # A twin's identity names the weights that it replaces.
        if attrs["model_identity"] not in (model.identity(), model.identity().partition(";random_init:")[0]):
            raise InputError(
                f"{path} was made with weights {attrs['model_identity']}, but {model.name} has "
                f"{model.identity()}; replay clips with the model that composed them, or with its "
                "random_init twin"
            )
        if found[-1][0] != found[0][0]:
            raise InputError(
                f"{path} has another timeline than {stacks[0]}: clips that are compared must be of one "
                "length; generate the study again with one duration"
            )
    return clips, *found[0]


def _read(
    model: MusicModel,
    cells: Cells,
    timeline: Timeline,
    layers: Sequence[int],
    site: str,
    batch_size: int,
    guidance: float,
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Run all passes; return states [S, cell, D] by layer, as the model has them, and nll [cell, 2, K, T]."""
    states: dict[int, np.ndarray] = {}
    shape = (len(cells), len(KEPT), timeline.n_codebooks, timeline.n_frames)
    nll = np.empty(shape, np.float32)
    kept = [DISTRIBUTIONS.index(name) for name in KEPT]
    without = DISTRIBUTIONS.index("uncond")
    modules = {site: model.modules(site)}
    steps = timeline.analysed
    for run in tqdm(list(cells.passes(batch_size)), desc="replay", unit="batch"):
        codes = torch.from_numpy(np.stack([cells.clips[clip].codes for clip in run.clips])).long()
        with record(modules, n_steps=timeline.n_steps, pre_norm=model.pre_norm, layers=layers) as recording:
            replayed = model.replay(codes, run.prompts, timeline, guidance=guidance, observe=recording.run)
        losses = replayed.numpy()  # [B, distribution, K, T]
        into = cells.of(run.text, run.clips)
        own = [i for i, clip in enumerate(run.clips) if cells.clips[clip].emotion == run.text]
        into_none = cells.of(NONE, [run.clips[i] for i in own])
        nll[into] = losses[:, kept]
        nll[into_none] = losses[own, without][:, None]
        cond, uncond = (recording.branches.index(branch) for branch in ("cond", "uncond"))
        for layer in layers:
            recorded = recording.all(site, layer).numpy()[steps]  # [S, C, B, D]
            if layer not in states:
                states[layer] = np.empty((len(steps), len(cells), recorded.shape[-1]), recorded.dtype)
            states[layer][:, into] = recorded[:, cond]
            states[layer][:, into_none] = recorded[:, uncond][:, own]
    return states, nll


def cell_gram(
    states: np.ndarray, cells: Cells, complete: np.ndarray, dtype: str = "float32"
) -> tuple[Arrays, Coords]:
    """Return the inner products between a layer's cells.

    Parameters
    ----------
    states : [S, cell, D], cond states of each cell; without text those of uncond.
    cells : of the template.
    complete : bool [S]; windows cover the complete steps only.
    dtype : of the means over seeds.

    Returns
    -------
    Arrays, each with the names of its axes, and the coordinates of the axes. Products are float32, of states
    about the mean over the core (all cells but the paraphrases), summed in float64.

    - `gram` [step, cell, cell_2], `mean_product` [step, cell], `mean_norm` [step]: from these three
      `innerear.gram.reading.raw_gram` restores the products of the states as they are.
    - `window_gram`, `window_mean_product`, `window_mean_norm`: the same of states averaged over a window.
    - `cell_mean` [step, emotion, text_of_all, d_model], `window_cell_mean`: states averaged over seeds, not
      centred, by the emotion of the codes and the text; without the paraphrases.
    - `complete` bool [step].

    Raises
    ------
    InputError: values that are not finite, or past the range of `dtype`; no complete step.
    """
    if not complete.any():
        raise InputError("no step is complete (holds all codebooks): set a longer generation.duration")
    windows = named_windows(complete)
    means = np.stack([states[begin:stop].mean(axis=0, dtype=float) for begin, stop in windows.values()])
    arrays: Arrays = {}
    for axis, prefix, values in (("step", "", states), ("window", "window_", means)):
        found = [_products(features, cells, where) for where, features in enumerate(values)]
        for name, axes in {"gram": ("cell", "cell_2"), "mean_product": ("cell",), "mean_norm": ()}.items():
            arrays[prefix + name] = ((axis, *axes), np.stack([one[name] for one in found]))
        dims = (axis, "emotion", "text_of_all", "d_model")
        arrays[f"{prefix}cell_mean"] = (dims, _stored(_over_seeds(values, cells), dtype))
    arrays["complete"] = (("step",), complete)
    coords = {
        "cell_2": np.arange(len(cells), dtype=np.int32),
        "step": np.arange(len(states), dtype=np.int32),
        "window": np.array(list(windows)),
        "emotion": np.array(cells.emotions),
        "text_of_all": np.array([text for text in cells.texts if text != PARAPHRASE]),
        "d_model": np.arange(states.shape[-1], dtype=np.int32),
    }
    return arrays, coords


def _products(features: np.ndarray, cells: Cells, where: int) -> dict[str, np.ndarray]:
    """Compute one step's, or window's, results from the features [cell, D]."""
    wide = features.astype(float)
    if not np.isfinite(wide).all():
        cell = int(np.flatnonzero(~np.isfinite(wide).all(axis=1))[0])
        raise InputError(
            f"the states of {cells.clips[cell // len(cells.texts)].sample} under "
            f"{cells.prompts[cell]!r} are not finite at step {where}: the model itself overflowed; set "
            "model.dtype: float32"
        )
    mean = wide[cells.core].mean(axis=0)
    centred = wide - mean
    found = {"gram": centred @ centred.T, "mean_product": centred @ mean, "mean_norm": np.sqrt(mean @ mean)}
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def _over_seeds(values: np.ndarray, cells: Cells) -> np.ndarray:
    """Average states [step or window, cell, D] over seeds: [step or window, E, B without paraphrase, D]."""
    shape = (len(values), len(cells.emotions), len(cells.seeds), len(cells.texts), values.shape[-1])
    n_texts = len(cells.texts) - (PARAPHRASE in cells.texts)  # which comes last
    wide = np.float32 if values.dtype.itemsize < 8 else float
    return values.reshape(shape)[:, :, :, :n_texts].mean(axis=2, dtype=wide)


def _stored(states: np.ndarray, dtype: str) -> np.ndarray:
    """Return states as they are kept."""
    with np.errstate(over="ignore"):
        kept = states.astype(dtype)
    if not np.isfinite(kept).all():
        raise InputError(f"a state is past the range of {dtype}; set capture.dtype: float32")
    return kept
