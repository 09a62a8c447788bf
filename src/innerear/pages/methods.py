"""A paragraph on methods and a reference to paste into a paper, from the settings of a study."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from typing import Any

import numpy as np
import pandas as pd

from innerear.study.architectures import resolve_layers


@dataclass(frozen=True)
class Cited:
    """Title, authors, version and year from CITATION.cff."""

    title: str
    authors: tuple[str, ...]
    version: str
    year: str

    @classmethod
    def of(cls, text: str) -> "Cited":
        """Read the few lines that are needed of a CITATION.cff.

        Examples
        --------
        >>> said = Cited.of('title: "T"\\nauthors:\\n  - name: A\\nversion: 1.0\\ndate-released: 2026-01-02')
        >>> said.title, said.authors, said.version, said.year
        ('T', ('A',), '1.0', '2026')
        """

        def one(name: str) -> str:
            found = re.search(rf"^{name}:\s*(.+)$", text, re.M)
            return found[1].strip().strip('"') if found else ""

        authors = tuple(name.strip().strip('"') for name in re.findall(r"^\s+- name:\s*(.+)$", text, re.M))
        return cls(one("title"), authors, one("version"), one("date-released")[:4])

    @property
    def bibtex(self) -> str:
        """The reference in BibTeX."""
        fields = {
            "title": f"{{{self.title}}}",
            "author": " and ".join(f"{{{name}}}" for name in self.authors),
            "version": self.version,
            "year": self.year,
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join(["@software{innerear,", *lines, "}"])


def methods(
    samples: pd.DataFrame,
    attrs: Mapping[str, Any],
    design: pd.DataFrame,
    settings: Mapping[str, Any],
    checks: pd.DataFrame,
    version: str,
    n_layers: int,
) -> str:
    """Write the paragraph; see `innerear.pages.record.record_page` for the parameters."""
    generation, statistics, capture = (settings[name] for name in ("generation", "statistics", "capture"))
    found = dict(zip(design["property"], design["value"].astype(str), strict=True))
    group = "sentences" if n_sentences(samples) else "templates"
    blocks = f"within {group}" if _number(found.get("blocks")) > 1 else "among all prompts"
    recorded = (samples["recording"] != "").to_numpy(bool)
    model = f"{samples['model'].iloc[0]} ({attrs['backend']}, {attrs['dtype']})"
    parts = [
        _composed(samples.iloc[np.flatnonzero(~recorded)], model, generation, _seeds(found["seeds"], group)),
        _tracks(samples.iloc[np.flatnonzero(recorded)], model, generation["duration"]),
        f"At every step we recorded the states of {layers_text(capture['layers'], n_layers)} "
        f"({_listed(capture['sites'])}), without their mean over units, which the model's layer "
        f"normalisations discard, as {capture['dtype']}.",
        _proved(checks),
        f"The {'track' if recorded.all() else 'prompt'} is the unit of all tests. "
        f"Unless a table's null says otherwise, labels were permuted {blocks} ({found['permutations']} "
        f"permutations, smallest p {found['smallest p']}); where there are enough {group}, a second test "
        f"flips the signs of whole {group}. Maps are corrected over layers and steps by max-T; "
        f"{_primary(statistics['primary'])}.",
        f"95 % intervals are percentiles of {statistics['bootstraps']} bootstraps of {group}, unless a "
        "table says otherwise: those of analyses of variance, of sparse features and of the chosen layer are "
        f"of a jackknife over {group}, and changes along the clip have t intervals over folds, nowhere "
        "narrower than relabeling gives."
        f"{_reach(found)}",
        f"All was computed with Inner Ear {version}.",
    ]
    return " ".join(part for part in parts if part)


def layers_text(layers: Any, n_layers: int) -> str:
    """Name layers as settings give them, of a model with `n_layers`.

    Examples
    --------
    >>> layers_text("all", 6), layers_text("0-2", 6), layers_text([0, 3, 5], 6), layers_text(3, 6)
    ('all 6 layers', 'layers 0 to 2', 'layers 0, 3 and 5', 'layer 3')
    """
    numbers = resolve_layers(layers, n_layers)
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"layer {first}"
    if len(numbers) == n_layers:
        return f"all {n_layers} layers"
    if numbers == list(range(first, last + 1)):
        return f"layers {first} to {last}"
    return f"layers {_listed([str(number) for number in numbers])}"


def n_sentences(samples: pd.DataFrame) -> int:
    """Return in how many sentences labels stand: templates of texts; 0 where templates only group tracks.

    Without templates in the sheet, each track has its own.
    """
    templates, prompts = (samples[name].astype(str).tolist() for name in ("template", "prompt_id"))
    return 0 if set(samples["text"]) == {""} or templates == prompts else len({*templates} - {""})


def _composed(samples: pd.DataFrame, model: str, generation: Mapping[str, Any], seeds: str) -> str:
    """Say how clips were composed; empty if none were."""
    if samples.empty:
        return ""
    prompts, n = len(set(samples["prompt_id"])), n_sentences(samples)
    within = f" in {n} {'sentence' if n == 1 else 'sentences'}" if n else ""
    return (
        f"We generated {len(samples)} clips of {generation['duration']:g} s with {model} from {prompts} "
        f"prompts: {_labels(samples)}{within}, {seeds}; "
        f"{_guidance(generation)}, {_drawn(generation)}."
    )


def _seeds(seeds: str, group: str) -> str:
    """Say how many seeds a prompt has, of what the design says: "2, each template its own"."""
    number, _, own = seeds.partition(",")
    others = f", other ones in each {group.removesuffix('s')}" if own else ""
    return f"with {number} {'seed' if number == '1' else 'seeds'} a prompt{others}"


def _tracks(samples: pd.DataFrame, model: str, seconds: float) -> str:
    """Say how recorded tracks were read; empty if there are none."""
    if samples.empty:
        return ""
    under = "a text each" if samples["text"].iloc[0] else "no text"
    return (
        f"We encoded {seconds:g} s of each of {len(samples)} recorded tracks ({_labels(samples)}) with the "
        f"codec of {model}, and let the model read the tokens under {under}."
    )


def _labels(samples: pd.DataFrame) -> str:
    return _listed(list(dict.fromkeys(samples["emotion"].astype(str))))


def _number(text: str | None) -> float:
    try:
        return float(str(text))
    except ValueError:
        return 0.0


def _guidance(generation: Mapping[str, Any]) -> str:
    strength = generation["guidance"]
    return "no guidance" if strength is None else f"classifier-free guidance {strength:g}"


def _drawn(generation: Mapping[str, Any]) -> str:
    """Say how tokens were chosen. Top-p takes the place of top-k."""
    if not generation["use_sampling"]:
        return "the likeliest token each time"
    among = "all tokens"
    if generation["top_p"]:
        among = f"top-p {generation['top_p']:g}"
    elif generation["top_k"]:
        among = f"top-k {generation['top_k']}"
    return f"temperature {generation['temperature']:g}, {among}"


def _primary(names: Sequence[str]) -> str:
    if not names:
        return "all questions are exploratory, and are corrected after Benjamini and Hochberg"
    return (
        f"the primary questions ({_listed(names)}), named before anything was generated, are corrected after "
        "Holm, the others after Benjamini and Hochberg"
    )


def _proved(checks: pd.DataFrame) -> str:
    """Say how far replay and the second implementation deviate at most, in both branches and in delta."""
    worst = dict(zip(checks["check"], checks["worst value"], strict=True))
    said = {
        "replay": "a teacher-forced pass over the tokens",
        "witness": "a second implementation (transformers)",
    }
    parts = []
    for name, words in said.items():
        values = [float(worst[key]) for key in (f"{name}_cond", f"{name}_uncond") if key in worst]
        delta = worst.get(f"{name}_delta")
        apart = "" if delta is None else f" (delta, the branches' difference: {_rounded_up(delta)})"
        if values:
            most = _rounded_up(max(values))
            parts.append(f"{words} gives the same states within {most} of their spread{apart}")
    return f"Captures were proved: {'; '.join(parts)}." if parts else ""


def _rounded_up(value: float) -> str:
    """Write a bound with two digits, not below the value.

    Examples
    --------
    >>> _rounded_up(0.00046951), _rounded_up(0.0242), _rounded_up(0.0004)
    ('0.00047', '0.025', '0.0004')
    """
    return f"{float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(str(value))):g}"


def _reach(found: Mapping[str, str]) -> str:
    effect = next((text for name, text in found.items() if name.startswith("detectable effect f at p")), "")
    return f" The design detects an effect of f = {effect} in 80 % of studies." if _number(effect) > 0 else ""


def _listed(names: Sequence[str]) -> str:
    """Join names as one writes them.

    Examples
    --------
    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
