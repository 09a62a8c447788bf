"""Which clips are steered: the poles, layers, doses and templates of a study's interventions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from innerear.errors import InputError, did_you_mean
from innerear.study.prompts import Prompt
from innerear.study.text_swaps import Block

#: fewest templates with a neutral text: directions are fitted on the others
FEWEST = 3
#: layers that are steered unless the study names some: the first, the middle and the last that are recorded
N_LAYERS = 3


class Condition(NamedTuple):
    """How the clips of one condition are edited: `dose` times the way between the poles.

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
    layers : that are edited, one at a time; ablation also edits all of them together.
    neutral : template → its text without an emotion.
    seeds : template → the seed of its clips.
    drawn_templates : those whose clips are steered along random directions.
    settings : the section ``interventions`` of the study.
    """

    poles: tuple[str, str]
    layers: tuple[int, ...]
    neutral: Mapping[str, str]
    seeds: Mapping[str, int]
    drawn_templates: tuple[str, ...]
    settings: Mapping

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
        every = len(list(self.conditions())) * len(self.neutral)
        return every + len(list(self.draws())) * len(self.drawn_templates)

    def n_clips(self, n_emotions: int) -> int:
        """Return how many clips are composed in all, the random twin's included."""
        ablated = 4 * n_emotions * len(self.neutral)
        twin = len(self.layers) * 3 * len(self.neutral) if self.settings["control"] else 0
        return len(self.layers) * self.n_steered + ablated + twin


def plan_interventions(
    prompts: Sequence[Prompt],
    blocks: Mapping[str, Block],
    seeds: Mapping[str, Sequence[int]],
    capture: Mapping,
    settings: Mapping,
) -> Interventions | str:
    """Return what a study's interventions edit, or why there are none.

    Parameters
    ----------
    blocks : templates with one prompt of each emotion.
    seeds : of each prompt by its id.
    capture : section ``capture``: which layers and branches are recorded.
    settings : section ``interventions``.

    Raises
    ------
    InputError: poles or layers that the study does not have.
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
    names = list(neutral)
    n_drawn = min(settings["draw_templates"], len(names))
    drawn = tuple(names[i * len(names) // n_drawn] for i in range(n_drawn))
    first = {name: seeds[blocks[name].prompts[0].id][0] for name in names}
    one_branch = len(capture["branches"]) < 2
    sources = [one for one in settings["sources"] if one != "delta" or not one_branch] or ["means"]
    branches = ["both"] if one_branch else settings["branches"]
    if "both" not in branches:
        raise InputError(
            f"interventions.branches: {branches} lacks both, with which random directions and layers are "
            "compared; add it"
        )
    own = {**settings, "sources": sources, "branches": branches}
    return Interventions((poles[0], poles[1]), tuple(layers), neutral, first, drawn, own)


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
    """Return the emotions of least and most arousal; the first and the last where not all have a rating."""
    arousal = {prompt.emotion: prompt.arousal for prompt in prompts}
    rated = {name: value for name, value in arousal.items() if value is not None}
    if len(rated) < len(arousal):
        return emotions[0], emotions[-1]
    return min(rated, key=lambda name: rated[name]), max(rated, key=lambda name: rated[name])


def interventions_text(plan: Interventions | str, n_clips: int) -> str:
    """Say what is steered, in so many clips, or why nothing is, for the announcement."""
    if isinstance(plan, str):
        return f"  steered   nothing: {plan}"
    start, end = plan.poles
    layers = ", ".join(map(str, plan.layers))
    return (
        f"  steered   {n_clips:,} clips from {start} to {end}, layers {layers}: "
        f"{len(plan.neutral)} neutral texts, {plan.settings['draws']} random directions"
    )
