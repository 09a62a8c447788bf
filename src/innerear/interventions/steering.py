"""Compose the clips of a study's interventions: steered along directions, and without a subspace."""

from collections.abc import Mapping, Sequence
from itertools import product
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from innerear.capture.hooks import capture
from innerear.interventions.directions import random_directions
from innerear.interventions.edits import Add, Edit, ProjectOut, orthonormal
from innerear.interventions.fitting import Directions
from innerear.interventions.measuring import DISTANCE, NLL, Made, from_usual, likelihood, measured
from innerear.interventions.running import intervene
from innerear.models import MusicModel
from innerear.models.base import Observer
from innerear.stacks.gram_file import GramFile
from innerear.study.interventions import SUBSPACES, Condition, Interventions
from innerear.study.prompts import batches

#: (template, dose, draw) → audio [n]; draw −1 stands for the study's own direction
Sounds = dict[tuple[str, float, int], NDArray]
#: random directions along which a clip is kept
KEPT_DRAWS = 8


class Clip(NamedTuple):
    """One clip to compose: its condition, template, text and seed."""

    condition: Condition
    template: str
    text: str
    seed: int


def steer(
    model: MusicModel,
    directions: Directions,
    plan: Interventions,
    layer: int,
    generation: Mapping[str, Any],
    conditions: Sequence[Condition] | None = None,
) -> tuple[pd.DataFrame, Sounds]:
    """Compose and measure the steered clips of one layer.

    Parameters
    ----------
    generation : settings of `MusicModel.generate`; the plan has the duration.
    conditions : in place of the plan's; no clip is then steered along a random direction.

    Returns
    -------
    table : a row per clip: layer, the fields of its `Condition`, template, seed, `feature` (the number of the
        one that it is moved along, or −1), `distance` of the edited layer's states from their usual place
        (`from_usual`, of the other templates' mean), `nll` under the untouched model and the neutral text
        (NaN along random directions), and what `measured` returns.
    sounds : audio of the first source's clips, of the drawn templates, and of each of the first `KEPT_DRAWS`
        random directions one clip at the largest dose.
    """
    clips = _clips(plan, conditions)
    generation = {**generation, "duration": plan.settings["duration"]}
    vectors = _vectors(clips, directions, plan, layer)
    usual = {one: directions.subspace(layer, one)[1] for one in plan.neutral}
    rows, sounds = [], {}
    for batch in tqdm(
        list(batches(range(len(clips)), plan.settings["batch_size"])), desc="steer", unit="batch"
    ):
        own = [clips[i] for i in batch]
        edits = [
            Add(
                vectors[list(batch)] * _chosen(own, branch)[:, None],
                layers=layer,
                site=directions.site,
                branch=branch,
            )
            for branch in dict.fromkeys(clip.condition.branch for clip in own)
        ]
        made, states = recorded(
            model, own, edits, generation, plan.settings["batch_size"], directions.site, layer
        )
        table = measured(model, made)
        table.insert(0, NLL, np.nan)
        mean = np.stack([usual[one.template] for one in own])
        table.insert(0, DISTANCE, from_usual(states, mean, directions.covariance(layer)))
        known = [i for i, clip in enumerate(own) if clip.condition.source != "random"]
        if known:
            part = Made(made.codes[known], made.audio[known])
            table.loc[known, NLL] = likelihood(model, part, [own[i].text for i in known], generation)
        named = _named(own, layer)
        named["feature"] = [directions.feature(layer, one.condition.source, one.template) for one in own]
        rows.append(pd.concat([named, table], axis=1))
        sounds |= _kept(own, made, plan)
    return pd.concat(rows, ignore_index=True), sounds


def steer_twin(
    model: MusicModel, directions: Directions, plan: Interventions, generation: Mapping[str, Any]
) -> pd.DataFrame:
    """Return `steer` of a random twin: at every layer the first source, at the largest dose."""
    dose, source = max(plan.settings["doses"]), plan.settings["sources"][0]
    conditions = [Condition("none"), Condition(source, "both", dose), Condition(source, "both", -dose)]
    tables = [steer(model, directions, plan, layer, generation, conditions)[0] for layer in plan.layers]
    return pd.concat(tables, ignore_index=True).assign(weights="random_init")


