"""Check every capture, from its files alone.

Each stack is read once, one layer at a time, and compared with its hashes as it is read. Only the first steps
of one sample per seed and prompt are kept for comparison, which bounds memory.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from tqdm import tqdm

from innerear.errors import InputError
from innerear.io.clips import read_clip
from innerear.stacks.stack import Stack, tokens_hash

#: `content` is the beginning of the content hash of the stack that was checked
COLUMNS = ("check", "sample", "content", "where", "value", "tolerance", "pass")
#: checks without a value in a capture that has nothing to compare
OPTIONAL = ("same_input", "uncond_start", "cond_start", "uncond_prefix")

# By the model's and the stack's dtype: states of the same tokens agree up to rounding, relative to their
# spread over units. Float16 stores a state with an error of 3e-4 of it. A float16 model rounds in each block:
# its replay deviated by 2.5e-4 at the shape of MusicGen-large (benchmarks/README.md), and by 5e-4 where each
# block's output is rounded beside the released models' constant (tests/capture/test_verification.py). Noise
# of a tenth of the spread fails in all of them.
_TOLERANCES = {("float32", "float32"): 1e-4, ("float32", "float16"): 1e-3}
_TOLERANCE_HALF = 1e-2
# A float16 model against one that computes in float32: all of its own rounding, layer after layer.
_TOLERANCE_HALF_TO_FULL = 5e-2

#: digits of a content hash in the tables of checks
CONTENT_DIGITS = 16
# Steps of uncond that are kept of each seed's first sample.
_COMPARED_STEPS = 64


@dataclass
class _Reference:
    """Values of the first sample of the study, of each prompt and of each seed."""

    n_steps: int
    places: list[tuple[str, int]] | None = None
    uncond: dict[tuple, np.ndarray] = field(default_factory=dict)  # place -> [D], step 0
    cond: dict[tuple, np.ndarray] = field(default_factory=dict)  # prompt, place -> [D], step 0
    codes: dict[int, np.ndarray] = field(default_factory=dict)  # seed -> [K, T]
    start: dict[tuple, np.ndarray] = field(default_factory=dict)  # seed, place -> [steps, D]


def check_samples(index: pd.DataFrame) -> pd.DataFrame:
    """Check every sample of a study, at every site and layer that it holds; see `MEANING`.

    Values
    ------
    steps : number of steps (T + max d in one window) of a layer that differs, else of all.
    length : by how many steps the clip is longer or shorter than most clips of the study.
    labels, layers, tokens, clip : number of steps, places, hashes of tokens, or of WAV files that differ.
    same_input : largest difference between the branches' inputs of layer 0 (models with cross-attention).
    finite : number of NaN and Inf.
    varies : the smallest range, over layers, of a layer's most varied unit.
    uncond_start, cond_start, uncond_prefix : largest `deviation` from the first sample of the study, of the
        prompt, and of the seed.
    audio : deviation from T / frame rate in seconds.

    Parameters
    ----------
    index : a row per sample, as `innerear.stacks.index.sample_table` returns it.

    Returns
    -------
    Table of `COLUMNS`, a row per check and sample; `where` names the site and layer of a deviation, and
    `value` is NaN if there is nothing to compare.

    Raises
    ------
    InputError: an empty index; a stack or a clip that cannot be read, is not the one that the index lists, or
        has changed since it was written.
    """
    if index.empty:
        raise InputError("the index lists no samples; add prompts and seeds to the study")
    most_common = Counter(index["n_steps"].tolist()).most_common(1)[0][0]
    reference, rows = _Reference(most_common), []
    for row in tqdm(index.to_dict("records"), desc="qc", unit="sample"):
        with Stack(row["stack"], content=row["content_sha256"]) as stack:
            for check, value, tolerance, *where in _check_sample(row, stack, reference):
                place = where[0] if where else ""
                rows.append(judged(check, row, place, value, tolerance))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def judged(check: str, row: dict, where: str, value: float | None, tolerance: float) -> tuple:
    """Return a row of `COLUMNS` about a sample of the index; without a value, nothing is compared."""
    found = np.nan if value is None else float(value)
    passed = value is None or passes(check, found, float(tolerance))
    content = row["content_sha256"][:CONTENT_DIGITS]
    return check, row["sample_id"], content, where, found, float(tolerance), passed


def made_again(index: pd.DataFrame) -> pd.DataFrame:
    """Return the samples of an index that `verify` makes again: the first composed one, the first track."""
    return index.loc[~(index["recording"] != "").duplicated().to_numpy(bool)]


def passes(check: str, value: float, tolerance: float) -> bool:
    """Return whether a value is within its tolerance; NaN never is."""
    if check == "steps":
        return value == tolerance
    return value > tolerance if check == "varies" else value <= tolerance


#: What each check of this module and of `innerear.capture.verification` verifies.
MEANING = {
    "steps": "every layer has as many steps as the clip's timeline",
    "length": "the clip has as many steps as the study's other clips",
    "labels": "each step is labelled with the window, position, frames and second of the timeline",
    "layers": "all samples hold the same sites and layers",
    "same_input": "both branches read the same tokens at every step",
    "finite": "no NaN and no infinity",
    "varies": "no layer is constant over steps (the overwrite bug)",
    "uncond_start": "uncond at step 0 is the same for all samples",
    "cond_start": "cond at step 0 is the same for all seeds of a prompt",
    "uncond_prefix": "uncond is the same until two clips' tokens first differ",
    "tokens": "the tokens are those that were hashed when they were written",
    "clip": "the WAV file is the one that was written with the tokens",
    "audio": "the clip is as long as its frames (seconds)",
    **{
        f"{check}_{part}": f"{reader} gives {what} as captured"
        for check, reader in (
            ("replay", "a teacher-forced pass over the tokens"),
            ("witness", "another implementation with the same weights, reading the tokens,"),
        )
        for part, what in (
            *(("cond", "cond"), ("uncond", "uncond"), ("delta", "delta, their difference,")),
            ("level", "the states' means over units"),
        )
    },
    "regenerate": "composing a sample again, or encoding its recording, gives the same tokens",
}


def summarise(checks: pd.DataFrame) -> pd.DataFrame:
    """Return a row per check: meaning, number of samples, worst value and its sample, verdict."""
    rows = []
    for check, meaning in MEANING.items():
        of_check = checks.query("check == @check")
        compared = worst_first(of_check)
        if compared.empty:
            rows.append((check, meaning, 0, np.nan, "", np.nan, "not compared"))
            continue
        worst = compared.iloc[0][["value", "sample", "tolerance"]]
        n_failed = int(np.sum(~of_check["pass"].to_numpy(bool)))
        rows.append((check, meaning, len(compared), *worst, f"{n_failed} failed" if n_failed else "passed"))
    columns = ["check", "says that", "samples", "worst value", "of sample", "tolerance", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def worst_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the compared rows of one check: failed ones first, then by value over tolerance.

    Tolerances differ between rows: a larger deviation may be the smaller share of its own.
    """
    compared = rows["value"].notna() | ~rows["pass"].astype(bool)
    rows = rows.iloc[np.flatnonzero(compared)]
    value, tolerance = (rows[name].to_numpy(float) for name in ("value", "tolerance"))
    share = np.divide(value, tolerance, out=value.copy(), where=tolerance > 0)
    least_is_worst = set(rows["check"]) == {"varies"}
    order = np.lexsort((share if least_is_worst else -share, rows["pass"].astype(bool)))
    return rows.iloc[order]


