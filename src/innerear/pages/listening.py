"""The page of a listening test, its key, and the answers that come back."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyloudnorm
from numpy.typing import NDArray

from innerear.analyses.listening_test import Excerpt, Trial, scores
from innerear.errors import InputError
from innerear.io.clips import read_clip
from innerear.io.files import atomic
from innerear.pages.templates import as_script, fill
from innerear.pages.vorbis import embedded

#: loudness of all excerpts, and the largest sample of one
LUFS, PEAK = -23.0, 0.98
#: seconds in which a cut begins and ends
FADE = 0.02
_PAGE = re.compile(r'data-page="([0-9a-f]{64})" data-key="([0-9a-f]{64})"')


#: name of a clip → its sound [n, channels] within ±1, and samples a second
Read = Callable[[str], tuple[NDArray, int]]


def listening_page(trials: Sequence[Trial], read: Read, rng: np.random.Generator) -> tuple[str, str]:
    """Make the page and its key.

    The page holds no name of a clip or a group, and its sounds stand in an order of `rng`.

    Returns
    -------
    The page as HTML, and the key as JSON: trials with their answers. The page holds the key's sha256.

    Raises
    ------
    InputError: no trials.
    """
    if not trials:
        raise InputError("the study gives a listening test nothing to ask about; see docs/listening_test.md")
    excerpts = list(dict.fromkeys(one for trial in trials for one in (*trial.examples, *trial.excerpts)))
    excerpts = [excerpts[i] for i in rng.permutation(len(excerpts))]
    number = {one: i for i, one in enumerate(excerpts)}
    sounds = [_sound(*read(one.clip), one) for one in excerpts]
    key = json.dumps({"trials": [asdict(trial) for trial in trials]}, ensure_ascii=False, indent=1)
    asked = [
        {
            "question": trial.question,
            "examples": [number[one] for one in trial.examples],
            "excerpts": [number[one] for one in trial.excerpts],
        }
        for trial in trials
    ]
    key_hash = _sha256(key)
    page = _sha256(key_hash + json.dumps(asked) + "".join(sound["ogg"] for sound in sounds))
    told = as_script(asked)
    return fill("listening.html", told=told, sounds=sounds, page=page, key=key_hash), key


def reader(samples: pd.DataFrame, steered: Mapping[str, tuple[NDArray, int]]) -> Read:
    """Return what reads the clips of an index by sample id, and steered ones by name."""
    files = dict(zip(samples["sample_id"].astype(str), samples.to_dict("records"), strict=True))

    def read(name: str) -> tuple[NDArray, int]:
        if name in steered:
            return steered[name]
        wave, rate, *_ = read_clip(files[name]["audio"], files[name]["audio_sha256"])
        return wave, rate

    return read


def _sound(wave: NDArray, rate: int, excerpt: Excerpt) -> dict[str, Any]:
    """Return an excerpt of a clip, at the loudness that all have; a cut begins and ends softly."""
    start = round(excerpt.start * rate)
    stop = len(wave) if excerpt.seconds is None else start + round(excerpt.seconds * rate)
    part = np.array(wave[start:stop], np.float64)
    if len(part) < len(wave):
        ramp = np.minimum(1, np.arange(1, len(part) + 1) / (FADE * rate))
        part *= np.minimum(ramp, ramp[::-1])[:, None]
    meter = pyloudnorm.Meter(rate, block_size=min(0.4, len(part) / rate))
    ogg = embedded(_as_loud(part, meter.integrated_loudness(part)), rate)
    return {"ogg": ogg, "rate": rate, "seconds": len(part) / rate}


def _as_loud(wave: NDArray, level: float) -> NDArray:
    """Bring a clip of a loudness to `LUFS`, or as near as its peaks allow; silence stays."""
    peak = float(np.abs(wave).max(initial=0))
    if peak == 0 or not np.isfinite(level):
        return wave
    return wave * min(10 ** ((LUFS - level) / 20), PEAK / peak)


def keep_page(page: str, key: str, folder: str | PathLike) -> None:
    """Keep a page and its key under the page's hash, for answers that come back after another was made.

    Says so where the folder keeps other pages.
    """
    name = _PAGE.search(page)[1]  # type: ignore[index]
    for suffix, text in ((".json", key), (".html", page)):
        with atomic(Path(folder, name + suffix)) as path:
            path.write_text(text, encoding="utf-8")
    if earlier := sorted(path.name for path in Path(folder).glob("*.html") if path.stem != name):
        print(
            f"{folder} keeps other pages as well, {', '.join(earlier)}; answers to them are scored by their "
            "own keys",
            file=sys.stderr,
        )


def score_answers(paths: Sequence[str | PathLike], results: str | PathLike) -> pd.DataFrame:
    """Score listeners' files, each by the key of the page that it answers, whatever page was made since.

    Parameters
    ----------
    results : the study's folder, with the pages that `keep_page` kept in ``listening/pages``.

    Returns
    -------
    `scores` of the answers to each page, one page after the other; `page` is its hash.

    Raises
    ------
    InputError: no answers, or answers to a page that is not kept; as `read_key` and `read_answers`.
    """
    results, of_page = Path(results), {}
    if not paths:
        raise InputError(
            f"there are no answers to score; put the files that listeners saved into {results}/responses/"
        )
    for path in map(Path, paths):
        of_page.setdefault(_read(path)["page"], []).append(path)
    pages = {results / "listening_test.html": results / "listening/key.json"}  # of before pages were kept
    pages |= {path: path.with_suffix(".json") for path in sorted(results.glob("listening/pages/*.html"))}
    keys = {found[1]: (key, page) for page, key in pages.items() if (found := _found(page))}
    tables = []
    for name, own in of_page.items():
        if name not in keys:
            raise InputError(
                f"{own[0]} answers another page than those that {results}/listening/pages keeps; put that "
                "page and its key there, or remove the answers from responses/"
            )
        trials, _ = read_key(*keys[name])
        tables.append(scores(trials, read_answers(own, trials, name)).assign(page=name))
    return pd.concat(tables, ignore_index=True)


def _found(page: Path) -> re.Match | None:
    """Return what a page says of its hash and its key's."""
    # A page of something else may be in another encoding.
    return _PAGE.search(page.read_text("utf-8", "replace")) if page.is_file() else None