def write_sounds(sounds: Sounds, path: str | PathLike, sample_rate: int, layer: int) -> None:
    """Write the clips of one layer, for the pages.

    They are ``audio`` int16 [template, dose, sample], and along random directions ``random_audio`` [draw,
    sample] with ``random_template`` [draw].
    """
    own = {(template, dose): wave for (template, dose, draw), wave in sounds.items() if draw < 0}
    drawn = {draw: (template, wave) for (template, _, draw), wave in sounds.items() if draw >= 0}
    templates = list(dict.fromkeys(template for template, _ in own))
    doses, draws = sorted({dose for _, dose in own}), sorted(drawn)
    waves = np.stack([[own[template, dose] for dose in doses] for template in templates])
    random = np.stack([drawn[draw][1] for draw in draws])
    arrays = {
        "audio": (("template", "dose", "sample"), _as_int16(waves)),
        "random_audio": (("draw", "sample"), _as_int16(random)),
        "random_template": (("draw",), np.array([templates.index(drawn[draw][0]) for draw in draws])),
    }
    coords = {"template": np.array(templates), "dose": np.array(doses, np.float32), "draw": np.array(draws)}
    coords["sample"] = np.arange(waves.shape[-1], dtype=np.int32)
    GramFile.write(path, arrays, coords, {"sample_rate": sample_rate, "layer": layer})


def _as_int16(waves: NDArray) -> NDArray[np.int16]:
    return (np.clip(waves, -1, 1) * 32767).round().astype(np.int16)


def ablate(
    model: MusicModel,
    directions: Directions,
    plan: Interventions,
    prompts: Sequence[Mapping[str, str]],
    generation: Mapping[str, Any],
) -> pd.DataFrame:
    """Compose clips of emotional texts without the labels' subspace, or without a random one of equal rank.

    Parameters
    ----------
    prompts : id, text, template and emotion of each; those of templates that the plan has.
    generation : duration in seconds, and settings of `MusicModel.generate`.

    Returns
    -------
    A row per clip: `layer` (a number, or all), `subspace` (`SUBSPACES`), prompt, emotion, template, seed, and
    what `measured` returns.
    """
    chosen = [prompt for prompt in prompts if prompt["template"] in plan.neutral]
    tables = []
    for where, layers in plan.ablated.items():
        for subspace in SUBSPACES:
            for batch in batches(chosen, plan.settings["batch_size"]):
                edits = [_without(subspace, layer, batch, directions) for layer in layers]
                clips = [
                    Clip(Condition(subspace), one["template"], one["text"], plan.seeds[one["template"]])
                    for one in batch
                ]
                made = compose(model, clips, edits, generation, plan.settings["batch_size"])
                named = pd.DataFrame(
                    {"layer": where, "subspace": subspace, "prompt": [one["id"] for one in batch]}
                )
                named["emotion"] = [one["emotion"] for one in batch]
                named["template"] = [one["template"] for one in batch]
                named["seed"] = [clip.seed for clip in clips]
                tables.append(pd.concat([named, measured(model, made)], axis=1))
    return pd.concat(tables, ignore_index=True)


def recorded(
    model: MusicModel,
    clips: Sequence[Clip],
    edits: Sequence[Edit],
    generation: Mapping[str, Any],
    rows: int,
    site: str,
    layer: int,
) -> tuple[Made, torch.Tensor]:
    """Compose clips with edits, and return the edited states of a layer as well, [S, C, B, D].

    Of complete steps that no window reads again.
    """
    timeline = model.timeline(generation["duration"], stride=generation.get("stride", 0.6))
    how = {"n_steps": timeline.n_steps, "pre_norm": model.pre_norm, "layers": [layer]}
    with intervene(model, edits), capture({site: model.modules(site)}, **how) as recording:
        made = _made(model, clips, generation, rows, recording.run)
    kept = timeline.analysed[timeline.complete[timeline.analysed]]
    return made, recording.all(site, layer)[kept]


