"""The record of a study: checks, settings, estimated and used resources, methods and citation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from innerear.capture.checks import worst_first
from innerear.pages.heading import Heading
from innerear.pages.methods import Cited, methods
from innerear.study.estimate import bytes_text
from innerear.study.usage import disk_used, duration_text, used_by_rule

_MADE_WITH = {
    "backend": "implementation",
    "device": "device",
    "dtype": "precision of weights",
    "rows": "rows a call",
}


@dataclass(frozen=True)
class Estimated:
    """Estimates made before any work: bytes on disk by kind, and MB of memory that each rule asks for."""

    disk: Mapping[str, float]
    memory: Mapping[str, float]


def record_page(
    heading: Heading,
    *,
    samples: pd.DataFrame,
    attrs: Mapping[str, Any],
    checks: pd.DataFrame,
    verification: pd.DataFrame,
    checklist: pd.DataFrame,
    design: pd.DataFrame,
    settings: Mapping[str, Any],
    settings_text: str,
    n_layers: int,
    announcement: str,
    estimated: Estimated,
    results: str | PathLike,
    citation: str,
    fetched: str = "",
) -> str:
    """Make the page.

    Parameters
    ----------
    samples : the index; attrs : of a stack, which name versions and settings of generation.
    checks, verification, checklist, design : tables of rules gate, verify, checklist and design.
    settings, settings_text : of the study, as a mapping and as they are written.
    n_layers : of the model.
    announcement : what a dry run says.
    results : the study's folder, whose files and benchmarks are counted.
    citation : the text of CITATION.cff; fetched : that of model.json, for models of a hub.
    """
    cited = Cited.of(citation)
    return heading.page(
        "record.html",
        "Record",
        checks=_checks(checks),
        deviations=_deviations(verification),
        checklist=checklist.to_dict("records"),
        design=list(zip(design["property"], design["value"].astype(str), strict=True)),
        made=_made(samples, attrs),
        fetched=fetched,
        hashes=_hashes(samples),
        announcement=announcement,
        disk=[
            (name, bytes_text(expected), bytes_text(disk_used(results, name)))
            for name, expected in estimated.disk.items()
        ],
        rules=_rules(estimated, results),
        settings=settings_text,
        methods=methods(samples, attrs, design, settings, checks, cited.version, n_layers),
        citation=citation,
        bibtex=cited.bibtex,
    )


def _checks(checks: pd.DataFrame) -> list[dict[str, Any]]:
    columns = {"worst value": "worst", "says that": "says", "of sample": "sample"}
    return checks.rename(columns=columns).to_dict("records")


def _deviations(verification: pd.DataFrame) -> list[tuple[str, str, int, float, float]]:
    """Return name, place of the worst, number, worst value and tolerance of each check of `verify`."""
    found = []
    for check in dict.fromkeys(verification["check"].tolist()):
        rows = verification.iloc[np.flatnonzero(verification["check"] == check)]
        worst = worst_first(rows).iloc[0]
        found.append(
            (check, str(worst["where"]), len(rows), float(worst["value"]), float(worst["tolerance"]))
        )
    return found


def _made(samples: pd.DataFrame, attrs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the clips were made with: model, hashes of its parts, precision, and versions."""
    parts = str(samples["model_identity"].iloc[0]).split(";")
    made = [("model", str(samples["model"].iloc[0]))]
    made += [(f"weights, {kind}", digest) for kind, _, digest in (part.partition(":") for part in parts)]
    made += [(name, str(attrs[key])) for key, name in _MADE_WITH.items() if key in attrs]
    versions = {key.removeprefix("version_"): str(attrs[key]) for key in attrs if key.startswith("version_")}
    return made + sorted(versions.items())


def _hashes(samples: pd.DataFrame) -> Sequence[tuple[str, str, str]]:
    columns = (samples[name].astype(str).tolist() for name in ("sample_id", "content_sha256", "audio_sha256"))
    return list(zip(*columns, strict=True))


def _rules(estimated: Estimated, results: str | PathLike) -> list[tuple[str, int, str, str, str]]:
    """Return each rule's jobs, time, memory asked for and used."""
    rows = []
    for rule, n_jobs, seconds, peak in used_by_rule(results):
        asked = estimated.memory.get(rule)
        rows.append(
            (
                rule,
                n_jobs,
                duration_text(seconds),
                bytes_text(asked * 1e6) if asked else "–",
                "–" if np.isnan(peak) else bytes_text(peak),
            )
        )
    return rows
