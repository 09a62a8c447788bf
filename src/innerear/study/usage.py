"""Disk, time and memory that a study has used, compared with its estimate and the jobs' requests."""

import csv
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from math import isnan, nan
from os import PathLike
from pathlib import Path
from statistics import median

from innerear.study.estimate import Estimate, bytes_text

_FOLDERS = {"stacks": ("stacks", "captures")}
# The last line of the log of a job that composes or replays; what was there already is not counted.
_MADE = re.compile(r"made (\d{1,9}) (?:clips|passes)")
_JOBS_READ = 200  # enough for a median; a study may have a million


def generation_time(size: Estimate, results: str | PathLike) -> str:
    """Return the time to generate all samples, at the median rate of the finished jobs."""
    rates = _rates(results, "generate")
    if not rates:
        return "  time      is known after the first generation job: ask again with snakemake -n"
    rate = median(rates)
    return (
        f"  time      {duration_text(rate * size.n_samples)} of one device for all samples, "
        f"at {rate:.3g} s each, the median of {_jobs_text(rates)} done"
    )


def counterfactual_time(size: Estimate, results: str | PathLike) -> str:
    """Return the time of the counterfactual replay, at the best rate known; empty if nothing is swapped.

    The rate is that of its own jobs; else of rule replay, whose passes are the same; else of generation, an
    upper bound.
    """
    if not size.cells:
        return ""
    own, replayed, generated = (_rates(results, rule) for rule in ("counterfactual", "replay", "generate"))
    if own:
        rate = median(own)
        said = f"at {rate:.3g} s a pass, the median of {_jobs_text(own)} done"
    elif replayed:
        rate = median(replayed)
        said = f"at {rate:.3g} s a pass, the median of {_jobs_text(replayed)} of rule replay"
    elif generated:
        rate = median(generated)
        said = "as if a pass took as long as generating; better known after the first such job"
    else:
        return "            that of the swapped texts after the first job too"
    bound = "" if own or replayed else "less than "
    return f"            {bound}{duration_text(rate * size.cells.n_passes)} for the swapped texts, {said}"


def steering_time(n_clips: int, results: str | PathLike) -> str:
    """Return the time of a study's interventions, which compose so many clips; empty if there are none.

    The rate is that of rule steer; before it is known, that of generation.
    """
    if not n_clips:
        return ""
    own = _rates(results, "steer")
    rates = own or _rates(results, "generate")
    if not rates:
        return f"            that of the {n_clips:,} steered clips after the first job too"
    rate = median(rates)
    said = f"the median of {_jobs_text(rates)} of rule {'steer' if own else 'generate'}"
    all_clips = f"{duration_text(rate * n_clips)} for {n_clips:,} steered clips"
    return f"            {all_clips}, at {rate:.3g} s each, {said}"


def memory_asked(asked: Mapping[str, float], most: int = 4) -> str:
    """Return the rules that request the most memory, in MB (10⁶ bytes), at the first attempt."""
    largest = sorted(asked.items(), key=lambda rule: -rule[1])[:most]
    listed = ", ".join(f"{rule} {bytes_text(mb * 1e6)}" for rule, mb in largest)
    others = "; the other rules less" if len(asked) > most else ""
    return f"  asked     {listed} of memory for a job{others}"


def usage_report(size: Estimate, results: str | PathLike, asked: Mapping[str, float]) -> str:
    """Compare a finished study with its estimate, and its jobs with the memory that they requested.

    Parameters
    ----------
    results : the study's folder.
    asked : MB of memory by rule, at the first attempt.

    Returns
    -------
    Lines: bytes on disk, estimated and used; then per rule its jobs, their time, memory requested, and the
    largest resident memory.
    """
    lines = ["  on disk          estimated        used"]
    for name, expected in size.disk.items():
        used = disk_used(results, name)
        lines.append(f"  {name:<14} {bytes_text(expected):>11} {bytes_text(used):>11}")
    lines.append("  rule                 jobs     in all   memory asked       used")
    for rule, n_jobs, seconds, peak in used_by_rule(results):
        limit = asked.get(rule)
        asks = bytes_text(limit * 1e6) if limit else "–"
        used = "–" if isnan(peak) else bytes_text(peak)
        over = "  more than asked" if limit and peak > limit * 1e6 else ""
        lines.append(f"  {rule:<18} {n_jobs:>6} {duration_text(seconds):>10} {asks:>14} {used:>10}{over}")
    return "\n".join(lines)


def disk_used(results: str | PathLike, name: str) -> int:
    """Return the bytes of all files of a kind, as `Estimate.disk` names them."""
    folders = [Path(results, folder) for folder in _FOLDERS.get(name, (name,))]
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def used_by_rule(results: str | PathLike) -> list[tuple[str, int, float, float]]:
    """Return each rule's number of jobs, their seconds in all, and the largest memory of one in bytes.

    A job that ends before the first measurement has no memory: NaN if all do.
    """
    found = []
    for rule, jobs in sorted(jobs_by_rule(Path(results, "benchmarks")).items()):
        seconds = sum(float(job["s"]) for job in jobs)
        peaks = [float(job["max_rss"]) * 2**20 for job in jobs if job["max_rss"] not in ("-", "NA", "")]
        found.append((rule, len(jobs), seconds, max(peaks, default=nan)))
    return found


def jobs_by_rule(benchmarks: Path) -> dict[str, list[dict[str, str]]]:
    """Return the measurements of a study's finished jobs by rule, as Snakemake names their columns."""
    jobs: dict[str, list[dict[str, str]]] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        jobs.setdefault(rule, []).extend(_benchmark(path))
    return jobs


def duration_text(seconds: float) -> str:
    """Return a duration in the largest unit that keeps it above one.

    >>> duration_text(90), duration_text(59.99), duration_text(86_400_000)
    ('1.5 min', '1 min', '1,000 days')
    """
    for unit, length, of_next in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 24)):
        if float(said := f"{seconds / length:.3g}") < of_next:
            return f"{said} {unit}"
    days = seconds / 86400
    said = f"{days:.3g}" if days < 99.95 else f"{days:,.0f}"
    return f"{said} day{'s' if said != '1' else ''}"


def _jobs_text(jobs: Sequence[float]) -> str:
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"


def _rates(results: str | PathLike, rule: str) -> list[float]:
    """Return the seconds of a clip or a pass in each finished job of a rule that made some."""
    benchmarks, rates = Path(results, "benchmarks"), []
    for path in islice((benchmarks / rule).rglob("*.tsv"), _JOBS_READ):
        made = _made(Path(results, "logs", path.relative_to(benchmarks)).with_suffix(".log"))
        rates += [float(job["s"]) / made for job in _benchmark(path) if made]
    return rates


def _made(log: Path) -> int:
    """Return how many clips or passes a job made, by the last line of its log; 0 if that does not say."""
    try:
        last = log.read_text("utf-8", errors="replace").rstrip().rpartition("\n")[2]
    except OSError:
        return 0
    said = _MADE.fullmatch(last)
    return int(said[1]) if said else 0


def _benchmark(path: Path) -> list[dict[str, str]]:
    """Return the rows of a benchmark; what cannot be read is left out: no run is to fail over it."""
    with suppress(csv.Error, OSError), open(path, newline="", encoding="utf-8", errors="replace") as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if _is_whole(row)]
    return []


def _is_whole(row: Mapping[str, str | None]) -> bool:
    numbers = row.get("s"), row.get("max_rss")
    known = (text and re.fullmatch(r"\d{1,15}(\.\d+)?|-|NA", text) for text in numbers)
    return all(known) and row["s"] not in ("-", "NA")
