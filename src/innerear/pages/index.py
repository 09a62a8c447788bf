"""The page that a reader opens first: each question's answer on a card, then how it was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from innerear.pages.answers import number_text, with_minus
from innerear.pages.figures import Figure
from innerear.pages.heading import Heading
from innerear.pages.methods import n_sentences
from innerear.pages.number_line import number_line
from innerear.statistics.claims import ESTABLISHED, NOT_ESTABLISHED, NOT_TESTED, SENTENCES
from innerear.statistics.finding import UNITS
from innerear.study.questions import words_for

#: how sure an answer is → what the page calls it, and its mark
LEVELS = {
    ESTABLISHED: ("Established", "●"),
    SENTENCES: ("For these sentences", "◐"),
    NOT_ESTABLISHED: ("Not established", "○"),
    NOT_TESTED: ("Measured, not tested", "□"),
}
#: columns of prose
_PROSE = ("question", "control", "answer", "effect", "meaning", "formula", "null", "family")


def index_page(
    table: pd.DataFrame,
    heading: Heading,
    *,
    figures: Mapping[str, Figure],
    samples: pd.DataFrame,
    design: pd.DataFrame,
) -> str:
    """Make the page of answers.

    Parameters
    ----------
    table : of `innerear.pages.findings.findings`.
    figures : name → figure, of those that findings name.
    samples, design : the index, and the summary of the design, which the first sentences are made of.
    """
    group = "sentences" if n_sentences(samples) else "templates"
    found = dict(zip(design["property"], design["value"].astype(str), strict=True))
    contrast = found["contrast"].partition(",")[0]
    table = _called(table, contrast, group)
    cards: list[dict[str, Any]] = []
    shown: set[str] = set()
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        if row["control"]:
            cards[-1]["controls"].append(_control(row))
            continue
        name = (row["figure"] or "").removesuffix(".svg")
        figure = figures.get(name)
        cards.append(_card(row) | {"figure": figure, "again": name in shown})
        shown |= {name} if figure else set()
    for card in cards:
        card["line"] = number_line(**card.pop("drawn"), controls=[one["drawn"] for one in card["controls"]])
    first = [card for card in cards if card["primary"]]
    others = [card for card in cards if not card["primary"]]
    return heading.page(
        "index.html",
        "Answers",
        first=first,
        others=others,
        asked=_asked(samples),
        reach=_reach(found, contrast),
        levels=LEVELS,
        group=group,
        words=words_for(contrast),
    )


def _called(table: pd.DataFrame, contrast: str, group: str) -> pd.DataFrame:
    """Call labels and templates in prose what the page calls them."""
    one = group.removesuffix("s")
    called = {"label": contrast, "template": one, "Template": one.capitalize()}
    words = {rf"\b{name}(?=s?\b)": word for name, word in called.items()}
    return table.replace(dict.fromkeys(_PROSE, words), regex=True)


def _asked(samples: pd.DataFrame) -> str:
    """Say what was generated, or read."""
    labels, prompts = (len(set(samples[name])) for name in ("emotion", "prompt_id"))
    seeds = sorted(set(samples.groupby("prompt_id")["seed"].nunique()))
    tracks = sum(samples["recording"] != "")
    n, name = n_sentences(samples), "sentence"
    if not n:
        n, name = prompts, "track" if tracks == len(samples) else "prompt"
    of = f"in {n} {name}{'s' * (n != 1)}"
    number = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    each = f"{number} {'seed' if seeds == [1] else 'seeds'}"
    said = f"{labels} {'emotion' if labels == 1 else 'emotions'} {of}, {each} each"
    return f"{said}; {tracks} of {len(samples)} clips are recorded." if tracks else f"{said}."


def _reach(found: Mapping[str, str], contrast: str) -> str:
    """Say how small an effect the design can show."""
    effect = next((value for name, value in found.items() if name.startswith("detectable effect f at p")), "")
    try:
        size = f"{float(effect):.2f}"
        means = f"{words_for(contrast)['contrasts']} whose means spread {size} times as far as prompts of one"
        return f"The design can show effects from f = {size}: {means}."
    except ValueError:
        return "The design is too small to show an effect of any size."


def _card(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card shows of a row of `findings`."""
    unit = UNITS[row["unit"]] if row["unit"] else None
    verdict, text = _parted(row["answer"], row["established"])
    chance = None if row["estimate"] is None else row["chance"]
    without = "" if unit is None or chance is None else number_text(unit, chance).lstrip("+")
    return {
        "question": row["question"],
        "primary": row["primary"] == "primary",
        "level": row["established"],
        "verdict": verdict,
        "text": text,
        "effect": row["effect"],
        "meaning": row["meaning"],
        "interval": _interval(unit, row),
        "agree": "" if row["k"] is None else f"{row['k']:.0f} of {row['n_templates']:.0f}",
        "p": p_text(row["p_page"]),
        "null": (row["null"] or "").partition(";")[0],
        "p_flip": p_text(row["p_flip_page"]),
        "without": without,
        "controls": [],
        "facts": _facts(row),
        "drawn": {"unit": unit, "row": row, "label": f"{row['effect']}, {_interval(unit, row)}".rstrip(", ")},
    }


