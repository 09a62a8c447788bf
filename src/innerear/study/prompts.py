"""Prompts and samples (prompt × seed): ids, texts and their order."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from innerear.errors import InputError, did_you_mean, shown
from innerear.study.names import check_labels, check_names, check_path, reading, tidy
from innerear.study.sheets import read_sheet

SHEET_COLUMNS = ("id", "text", "emotion", "template", "valence", "arousal", "neutral", "paraphrase")
SHEET_COLUMNS += ("audio", "audio_start")
_NEEDED = SHEET_COLUMNS[:3]
_TEXTS = ("text", "neutral", "paraphrase")
#: labels that any prompt may have; a study's contrast is one of them or a label of its own
RATINGS = ("valence", "arousal")
LABELS = ("emotion", *RATINGS)
# Other columns of the table of samples, which are no labels.
_USED = ("sample_id", "prompt_id", "seed", "model", "model_identity", "stack", "audio", "n_steps", "n_frames")
_USED += ("tokens_sha256", "content_sha256", "audio_sha256", "recording", "written_as", "sample")
_USED += ("reason", "null")

#: the most prompts of a study, and the most samples
MAX_PROMPTS, MAX_SAMPLES = 20_000, 1_000_000
MAX_RATING = 1e9

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# What people or programs write for a number that is none here.
_NO_NUMBER = re.compile(r"[+-]?\.?(inf|infinity|nan)|[+\u2212-]?[0-9]+,[0-9]+|\u2212[0-9.]+", re.IGNORECASE)


@dataclass(frozen=True)
class Prompt:
    """A text with an id and its design factors; `label` is that of a contrast outside `LABELS`.

    A recorded track has its file in `audio`, from the working directory, and in `audio_start` the second from
    which it is read; its text may be empty.
    """

    id: str
    text: str
    template: str
    emotion: str
    valence: float | None = None
    arousal: float | None = None
    label: str | float | None = None
    audio: str = ""
    audio_start: float = 0.0


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
    InputError: a text without ``{emotion}``, an emotion without the label, too many prompts, or what
        `checked` refuses.
    """
    where = "prompts.templates × prompts.emotions"
    n_prompts = len(templates) * len(emotions)
    if n_prompts > MAX_PROMPTS:
        raise InputError(f"{where}: {n_prompts:,} prompts; the most is {MAX_PROMPTS:,}, so split the study")
    texts = [_template(template, number) for number, template in enumerate(templates, start=1)]
    labels = _own_labels(
        [emotion.get("labels", {}).get(label) for emotion in emotions],
        label,
        [f"prompts.emotions, {emotion['id']!r}" for emotion in emotions],
    )
    prompts = [
        Prompt(
            id=f"{template['id']}-{emotion['id']}",
            text=text.replace("{emotion}", emotion["id"]),
            template=template["id"],
            emotion=emotion["id"],
            valence=emotion.get("valence"),
            arousal=emotion.get("arousal"),
            label=own,
        )
        for emotion, own in zip(emotions, labels, strict=True)
        for template, text in zip(templates, texts, strict=True)
    ]
    return checked(prompts, where, range(1, len(prompts) + 1))


def _template(template: Mapping, number: int) -> str:
    """Return the text of a template, with ``{emotion}`` and no other placeholder in it."""
    where = f"prompts.templates, entry {number} ({shown(template['id'])})"
    text = tidy(template["text"], where)
    check_placeholders(text, where)
    if "{emotion}" not in text:
        raise InputError(
            f"{where}: the text {shown(text)} has no {{emotion}}, so all emotions would share a prompt; put "
            "{emotion} where the word belongs"
        )
    return text


def check_placeholders(text: str, where: str) -> None:
    """Refuse, with an InputError, a text of a template with another placeholder than ``{emotion}``."""
    unknown = set(re.findall(r"\{.*?\}", text)) - {"{emotion}"}
    if unknown:
        raise InputError(
            f"{where}: {', '.join(sorted(unknown))} is no placeholder; only {{emotion}} is filled in"
        )


