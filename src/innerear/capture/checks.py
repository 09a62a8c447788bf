"""Check every capture, from its files alone.

Each stack is read once, one layer at a time. Only the first steps of one sample per seed and prompt are kept
for comparison, which bounds memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from innerear.errors import InputError
from innerear.stacks.stack import Stack, tokens_hash

COLUMNS = ("check", "sample", "value", "tolerance", "pass")

# By the model's and the stack's dtype: two samples that read the same tokens agree up to rounding, relative
# to the largest unit. Stored in float16, neighbouring values lie 2⁻¹⁰ apart. A float16 model rounds at each
# layer, and differently in batches of different size.
_TOLERANCES = {("float32", "float32"): 1e-4, ("float32", "float16"): 2.0**-9}
_TOLERANCE_HALF = 2e-2

# Steps of uncond that are kept of each seed's first sample.
_COMPARED_STEPS = 64


@dataclass
class _Reference:
    """Values of the first sample of the study, of each prompt and of each seed."""

    places: list[tuple[str, int]] | None = None
    uncond: dict[tuple, np.ndarray] = field(default_factory=dict)  # place -> [D], step 0
    cond: dict[tuple, np.ndarray] = field(default_factory=dict)  # prompt, place -> [D], step 0
    codes: dict[int, np.ndarray] = field(default_factory=dict)  # seed -> [K, T]
    start: dict[tuple, np.ndarray] = field(default_factory=dict)  # seed, place -> [steps, D]


def check_samples(index: pd.DataFrame) -> pd.DataFrame:
    """Check every sample of a study, at every site and layer that it holds; see `MEANING`.

    Values
    ------
    steps : number of steps (T + K − 1 in one window) of a layer that differs, else of all.
    labels, layers, tokens : number of steps, places or hashes that differ.
    same_input : largest difference between the branches' inputs of layer 0 (models with cross-attention).
    finite : number of NaN and Inf.
    varies : the smallest range, over layers, of a layer's most varied unit.
    uncond_start, cond_start, uncond_prefix : largest deviation from the first sample of the study, of the
        prompt, and of the seed, relative to the largest unit.
    audio : deviation from T / frame rate in seconds.

    Parameters
    ----------
    index : a row per sample with sample_id, prompt_id, seed, stack, audio and tokens_sha256.

    Returns
    -------
    Table of `COLUMNS`, a row per check and sample; `value` is NaN if there is nothing to compare.

    Raises
    ------
    InputError: an empty index, or a stack that cannot be read.
    """
    if index.empty:
        raise InputError("the index lists no samples; add prompts and seeds to the study")
    reference, rows = _Reference(), []
    for row in tqdm(index.to_dict("records"), desc="qc", unit="sample"):
        with Stack(row["stack"]) as stack:
            for check, value, tolerance in _check_sample(row, stack, reference):
                passed = bool(np.isnan(value) or value <= tolerance)
                if check in ("steps", "varies"):
                    passed = value == tolerance if check == "steps" else value > tolerance
                rows.append((check, row["sample_id"], float(value), float(tolerance), bool(passed)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


#: What each check of this module and of `innerear.capture.verification` verifies.
MEANING = {
    "steps": "every layer has as many steps as the clip's timeline",
    "labels": "each step is labelled with the window, position, frames and second of the timeline",
    "layers": "all samples hold the same sites and layers",
    "same_input": "both branches read the same tokens at every step",
    "finite": "no NaN and no infinity",
    "varies": "no layer is constant over steps (the overwrite bug)",
    "uncond_start": "uncond at step 0 is the same for all samples",
    "cond_start": "cond at step 0 is the same for all seeds of a prompt",
    "uncond_prefix": "uncond is the same until two clips' tokens first differ",
    "tokens": "the tokens are those that were hashed when they were written",
    "audio": "the clip is as long as its frames (seconds)",
    "replay": "a teacher-forced pass over the tokens gives the states that were captured",
    "regenerate": "composing a sample again gives the same tokens",
}


def summarise(checks: pd.DataFrame) -> pd.DataFrame:
    """Return a row per check: meaning, number of samples, worst value and its sample, verdict."""
    rows = []
    for check, meaning in MEANING.items():
        of_check = checks.query("check == @check")
        compared = of_check.dropna(subset=["value"]).sort_values("value", ascending=check == "varies")
        if compared.empty:
            rows.append((check, meaning, 0, np.nan, "", np.nan, "not compared"))
            continue
        worst = compared.iloc[0][["value", "sample", "tolerance"]]
        n_failed = int(np.sum(~of_check["pass"].to_numpy(bool)))
        rows.append((check, meaning, len(compared), *worst, f"{n_failed} failed" if n_failed else "passed"))
    columns = ["check", "says that", "samples", "worst value", "of sample", "tolerance", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _check_sample(row: dict, stack: Stack, reference: _Reference) -> Iterator[tuple[str, float, float]]:
    places, timeline = stack.places, stack.timeline
    if reference.places is None:
        reference.places = places
    expected = timeline.n_steps
    steps = {stack.shape(layer, site)[1] for site, layer in places} | {len(stack.frames)}
    yield "steps", next(iter(steps - {expected}), expected), expected
    yield "labels", _wrong_labels(stack), 0
    yield "layers", len(set(places) ^ set(reference.places)), 0
    gap = stack.input_gap
    yield "same_input", np.nan if gap is None else float(gap.max()), 0
    yield from _check_states(row, stack, reference)
    actual = tokens_hash(stack.codes)
    yield "tokens", (actual != stack.attrs["tokens_sha256"]) + (actual != row["tokens_sha256"]), 0
    clip = soundfile.info(row["audio"])
    seconds = timeline.n_frames / timeline.frame_rate
    yield "audio", abs(clip.frames / clip.samplerate - seconds), 1 / clip.samplerate


def _check_states(row: dict, stack: Stack, reference: _Reference) -> Iterator[tuple[str, float, float]]:
    broken, ranges, tolerance = 0, [], 0.0
    deviations: dict[str, list[float]] = {"uncond_start": [], "cond_start": [], "uncond_prefix": []}
    codes = reference.codes.setdefault(row["seed"], stack.codes)
    for place in stack.places:
        site, layer = place
        states = stack.read(layer, site)  # [C, S, D]
        tolerance = rounding(stack, states)
        broken += int((~np.isfinite(states)).sum())
        by_branch = dict(zip(stack.branches, states, strict=True))
        for branch, one in by_branch.items():
            # Without a text, cross-attention adds the same at every step.
            if (site, branch) != ("cross_attention", "uncond"):
                ranges.append(float(np.ptp(one.astype(np.float32), axis=0).max()))
        if "uncond" in by_branch:
            uncond = by_branch["uncond"]
            first = reference.uncond.setdefault(place, uncond[0])
            deviations["uncond_start"].append(deviation(uncond[0], first))
            start = reference.start.setdefault((row["seed"], place), uncond[:_COMPARED_STEPS].copy())
            same = _same_steps(stack.codes, codes, len(start))
            deviations["uncond_prefix"].append(deviation(uncond[:same], start[:same]))
        if "cond" in by_branch:
            first = reference.cond.setdefault((row["prompt_id"], place), by_branch["cond"][0])
            deviations["cond_start"].append(deviation(by_branch["cond"][0], first))
    yield "finite", broken, 0
    yield "varies", min(ranges, default=np.inf), 0.0
    for check, values in deviations.items():
        yield check, max(values, default=np.nan), tolerance


def rounding(stack: Stack, states: np.ndarray) -> float:
    """Return the relative deviation that rounding explains, in the model and in the stack."""
    return _TOLERANCES.get((stack.attrs["dtype"], str(states.dtype)), _TOLERANCE_HALF)


def _wrong_labels(stack: Stack) -> int:
    """Count the labels of steps that differ from the timeline."""
    wrong = 0
    for name, (_, values) in stack.timeline.labels().items():
        stored = stack.values(f"step/{name}")
        wrong += int((stored != values).sum()) if stored.shape == values.shape else len(values)
    return wrong


def deviation(states: np.ndarray, reference: np.ndarray) -> float:
    """Return the largest difference relative to the reference's largest unit; Inf if one is not finite.

    >>> deviation(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    0.5
    """
    states, reference = states.astype(np.float32), reference.astype(np.float32)
    if states.shape != reference.shape:
        return np.inf
    difference = float(np.abs(states - reference).max())
    if difference == 0:  # also if all is zero, as in cross-attention without a text
        return 0.0
    return difference / float(np.abs(reference).max()) if np.isfinite(difference) else np.inf


def _same_steps(codes: np.ndarray, others: np.ndarray, limit: int) -> int:
    """Count the first steps that read equal tokens in two clips [K, T]; step 0 reads none.

    Step s predicts codebook k of frame s − k and reads what earlier steps predicted. Clips whose predictions
    first differ at step s agree up to and including step s.
    """
    n_frames = min(codes.shape[1], others.shape[1])
    codebook, frame = np.nonzero(codes[:, :n_frames] != others[:, :n_frames])
    differs = int((codebook + frame).min()) if len(frame) else limit
    return min(differs + 1, limit)


def require_passed(checks: pd.DataFrame, path: str) -> None:
    """Refuse a study in which a check failed.

    Parameters
    ----------
    checks : of `check_samples`.
    path : of the table, in the folder ``qc`` of the study's results.

    Raises
    ------
    InputError: each failed check with its sample, value and tolerance.
    """
    failed = checks[~checks["pass"].astype(bool)]
    if failed.empty:
        return
    lines = [
        f"  - {row['check']}: {row['sample']} has {row['value']:g} (tolerance {row['tolerance']:g})"
        for _, row in failed.iterrows()
    ]
    stack = Path(path).parent.parent / "stacks" / f"{failed.iloc[0]['sample']}.h5"
    raise InputError(
        f"{len(failed)} checks failed (all of them are in {path}):\n"
        + "\n".join(lines[:20])
        + f"\nRemake a sample with, for the first: snakemake --cores 1 --force {stack}"
    )
