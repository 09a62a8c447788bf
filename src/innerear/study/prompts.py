"""Prompts and samples (prompt × seed): ids, texts and their order."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from typing import Any

from innerear.errors import InputError

# An id becomes a folder name on any system.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

SHEET_COLUMNS = ("id", "text", "emotion", "template", "valence", "arousal", "neutral", "paraphrase")
_NEEDED = SHEET_COLUMNS[:3]
#: labels that any prompt may have; a study's contrast is one of them or a label of its own
LABELS = ("emotion", "valence", "arousal")
# Other columns of the table of samples, which are no labels.
_USED = ("sample_id", "prompt_id", "seed", "model", "model_identity", "stack", "audio", "n_steps", "n_frames")


@dataclass(frozen=True)
class Prompt:
    """A text with an id and its design factors; `label` is that of a contrast outside `LABELS`."""

    id: str
    text: str
    template: str
    emotion: str
    valence: float | None = None
    arousal: float | None = None
    label: str | float | None = None


@dataclass(frozen=True)
class Sample:
    """A (prompt, seed) pair."""

    prompt: Prompt
    seed: int

    @property
    def id(self) -> str:
        """The sample's name in every table, such as ``piano-happy/seed-7``."""
        return f"{self.prompt.id}/seed-{self.seed}"


def own_label(contrast: str) -> str:
    """Return the contrast if it is a label of the study's own, "" if it is one of `LABELS`.

    Raises
    ------
    InputError: the name of another column.
    """
    if contrast in LABELS:
        return ""
    if contrast in (*SHEET_COLUMNS, *_USED):
        raise InputError(
            f"contrast: {contrast!r} is not a label of prompts; use {', '.join(LABELS)}, or a label of your "
            "own: a further column of the sheet, or one of the emotions' labels"
        )
    return contrast


def prompts_from_templates(
    templates: Sequence[Mapping], emotions: Sequence[Mapping], label: str = ""
) -> list[Prompt]:
    """Cross templates with emotions into minimal pairs, emotion by emotion.

    Parameters
    ----------
    templates, emotions : the settings of these names.
    label : the one of the emotions' ``labels`` to keep; "" for none.

    Raises
    ------
    InputError: a text without ``{emotion}``, an emotion without the label, or what `check_prompts` refuses.
    """
    for number, template in enumerate(templates, start=1):
        where = f"prompts.templates, entry {number} ({template['id']!r})"
        unknown = set(re.findall(r"\{.*?\}", template["text"])) - {"{emotion}"}
        if unknown:
            raise InputError(
                f"{where}: {', '.join(sorted(unknown))} is no placeholder; only {{emotion}} is filled in"
            )
        if "{emotion}" not in template["text"]:
            raise InputError(
                f"{where}: the text {template['text']!r} has no {{emotion}}, so all emotions would share a "
                "prompt; put {emotion} where the word belongs"
            )
    prompts = [
        Prompt(
            id=f"{template['id']}-{emotion['id']}",
            text=template["text"].replace("{emotion}", emotion["id"]),
            template=template["id"],
            emotion=emotion["id"],
            valence=emotion.get("valence"),
            arousal=emotion.get("arousal"),
            label=_label(emotion.get("labels", {}), label, f"prompts.emotions, {emotion['id']!r}"),
        )
        for emotion in emotions
        for template in templates
    ]
    check_prompts(prompts, where="prompts.templates × prompts.emotions")
    return prompts


def prompts_from_sheet(path: str | PathLike, label: str = "") -> list[Prompt]:
    """Read prompts from a tab-separated sheet with the columns `SHEET_COLUMNS` and `label`.

    All but the first three columns may be missing or empty. Without templates, emotions are permuted among
    all prompts. A label that is a number in every row is a rating. Prompts are sorted by emotion, in order of
    first appearance.

    Raises
    ------
    InputError: as `read_sheet` and `check_prompts`; a rating that is no number.
    """
    rows = read_sheet(path, label)
    prompts = [
        _prompt_from_row(row, label, f"{path}, row {number}") for number, row in enumerate(rows, start=2)
    ]
    check_prompts(prompts, where=str(path), first_row=2)
    order = list(dict.fromkeys(prompt.emotion for prompt in prompts))
    return sorted(prompts, key=lambda prompt: order.index(prompt.emotion))


