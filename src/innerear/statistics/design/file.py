"""The study's design as a file: labels and permutations, drawn once and read by every analysis."""

import hashlib
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.io.names import remake
from innerear.stacks import GramFile
from innerear.statistics.design import Design
from innerear.study.power import LEVELS, Power


def write_design(design: Design, path: str | PathLike) -> None:
    """Write a design's labels and permutation table as HDF5: `permutations` int32 [permutation, sample].

    Of `Design.shuffled`, `read_design` returns the shuffled one.
    """
    table = design.permutations()
    coords = {"permutation": np.arange(len(table), dtype=np.int32)}
    attrs = {"contrast": design.label, "seed": design.seed, "shuffled": int(design.is_shuffled)}
    attrs |= {"n_bootstraps": design.n_bootstraps, "permutation_hash": design.permutation_hash()}
    attrs["samples_sha256"] = _labels_hash(design.samples)
    GramFile.write(
        path,
        {"permutations": (("permutation", "sample"), table)},
        coords | {"sample": design.samples["sample_id"].to_numpy(str)},
        attrs,
    )


def read_design(samples: pd.DataFrame, path: str | PathLike, label: str = "") -> Design:
    """Return the design that `write_design` wrote, with its permutation table and number of bootstraps.

    Parameters
    ----------
    samples : the sample sheet that the design was made from.
    label : another column than the study's contrast, for an analysis of one fixed label. The permutations
        move whole prompts and serve every column.

    Raises
    ------
    InputError: the file is of other samples, or its permutations are not those that its hash names.
    """
    with GramFile(path) as stored:
        contrast, seed = str(stored.attrs["contrast"]), int(stored.attrs["seed"])
        table, promised = stored.read("permutations"), str(stored.attrs["permutation_hash"])
        ids, shuffled = stored.coords("sample"), bool(stored.attrs["shuffled"])
        n_bootstraps = int(stored.attrs["n_bootstraps"])
        made_of = stored.attrs["samples_sha256"]

    def of(label: str) -> Design:
        design = Design(samples, label, seed, n_bootstraps=n_bootstraps)
        design.check_order(ids)
        return design.shuffled() if shuffled else design

    design = of(label or contrast)
    if made_of != _labels_hash(design.samples if label in ("", contrast) else of(contrast).samples):
        raise InputError(f"{path} is the design of other samples or labels; {remake(path)}")
    design.use_table(table)
    found = design.permutation_hash()
    if found != promised:
        raise InputError(f"{Path(path)}: its permutations have hash {found}, not {promised}; {remake(path)}")
    return design


def _labels_hash(samples: pd.DataFrame) -> str:
    """Return the hash of samples with their labels; not of their files, on which no permutation depends."""
    files = [name for name in samples if str(name).endswith("_sha256") or name in ("stack", "audio")]
    kept = samples.drop(columns=files)
    return hashlib.sha256(str(kept.to_json(orient="split", index=False)).encode()).hexdigest()


def summary(design: Design) -> pd.DataFrame:
    """Say in a table of `property` and `value` what the design allows."""
    why = design.why_no_folds
    values = {
        "contrast": f"{design.label}, shuffled (control)" if design.is_shuffled else design.label,
        "kind": "rating" if design.numeric else "categories",
        "samples": design.n_samples,
        "prompts": design.n_prompts,
        "seeds": f"{len(design.seeds)}{', each template its own' if design.own_seeds else ''}",
        "blocks": design.n_blocks if design.blocked else "none: labels move between all prompts",
        "folds": f"none: {why}" if why else len(design.folds()),
        "distinct relabelings": design.relabelings,
        "permutations": design.n_permutations,
        "smallest p": design.why_not() or f"{design.smallest_p():.3g}",
        "permutation hash": design.permutation_hash(),
        **_power(design),
    }
    return pd.DataFrame({"property": list(values), "value": [str(value) for value in values.values()]})


def _power(design: Design) -> dict[str, object]:
    """Return what the design was able to establish before any clip was made."""
    labels = design.targets[:, 0] if design.numeric else design.prompt_labels
    templates = design.samples["template"].to_numpy()[design.rows[:, 0]]
    power = Power.of(labels.tolist(), templates.tolist(), design.n_permutations)
    effects = {
        f"{name} at p ≤ {level:g}": _number(power.detectable(level, flips=flips))
        for name, flips in (("detectable effect f", False), ("the same by sign flips", True))
        for level in LEVELS
    }
    return {
        "smallest p of sign flips": _number(power.smallest_flip_p),
        **effects,
        "not possible": "; ".join(power.warnings) or "–",
    }


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.3g}"