def prompts_from_sheet(path: str | PathLike, label: str = "") -> list[Prompt]:
    """Read prompts from a tab-separated sheet with the columns `SHEET_COLUMNS` and `label`.

    All but the first three columns may be missing or empty. Without templates, emotions are permuted among
    all prompts. A label that is a number in every row is a rating. A row with `audio`, a path from the
    sheet's folder, is a recorded track; where no row of such a sheet names a template, each prompt is its
    own, with which it gets a seed of its own. Prompts keep the order of the rows.

    Raises
    ------
    InputError: as `sheets.read_sheet` and `checked`; a rating that is no number.
    """
    sheet = sheet_rows(path, label)
    labels = _own_labels(
        [_number_or_text(cells.get(label, "")) for cells in sheet.values()],
        label,
        [f"{path}, row {row}" for row in sheet],
    )
    prompts = [
        _prompt_from_row(cells, own, Path(path).parent, f"{path}, row {row}")
        for (row, cells), own in zip(sheet.items(), labels, strict=True)
    ]
    if any(one.audio for one in prompts) and not any(one.template for one in prompts):
        prompts = [replace(one, template=one.id) for one in prompts]
    return checked(prompts, str(path), list(sheet))


def by_emotion(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return prompts sorted by emotion, in order of first appearance."""
    order = {emotion: place for place, emotion in enumerate(dict.fromkeys(one.emotion for one in prompts))}
    return sorted(prompts, key=lambda prompt: order[prompt.emotion])


def sheet_rows(path: str | PathLike, label: str = "") -> dict[int, dict[str, str]]:
    """Return the rows of a sheet of prompts by number, as `read_sheet`; `label` is a further column.

    Raises
    ------
    InputError: as `read_sheet`; a text with ``{emotion}``, which the model would read as it stands.
    """
    rows = read_sheet(path, _NEEDED, [*SHEET_COLUMNS, *([label] if label else [])], MAX_PROMPTS)
    for row, cells in rows.items():
        for name in _TEXTS:
            if "{emotion}" in cells.get(name, ""):
                raise InputError(
                    f"{path}, row {row}: {name} is {shown(cells[name])}, but {{emotion}} is filled in in "
                    "prompts.templates alone; write the word itself"
                )
    return rows


def _prompt_from_row(cells: Mapping[str, str], label: str | float | None, folder: Path, where: str) -> Prompt:
    template = cells.get("template", "")
    valence, arousal = (_rating(cells.get(scale, ""), f"{where}: {scale}") for scale in RATINGS)
    audio, start = cells.get("audio", ""), cells.get("audio_start", "")
    if start and not (audio and re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?|\.[0-9]+", start)):
        raise InputError(
            f"{where}: audio_start is {shown(start)}; give the second of the file in audio from which it is "
            "read, such as 30 or 12.5, or leave it empty"
        )
    if audio:
        check_path(audio, f"{where}: audio")
        audio = (folder / audio).as_posix()
    text = cells["text"]
    if text or not audio:
        text = tidy(text, f"{where}: the prompt {shown(cells['id'])}")
    return Prompt(
        cells["id"], text, template, cells["emotion"], valence, arousal, label, audio, float(start or 0)
    )


def _number_or_text(cell: str) -> str | float:
    return float(cell) if _NUMBER.fullmatch(cell) else cell


def _rating(cell: str, where: str) -> float | None:
    if cell and not _NUMBER.fullmatch(cell):
        raise InputError(f"{where} is {shown(cell)}; give a number in −1…1, such as 0.5, or leave it empty")
    return float(cell) if cell else None


def _own_labels(values: Sequence[Any], name: str, places: Sequence[str]) -> list[str | float | None]:
    """Return a label of the study's own for each of `places`: all numbers, or all texts.

    Texts that look like numbers, such as 1, become ``name 1``: they stay categories in every table.

    Raises
    ------
    InputError: a missing label, numbers among texts, or a rating out of range.
    """
    if not name or not values:
        return [None] * len(values)
    for value, place in zip(values, places, strict=True):
        _check_own_label(value, name, place)
        if isinstance(value, str) is not isinstance(values[0], str):
            raise InputError(
                f"the label {name} is {shown(values[0])} at {places[0]}, but {shown(value)} at {place}; give "
                "numbers everywhere (a rating) or texts everywhere (categories)"
            )
    if not isinstance(values[0], str):
        return [float(value) for value in values]
    # A table does not tell the text 1 from the number 1.
    front = f"{name} " if any(map(_like_a_number, values)) else ""
    return [front + value.strip() for value in values]


def _check_own_label(value: Any, name: str, place: str) -> None:
    """Refuse a label that is missing, or a rating that is no number or out of range."""
    if value is None or not str(value).strip():
        raise InputError(
            f"{place}: contrast asks for the label {name!r}, which it does not have"
            f"{did_you_mean(name, LABELS)}; give every one a {name}, or set contrast to one of "
            f"{', '.join(LABELS)}"
        )
    if isinstance(value, str) and _NO_NUMBER.fullmatch(value.strip()):
        raise InputError(
            f"{place}: the label {name} is {shown(value)}; write a finite number with a decimal point, "
            "or a word"
        )
    if not isinstance(value, str) and not abs(value) <= MAX_RATING:
        raise InputError(f"{place}: the label {name} is {value}; ratings lie in ±{MAX_RATING:,.0f}")


def _like_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip().lower() in ("true", "false")
    return True


def checked(prompts: list[Prompt], where: str, rows: Sequence[int]) -> list[Prompt]:
    """Return prompts with ids, texts, labels and ratings that a study can use.

    Parameters
    ----------
    where, rows : where they come from, and the number of each one's row there.

    Raises
    ------
    InputError: no prompt; ids that cannot name a folder or that differ in case only; one text under two ids;
        labels that tables cannot hold, or that look alike; a rating out of range; a template for some only.
    """
    if not prompts:
        raise InputError(f"{where}: there is no prompt; give at least one")
    check_names([prompt.id for prompt in prompts], where, rows)
    seen: dict[str, int] = {}
    for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        here = f"{where}, row {row}"
        if not prompt.emotion:
            raise InputError(f"{here}: {prompt.id!r} needs an emotion")
        if bool(prompt.template) is not bool(prompts[0].template):
            raise InputError(f"{here}: only some prompts have a template; name one for each, or for none")
        # Tracks of one text differ in their sound.
        first = i if prompt.audio else seen.setdefault(reading(prompt.text), i)
        if first != i:
            raise InputError(
                f"{where}: rows {rows[first]} and {row}, {prompts[first].id!r} and {prompt.id!r}, have one "
                f"text, {shown(prompt.text)}: equal clips would count as independent; word one otherwise"
            )
        for scale in RATINGS:
            rating = getattr(prompt, scale)
            if rating is not None and not -1 <= rating <= 1:
                raise InputError(f"{here}: {scale} is {rating}; ratings lie in −1…1")
    check_labels([prompt.emotion for prompt in prompts], "emotion", where, rows)
    check_labels([prompt.template for prompt in prompts], "template", where, rows)
    own = [prompt.label for prompt in prompts if isinstance(prompt.label, str)]
    if own:
        check_labels(own, "label", where, rows)
    return prompts


def check_contrast(prompts: Sequence[Prompt], contrast: str) -> None:
    """Refuse, with an InputError, a rating as contrast that some prompt lacks."""
    for prompt in prompts if contrast in RATINGS else ():
        if getattr(prompt, contrast) is None:
            raise InputError(
                f"contrast: {contrast} is asked for, but prompt {prompt.id!r} has none; rate every prompt, "
                "or set contrast to another label"
            )


def batches(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Yield the items in order, at most `size` ≥ 1 at a time."""
    waiting = iter(items)
    while batch := tuple(islice(waiting, size)):
        yield batch