def read_key(key: str | PathLike, page: str | PathLike) -> tuple[list[Trial], str]:
    """Return the trials of a key and the hash of the page that it belongs to.

    Raises
    ------
    InputError: a key or a page that is none, or that do not belong together.
    """
    found = _found(Path(page))
    if not found:
        raise InputError(f"{page} is no page of a listening test")
    try:
        text = Path(key).read_text("utf-8")
        if _sha256(text) != found[2]:
            raise ValueError("it is another one")
        trials = json.loads(text)["trials"]
        pieces = ("examples", "excerpts")
        heard = [{name: tuple(Excerpt(**piece) for piece in one[name]) for name in pieces} for one in trials]
        return [Trial(**one | of_one) for one, of_one in zip(trials, heard, strict=True)], found[1]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{key} is not the key of {page} ({error}); bring both back as they were made"
        ) from None


def read_answers(
    paths: Sequence[str | PathLike], trials: Sequence[Trial], page: str
) -> dict[str, dict[int, int]]:
    """Return listener → trial → choice from the files that listeners saved.

    Raises
    ------
    InputError: a file that is no file of answers, was changed after it was saved, is of another page, lacks
        answers, or holds a choice that was not offered; two files of one listener.
    """
    answers: dict[str, dict[int, int]] = {}
    for path in map(Path, paths):
        given = _read(path)
        if given["page"] != page:
            raise InputError(f"{path} answers another page than the study's; remove it from responses/")
        choices = {one["trial"]: one["choice"] for one in given["answers"]}
        if len(choices) < len(given["answers"]):
            raise InputError(f"{path} answers a trial twice")
        for trial, choice in choices.items():
            if not 0 <= trial < len(trials):
                raise InputError(
                    f"{path} answers trial {trial}; the page has the trials 0 to {len(trials) - 1}"
                )
            if not 0 <= choice < len(trials[trial].excerpts):
                raise InputError(f"{path}: choice {choice} of trial {trial} was not offered")
        if missing := len(trials) - len(choices):
            raise InputError(
                f"{path} lacks {missing} of {len(trials)} answers; its listener can go on from it on the page"
            )
        if given["listener"] in answers:
            raise InputError(f"{path} is a second file of listener {given['listener']}; keep one of the two")
        answers[given["listener"]] = choices
    return answers


def _read(path: Path) -> dict[str, Any]:
    """Return what a file of answers holds, if it is one and as it was saved."""
    try:
        given = json.loads(path.read_text("utf-8"))
        body, checksum = given["body"], given["sha256"]
        found, changed = json.loads(body), _sha256(body) != checksum
        sound = (
            isinstance(found["page"], str)
            and isinstance(found["listener"], str)
            and all(type(one[name]) is int for one in found["answers"] for name in ("trial", "choice"))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no file of answers that the page saved: {error}") from None
    if not sound:
        raise InputError(f"{path} is no file of answers that the page saved")
    if changed:
        raise InputError(f"{path} was changed after the page saved it; ask its listener for the file again")
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