def _check_sample(row: dict, stack: Stack, reference: _Reference) -> Iterator[tuple]:
    """Yield each check with its value, its tolerance and, for a deviation, where it is largest."""
    places, timeline = stack.places, stack.timeline
    if reference.places is None:
        reference.places = places
    expected = timeline.n_steps
    steps = {stack.shape(layer, site)[1] for site, layer in places} | {len(stack.frames)}
    yield "steps", next(iter(steps - {expected}), expected), expected
    yield "length", abs(expected - reference.n_steps), 0
    yield "labels", _wrong_labels(stack), 0
    yield "layers", len(set(places) ^ set(reference.places)), 0
    gap = stack.input_gap
    yield "same_input", None if gap is None else float(gap.max()), 0
    yield from _check_states(row, stack, reference)
    actual = tokens_hash(stack.codes)
    yield "tokens", (actual != stack.attrs["tokens_sha256"]) + (actual != row["tokens_sha256"]), 0
    wave, rate, written = read_clip(row["audio"])
    yield "clip", (written != stack.attrs["audio_sha256"]) + (written != row["audio_sha256"]), 0
    seconds = timeline.n_frames / timeline.frame_rate
    yield "audio", abs(len(wave) / rate - seconds), 1 / rate


def _check_states(row: dict, stack: Stack, reference: _Reference) -> Iterator[tuple]:
    broken, ranges, tolerance = 0, [], 0.0
    deviations: dict[str, list[tuple]] = {"uncond_start": [], "cond_start": [], "uncond_prefix": []}
    codes = reference.codes.setdefault(row["seed"], stack.codes)
    for place in stack.places:
        site, layer = place
        where = f"{site}, layer {layer}"
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
            deviations["uncond_start"].append((deviation(uncond[0], first), where))
            start = reference.start.setdefault((row["seed"], place), uncond[:_COMPARED_STEPS].copy())
            same = _same_steps(stack.codes, codes, stack.timeline.delays, len(start))
            deviations["uncond_prefix"].append((deviation(uncond[:same], start[:same]), where))
        if "cond" in by_branch:
            first = reference.cond.setdefault((row["prompt_id"], place), by_branch["cond"][0])
            deviations["cond_start"].append((deviation(by_branch["cond"][0], first), where))
    yield "finite", broken, 0
    yield "varies", min(ranges, default=np.inf), 0.0
    for check, values in deviations.items():
        value, where = max(values, default=(None, ""), key=lambda one: np.nan_to_num(one[0], nan=np.inf))
        yield check, value, tolerance, where