def compose(
    model: MusicModel, clips: Sequence[Clip], edits: Sequence[Edit], generation: Mapping[str, Any], rows: int
) -> Made:
    """Compose clips with edits; `rows` as in `_made`."""
    with intervene(model, edits):
        return _made(model, clips, generation, rows)


def _made(
    model: MusicModel,
    clips: Sequence[Clip],
    generation: Mapping[str, Any],
    rows: int,
    observe: Observer | None = None,
) -> Made:
    """Compose clips; in float16 each call has as many `rows`, on which its rounding depends."""
    how = dict(generation)
    if model.dtype == torch.float16:
        how["rows"] = rows
    texts, seeds = [clip.text for clip in clips], [clip.seed for clip in clips]
    made = model.generate(texts, seeds, how.pop("duration"), observe=observe, **how)
    return Made(made.codes, made.audio)


def _clips(plan: Interventions, conditions: Sequence[Condition] | None) -> list[Clip]:
    chosen = plan.clips() if conditions is None else product(conditions, plan.neutral)
    return [Clip(condition, one, plan.neutral[one], plan.seeds[one]) for condition, one in chosen]


def _vectors(clips: Sequence[Clip], directions: Directions, plan: Interventions, layer: int) -> NDArray:
    """Return what is added to the states of each clip, [B, D].

    A random direction is one for all templates, and as long as a template's own direction.
    """
    covariance = directions.covariance(layer)
    drawn = random_directions(covariance, 1.0, plan.settings["draws"], seed=layer)
    vectors = np.zeros((len(clips), len(covariance)), np.float32)
    for i, (condition, template, _, _) in enumerate(clips):
        if condition.source == "none":
            continue
        random = condition.source == "random"
        source = plan.settings["sources"][0] if random else condition.source
        direction = directions.direction(layer, source, template)
        direction.require_unseen(directions.prompts(template))
        vector = direction.vector
        if random:
            vector = drawn[condition.draw] * np.linalg.norm(vector)
        vectors[i] = condition.dose * vector
    return vectors


def _without(
    subspace: str, layer: int, prompts: Sequence[Mapping[str, str]], directions: Directions
) -> ProjectOut:
    """Return the edit that projects a subspace out of each prompt's states at one layer."""
    bases, means = [], []
    for prompt in prompts:
        differences, mean = directions.subspace(layer, prompt["template"])
        basis = orthonormal(differences)
        if subspace == "random":
            number = directions.templates.index(prompt["template"])
            basis = orthonormal(
                random_directions(directions.covariance(layer), 1.0, len(basis), [layer, number])
            )
        bases.append(basis)
        means.append(torch.from_numpy(mean))
    return ProjectOut(torch.stack(bases), torch.stack(means), layers=layer, site=directions.site)


def _chosen(clips: Sequence[Clip], branch: str) -> NDArray:
    return np.array([clip.condition.branch == branch for clip in clips], np.float32)


def _named(clips: Sequence[Clip], layer: int) -> pd.DataFrame:
    named = pd.DataFrame([clip.condition for clip in clips], columns=list(Condition._fields))
    named.insert(0, "layer", layer)
    return named.assign(template=[clip.template for clip in clips], seed=[clip.seed for clip in clips])


def _kept(clips: Sequence[Clip], made: Made, plan: Interventions) -> Sounds:
    first, drawn = ("none", plan.settings["sources"][0]), plan.drawn_templates

    def kept(clip: Clip) -> bool:
        source, branch, dose, draw = clip.condition
        if source == "random":
            turn = draw < KEPT_DRAWS and clip.template == drawn[draw % len(drawn)]
            return turn and dose == max(plan.settings["doses"])
        return source in first and branch == "both" and clip.template in drawn

    return {
        # A copy, or it would keep the sound of its whole batch.
        (clip.template, clip.condition.dose, clip.condition.draw): audio.numpy().copy()
        for clip, audio in zip(clips, made.audio, strict=True)
        if kept(clip)
    }
