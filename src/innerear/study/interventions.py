"""The clips that are steered: poles, layers, doses and templates of a study's interventions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from innerear.errors import InputError, did_you_mean
from innerear.study.features import Features
from innerear.study.prompts import Prompt
from innerear.study.text_swaps import Block

#: fewest templates with a neutral text: directions are fitted on the others
FEWEST = 3
#: the source of directions that are decoder vectors of the study's dictionaries
FEATURES = "features"
#: what is removed in an ablation: the labels' subspace, or a random one of equal rank
SUBSPACES = ("labels", "random")
#: the layers of an ablation that edits all of them at once
ALL_LAYERS = "all"
#: layers that are steered unless the study names some: the first, the middle and the last that are recorded
N_LAYERS = 3


class Condition(NamedTuple):
    """One condition of steering: `dose` times the way between the poles is added.

    `source` is ``"none"`` for untouched clips, ``"random"`` for the random direction number `draw`.
    """

    source: str
    branch: str = "both"
    dose: float = 0.0
    draw: int = -1


@dataclass(frozen=True)
class Interventions:
    """The plan of a study's interventions.

    Attributes
    ----------
    poles : the emotion where directions begin, and the one where they end.
    layers : that are edited, one at a time; see `ablated` for ablation.
    neutral : template → its text without an emotion.
    seeds : template → the seed of its clips.
    drawn_templates : those whose clips are steered along random directions.
    settings : the section ``interventions`` of the study; ``duration`` is that of a steered clip.
    seen : templates whose clips the study's dictionaries were trained on; features do not steer them.
    left_out : sources and branches that were asked for and are not edited, each with the reason.
    """

    poles: tuple[str, str]
    layers: tuple[int, ...]
    neutral: Mapping[str, str]
    seeds: Mapping[str, int]
    drawn_templates: tuple[str, ...]
    settings: Mapping
    seen: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def of_job(cls, plan: Mapping, run: Mapping) -> "Interventions":
        """Return the plan of a job from its fields, and from settings on which no result depends."""
        return cls(**{**plan, "settings": {**plan["settings"], **run}})

    @property
    def twin_settings(self) -> dict:
        """The settings that steer the random twin: the first source, at the largest dose."""
        doses, sources = self.settings["doses"], self.settings["sources"]
        return {"doses": [max(doses)], "sources": sources[:1], "draws": 0}

    @property
    def ablated(self) -> dict[str, list[int]]:
        """The layers that an ablation edits: the middle one, and all of them if they are several."""
        middle = self.layers[len(self.layers) // 2]
        everywhere = {ALL_LAYERS: list(self.layers)} if len(self.layers) > 1 else {}
        return {str(middle): [middle]} | everywhere

    def clips(self) -> Iterator[tuple[Condition, str]]:
        """Yield condition and template of each clip of one layer, those along random directions last."""
        for condition in self.conditions():
            for template in self.scored(condition.source):
                yield condition, template
        for condition in self.draws():
            for template in self.drawn_templates:
                yield condition, template

    def scored(self, source: str) -> list[str]:
        """Return the templates that a source's directions may steer."""
        return [template for template in self.neutral if source != FEATURES or template not in self.seen]

    def conditions(self) -> Iterator[Condition]:
        """Yield the conditions of one layer, of all templates: untouched, then every source and dose."""
        doses, sources = self.settings["doses"], self.settings["sources"]
        yield Condition("none")
        for branch in self.settings["branches"]:
            for dose in (*doses, *(-dose for dose in doses)):
                yield Condition(sources[0], branch, dose)
        for source in sources[1:]:
            for dose in (max(doses), -max(doses)):
                yield Condition(source, "both", dose)

    def draws(self) -> Iterator[Condition]:
        """Yield the conditions of one layer that steer along random directions."""
        for draw in range(self.settings["draws"]):
            for dose in (max(self.settings["doses"]), -max(self.settings["doses"])):
                yield Condition("random", "both", dose, draw)

    @property
    def n_steered(self) -> int:
        """Clips that are composed for each layer."""
        return sum(1 for _ in self.clips())

    def n_clips(self, n_emotions: int) -> int:
        """Return how many clips are composed in all, the random twin's included."""
        ablated = len(self.ablated) * len(SUBSPACES) * n_emotions * len(self.neutral)
        twin = len(self.layers) * 3 * len(self.neutral) if self.settings["control"] else 0
        return len(self.layers) * self.n_steered + ablated + twin