def read_sheet(path: str | PathLike, label: str = "") -> list[dict[str, str]]:
    """Return the rows of a sheet of prompts, by column; `label` is a further column.

    Raises
    ------
    InputError: no such file, a missing or unknown column.
    """
    try:
        with open(path, newline="", encoding="utf-8") as sheet:
            reader = csv.DictReader(sheet, delimiter="\t")
            columns, rows = reader.fieldnames or [], list(reader)
    except OSError as error:
        raise InputError(f"prompts.sheet: cannot read {str(path)!r} ({error.strerror})") from error
    missing = [column for column in _NEEDED if column not in columns]
    unknown = [column for column in columns if column not in (*SHEET_COLUMNS, label)]
    if missing or unknown:
        raise InputError(
            f"{path}: missing columns {missing}, unknown columns {unknown}; the sheet is tab-separated "
            f"with the columns {', '.join(SHEET_COLUMNS)} (all but the first three may be left out); another "
            "one is read if contrast names it"
        )
    return rows


def _prompt_from_row(row: Mapping[str, str], label: str, where: str) -> Prompt:
    identity, text, emotion, template = ((row.get(column) or "").strip() for column in SHEET_COLUMNS[:4])
    valence, arousal = (_rating(row.get(scale), f"{where}: {scale}") for scale in SHEET_COLUMNS[4:6])
    return Prompt(identity, text, template, emotion, valence, arousal, _label(row, label, where))


def _label(labels: Mapping[str, str | float], name: str, where: str) -> str | float | None:
    if not name:
        return None
    value = labels.get(name, "")
    if not str(value).strip():
        raise InputError(
            f"{where}: contrast asks for the label {name!r}, which it does not have; give every one a "
            f"{name}, or set contrast to one of {', '.join(LABELS)}"
        )
    return value


def _rating(text: str | None, where: str) -> float | None:
    try:
        return float(text) if text and text.strip() else None
    except ValueError:
        raise InputError(f"{where} is {text!r}; give a number in −1…1 or leave it empty") from None


def is_name(text: str) -> bool:
    """Return whether a text can name a folder on any system: letters, digits, - and _."""
    return _ID.fullmatch(text) is not None


def check_prompts(prompts: Sequence[Prompt], where: str, first_row: int = 1) -> None:
    """Refuse prompts whose ids clash or cannot name a folder, empty texts, and ratings out of range.

    Ids may not differ in case only: some file systems ignore case. Messages count rows from `first_row`.
    """
    if not prompts:
        raise InputError(f"{where}: there is no prompt; give at least one")
    seen: dict[str, int] = {}
    for row, prompt in enumerate(prompts, start=first_row):
        here, name = f"{where}, row {row}", prompt.id.lower()
        if not is_name(prompt.id):
            raise InputError(
                f"{here}: the id {prompt.id!r} cannot name a folder; use letters, digits, - and _"
            )
        if not prompt.text.strip():
            raise InputError(f"{here}: the prompt {prompt.id!r} has an empty text; write one")
        if not prompt.emotion:
            raise InputError(f"{here}: {prompt.id!r} needs an emotion")
        if name in seen:
            raise InputError(f"{where}: rows {seen[name]} and {row} share the id {prompt.id!r}; rename one")
        for scale in ("valence", "arousal"):
            rating = getattr(prompt, scale)
            if rating is not None and not -1 <= rating <= 1:
                raise InputError(f"{here}: {scale} is {rating}; ratings lie in −1…1")
        seen[name] = row


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse a repeated seed with an InputError."""
    for position, seed in enumerate(seeds, start=1):
        first = list(seeds).index(seed) + 1
        if first != position:
            raise InputError(
                f"seeds: entries {first} and {position} are both {seed}; "
                "the two would be one sample, remove one"
            )


def batches(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Yield the items in order, at most `size` ≥ 1 at a time."""
    waiting = iter(items)
    while batch := tuple(islice(waiting, size)):
        yield batch