def _control(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["control"],
        "effect": row["effect"] or "–",
        "interval": _interval(UNITS[row["unit"]] if row["unit"] else None, row),
        "p": p_text(row["p_corrected"]),
        "drawn": (row["control"], row["estimate"]),
    }


def _parted(answer: str, level: str) -> tuple[str, str]:
    """Part an answer into its first words and the rest; a measurement has no verdict.

    Examples
    --------
    >>> _parted("Yes, over all layers: 3 dB.", ESTABLISHED)
    ('Yes.', 'Over all layers: 3 dB.')
    """
    if level == NOT_TESTED:
        return "", answer
    places = [place for mark in (": ", ", ", ". ", " (") if (place := answer.find(mark)) > 0]
    end = min(places, default=len(answer))
    rest = answer[end:].lstrip(":,. ")
    return answer[:end].rstrip(".") + ".", rest[:1].upper() + rest[1:]


def _interval(unit: Any, row: Mapping[str, Any]) -> str:
    if unit is None or row["ci_lo"] is None or not np.isfinite([row["ci_lo"], row["ci_hi"]]).all():
        return ""
    low, high = (number_text(unit, row[name]) for name in ("ci_lo", "ci_hi"))
    return f"{low} to {high}"


def p_text(p: float | None) -> str:
    """Write a p as one reads it; "" where there is none.

    Examples
    --------
    >>> p_text(1 / 1001), p_text(0.2), p_text(None)
    ('.001', '.2', '')
    """
    if p is None or not np.isfinite(p):
        return ""
    return f"{p:.2g}".removeprefix("0") if p < 1 else "1"


def _facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how an answer was measured: the row of the table it is from, name by name."""
    numbers: Sequence[tuple[str, str, str]] = (
        ("estimate", "estimate", "{:.6g}"),
        ("95 % interval", "ci_lo", "{:.6g}"),
        ("one-sided 95 % bound that holds in every row", "upper", "{:.4g}"),
        ("p in its family, against the null", "p_corrected", "{:.3g}"),
        ("smallest p against the null", "min_p", "{:.3g}"),
        ("p in its family, by sign flips", "p_flip_corrected", "{:.3g}"),
        ("smallest p of sign flips", "min_p_flip", "{:.3g}"),
        ("prompts", "n_prompts", "{:.0f}"),
    )
    facts = [("what it measures", row["meaning"]), ("formula", row["formula"])]
    for name, column, shape in numbers:
        if row[column] is not None and np.isfinite(row[column]):
            ends = (column, "ci_hi") if column == "ci_lo" else (column,)
            facts.append((name, with_minus(" to ".join(shape.format(row[end]) for end in ends))))
    facts += [("null", row["null"]), ("corrected over", row["family"]), ("table and rows", row["source"])]
    return [(name, str(text)) for name, text in facts if text]