def plan_interventions(
    prompts: Sequence[Prompt],
    blocks: Mapping[str, Block],
    seeds: Mapping[str, Sequence[int]],
    capture: Mapping,
    settings: Mapping,
    features: Features,
) -> Interventions | str:
    """Return what a study's interventions edit, or why there are none.

    Parameters
    ----------
    blocks : templates with one prompt of each emotion.
    seeds : of each prompt by its id.
    capture : section ``capture``: which layers and branches are recorded.
    settings : section ``interventions``, with the ``duration`` of a steered clip.
    features : the study's dictionaries, of which directions may be taken.

    Raises
    ------
    InputError: poles or layers that the study does not have; features as the first source.
    """
    neutral = {name: block.neutral for name, block in blocks.items() if block.neutral}
    emotions = list(dict.fromkeys(prompt.emotion for prompt in prompts))
    if settings["poles"]:
        _check_poles(settings["poles"], emotions)
    layers = _layers(capture["layers"], settings["layers"])
    if len(neutral) < FEWEST or len(emotions) < 2:
        return (
            f"templates with each emotion once and a neutral text: {len(neutral)}; directions are fitted on "
            f"other templates than they steer; {FEWEST} are needed"
        )
    poles = settings["poles"] or _poles(prompts, emotions)
    known = set(features.seen)
    seen = [name for name in neutral if any(one.id in known for one in prompts if one.template == name)]
    no_features = _why_no_features(features, layers, len(neutral) - len(seen))
    kinds, left_out = _kinds(settings, capture["branches"], no_features)
    own = {**settings, **kinds}
    if FEATURES not in own["sources"]:
        seen = []
    # Features and random directions are compared on the same clips, if there are as many.
    unseen, n_drawn = [name for name in neutral if name not in seen], settings["draw_templates"]
    drawn = _spread(unseen, n_drawn)
    drawn += _spread(seen, n_drawn - len(drawn))
    first = {name: seeds[blocks[name].prompts[0].id][0] for name in neutral}
    ends = poles[0], poles[1]
    return Interventions(ends, tuple(layers), neutral, first, tuple(drawn), own, tuple(seen), tuple(left_out))


def _spread(names: Sequence[str], n: int) -> list[str]:
    """Return at most n names, at equal distances."""
    n = min(n, len(names))
    return [names[i * len(names) // n] for i in range(n)]


def _why_no_features(features: Features, layers: Sequence[int], n_unseen: int) -> str:
    """Return why the study's features cannot steer, or an empty string."""
    without = [layer for layer in layers if layer not in features.layers]
    if not features.layers:
        return "the study has no dictionaries"
    if without:
        return f"layer {without[0]} has no dictionary (features.layers: {list(features.layers)})"
    if n_unseen < FEWEST:
        return (
            f"dictionaries were trained on all but {n_unseen} of the templates, and steer only others; "
            f"{FEWEST} are needed"
        )
    return ""


def _kinds(
    settings: Mapping, recorded: Sequence[str], no_features: str
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the sources and the branches that can be edited, and why others that were asked for cannot."""
    one_branch = len(recorded) < 2
    alone = f"{recorded[0]} alone is recorded"
    cannot = {"delta": alone} if one_branch else {}
    cannot |= {FEATURES: no_features} if no_features else {}
    left_out = [f"not along {one}: {cannot[one]}" for one in settings["sources"] if one in cannot]
    sources = [one for one in settings["sources"] if one not in cannot]
    if not sources:
        left_out[-1] += "; along means in its place"
        sources = ["means"]
    branches = ["both"] if one_branch else settings["branches"]
    if one_branch:
        left_out += [f"not in {one} apart: {alone}" for one in settings["branches"] if one != "both"]
    if "both" not in branches:
        raise InputError(
            f"interventions.branches: {branches} lacks both, with which random directions and layers are "
            "compared; add it"
        )
    if sources[0] == FEATURES:
        raise InputError(
            "interventions.sources: features comes first, and the first source is steered at every dose, in "
            "every template and in the random twin; name means or probe before it"
        )
    return {"sources": sources, "branches": branches}, left_out


def _layers(recorded: Sequence[int], asked: Sequence[int] | None) -> list[int]:
    """Return the layers that are edited."""
    if asked is None:
        places = {round(i * (len(recorded) - 1) / (N_LAYERS - 1) + 1e-6) for i in range(N_LAYERS)}
        return [recorded[place] for place in sorted(places)]
    absent = [layer for layer in asked if layer not in recorded]
    if absent:
        raise InputError(
            f"interventions.layers: {absent} are not recorded; capture.layers has {list(recorded)}"
        )
    return sorted(set(asked))


def _check_poles(poles: Sequence[str], emotions: Sequence[str]) -> None:
    for pole in poles:
        if pole not in emotions:
            raise InputError(
                f"interventions.poles: no prompt is {pole!r}{did_you_mean(pole, emotions)}; the study has "
                f"{', '.join(emotions)}"
            )
    if poles[0] == poles[1]:
        raise InputError(f"interventions.poles: both are {poles[0]!r}; name two emotions")


def _poles(prompts: Sequence[Prompt], emotions: Sequence[str]) -> tuple[str, str]:
    """Return the emotions of least and most arousal.

    They are the first and the last where one lacks a rating, or all have the same.
    """
    arousal = {prompt.emotion: prompt.arousal for prompt in prompts}
    rated = {name: value for name, value in arousal.items() if value is not None}
    if len(rated) < len(arousal) or len(set(rated.values())) < 2:
        return emotions[0], emotions[-1]
    return min(rated, key=lambda name: rated[name]), max(rated, key=lambda name: rated[name])


def interventions_text(plan: Interventions | str, n_clips: int) -> str:
    """Say what is steered, in so many clips, or why nothing is, for the announcement."""
    if isinstance(plan, str):
        return f"  steered   nothing: {plan}"
    start, end = plan.poles
    layers = f"layer{'s' * (len(plan.layers) > 1)} {', '.join(map(str, plan.layers))}"
    line = (
        f"  steered   {n_clips:,} clips from {start} to {end}, {layers}: "
        f"{len(plan.neutral)} neutral texts for {plan.settings['duration']:g} s, "
        f"{plan.settings['draws']} random directions"
    )
    return "\n            ".join([line, *plan.left_out])
