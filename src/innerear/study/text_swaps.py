"""The texts under which the clips of a template are replayed: the blocks of the counterfactual replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from innerear.errors import InputError, shown
from innerear.study.names import is_name, reading, tidy
from innerear.study.prompts import Prompt, check_placeholders, sheet_rows

#: texts other than the emotions': the template without an emotion, no text, the clip's prompt in other words
NEUTRAL, NONE, PARAPHRASE = "neutral", "none", "paraphrase"


@dataclass(frozen=True)
class Block:
    """A template with texts that are swapped between clips.

    Attributes
    ----------
    template : its id.
    prompts : one for each emotion of the study, in the order of the study.
    neutral : the template's text without an emotion; None if none is known.
    paraphrases : another wording of each emotion's prompt; none, or one for each emotion.
    """

    template: str
    prompts: tuple[Prompt, ...]
    neutral: str | None = None
    paraphrases: Mapping[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the texts that each clip is read under, but for `NONE`, which needs no pass."""
        return (
            *(prompt.emotion for prompt in self.prompts),
            *([NEUTRAL] if self.neutral else []),
            *([PARAPHRASE] if self.paraphrases else []),
        )


@dataclass(frozen=True)
class Swaps:
    """A study's blocks by template, and why anything was left out."""

    blocks: Mapping[str, Block]
    left_out: tuple[str, ...] = ()


def study_swaps(prompts: Sequence[Prompt], section: Mapping, label: str = "") -> Swaps:
    """Find the templates with texts that can be swapped.

    `section` is the setting ``prompts``, `label` a further column that the sheet may have.

    Raises
    ------
    InputError: a paraphrase that does not name the emotion; a neutral text that does; two texts of a template
        that a model reads alike; two neutral texts of one template.
    """
    emotions = list(dict.fromkeys(prompt.emotion for prompt in prompts))
    taken = sorted({NEUTRAL, NONE, PARAPHRASE} & set(emotions))
    if len(emotions) < 2 or taken:
        reason = f"the emotion id {taken[0]!r} is also the name of a control" if taken else "only one emotion"
        return Swaps({}, (f"all templates: {reason}",))
    neutral, paraphrases = _of_sheet(section["sheet"], label) if section["sheet"] else _of_templates(section)
    if all(one.template == one.id for one in prompts) and any(one.audio for one in prompts):
        return Swaps({}, ("tracks without templates: they have no counterparts",))
    by_template: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_template.setdefault(prompt.template, []).append(prompt)
    blocks, left_out = {}, []
    for template, own in by_template.items():
        reason = _unfit(template, own, emotions)
        if reason:
            left_out.append(f"template {template or '(none)'}: {reason}")
            continue
        worded = {prompt.emotion: paraphrases.get(prompt.id, "") for prompt in own}
        _check_distinct(own, neutral.get(template, ""), worded)
        complete = all(worded.values())
        blocks[template] = Block(template, tuple(own), neutral.get(template), worded if complete else {})
        left_out += [] if neutral.get(template) else [f"neutral text of {template}: none is given"]
        left_out += [] if complete else [f"paraphrase control of {template}: none is given"]
    return Swaps(blocks, tuple(left_out))


def _unfit(template: str, prompts: Sequence[Prompt], emotions: Sequence[str]) -> str:
    """Say why a template's texts cannot be swapped; empty if they can."""
    if not template:
        return "prompts without a template have no counterparts"
    if not is_name(template):
        return "its id cannot name a folder"
    if sorted(prompt.emotion for prompt in prompts) != sorted(emotions):
        return "it does not hold each emotion once"
    if len({reading(prompt.text) for prompt in prompts}) < len(prompts):
        return "two of its tracks have one text" if prompts[0].text else "its tracks have no text"
    return ""


def _of_templates(section: Mapping) -> tuple[dict[str, str], dict[str, str]]:
    """Return the neutral text by template and the paraphrase by prompt id, of crossed templates."""
    neutral, paraphrases = {}, {}
    for template in section["templates"]:
        where = f"prompts.templates, {template['id']!r}"
        without = " ".join(template["text"].replace("{emotion}", " ").split())
        given, other = template.get("neutral"), template.get("paraphrase")
        for name, text in (("neutral", given), ("paraphrase", other)):
            check_placeholders(text or "", f"{where}: {name}")
        neutral[template["id"]] = without if given is None else _optional(given, f"{where}: neutral")
        if given is not None and "{emotion}" in given:
            raise InputError(
                f"{where}: the neutral text {shown(given)} holds {{emotion}}; write it without an emotion, "
                "or leave it out"
            )
        if other is not None and "{emotion}" not in other:
            raise InputError(
                f"{where}: the paraphrase {shown(other)} has no {{emotion}}, so it says something else than "
                "the text; put {emotion} where the word belongs"
            )
        worded = _optional(other or "", f"{where}: paraphrase")
        for emotion in section["emotions"]:
            paraphrases[f"{template['id']}-{emotion['id']}"] = worded.replace("{emotion}", emotion["id"])
    return neutral, paraphrases


def _of_sheet(path: str, label: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the neutral text by template and the paraphrase by prompt id."""
    neutral: dict[str, str] = {}
    paraphrases = {}
    for row, cells in sheet_rows(path, label).items():
        where, template = f"{path}, row {row}", cells.get("template", "")
        paraphrases[cells["id"]] = _optional(cells.get(PARAPHRASE, ""), f"{where}: paraphrase")
        text = _optional(cells.get(NEUTRAL, ""), f"{where}: neutral")
        if text and neutral.setdefault(template, text) != text:
            raise InputError(
                f"{where}: the neutral text {shown(text)} of template {template!r} is "
                f"{shown(neutral[template])} in a row above; give each template one"
            )
    return neutral, paraphrases


def _optional(text: str, where: str) -> str:
    return tidy(text, where) if text.strip() else ""


def _check_distinct(prompts: Sequence[Prompt], neutral: str, paraphrases: Mapping[str, str]) -> None:
    """Refuse two texts of a template that a model cannot distinguish: the second would control nothing."""
    names = {reading(prompt.text): f"prompt {prompt.id!r}" for prompt in prompts}
    others = [(f"the paraphrase of {prompt.id!r}", paraphrases[prompt.emotion]) for prompt in prompts]
    for name, text in [("the neutral text", neutral), *others]:
        same = names.setdefault(reading(text), name) if text else name
        if same != name:
            raise InputError(
                f"{name} of template {prompts[0].template!r}, {shown(text)}, is also {same}, and would "
                "control for nothing; word it otherwise, or leave it out"
            )