def rounding(stack: Stack, states: np.ndarray, *, full: bool = False) -> float:
    """Return the `deviation` that rounding explains, in the model and in the stack.

    `full` says that the other model computes in float32.
    """
    half = _TOLERANCE_HALF_TO_FULL if full else _TOLERANCE_HALF
    return _TOLERANCES.get((stack.attrs["dtype"], str(states.dtype)), half)


def _wrong_labels(stack: Stack) -> int:
    """Count the labels of steps that differ from the timeline."""
    wrong = 0
    for name, (_, values) in stack.timeline.labels().items():
        stored = stack.values(f"step/{name}")
        wrong += int((stored != values).sum()) if stored.shape == values.shape else len(values)
    return wrong


def spread(states: np.ndarray) -> float:
    """Return the spread of states [..., D] over units: the root mean square about each state's mean."""
    return float(np.sqrt(np.var(states, axis=-1, dtype=float).mean()))


def deviation(states: np.ndarray, reference: np.ndarray) -> float:
    """Return the deviation of states [S, D], or [D], at the worst step, relative to the reference's spread.

    At each step it is the root mean square over units. Inf where a value is not finite.

    Examples
    --------
    >>> deviation(np.array([1.5, 2.5]), np.array([1.0, 3.0]))
    0.5
    """
    states, reference = states.astype(np.float32), reference.astype(np.float32)
    if states.shape != reference.shape:
        return np.inf
    worst = float(np.sqrt(np.square(states - reference).mean(axis=-1, dtype=float)).max())
    if worst == 0:  # also if all is zero, as in cross-attention without a text
        return 0.0
    scale = spread(reference)
    return worst / scale if np.isfinite(worst) and scale > 0 else np.inf


def _same_steps(codes: np.ndarray, others: np.ndarray, delays: Sequence[int], limit: int) -> int:
    """Count the first steps that read equal tokens in two clips [K, T]; step 0 reads none.

    Step s predicts codebook k of frame s − d_k and reads what earlier steps predicted. Clips whose
    predictions first differ at step s agree up to and including step s.
    """
    n_frames = min(codes.shape[1], others.shape[1])
    codebook, frame = np.nonzero(codes[:, :n_frames] != others[:, :n_frames])
    differs = int((np.array(delays)[codebook] + frame).min()) if len(frame) else limit
    return min(differs + 1, limit)
