"""The settings that determine a sample: kept in its stack, and compared with the study's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from innerear.study.prompts import Prompt, Sample


def sample_settings(
    sample: Sample, *, study: str, capture: Mapping[str, Any], generation: Mapping[str, Any]
) -> str:
    """Return a sample's settings as JSON: study, prompt with its labels, seed, capture and generation.

    The model is named by its identity, and a recorded track by its hash, which only a job that has read them
    knows. A label of the study's own makes no other sample.
    """
    prompt = asdict(sample.prompt)
    del prompt["label"]
    audio, start = prompt.pop("audio"), prompt.pop("audio_start")
    if audio:
        prompt |= {"audio": Path(audio).name, "audio_start": start}
    settings = {"study": study, "prompt": prompt, "seed": sample.seed}
    settings |= {"capture": dict(capture), "generation": dict(generation)}
    return json.dumps(settings, sort_keys=True)


def study_settings(
    prompts: Sequence[Mapping[str, Any]], seeds: Mapping[str, Sequence[int]], **study: Any
) -> dict[str, str]:
    """Return the `sample_settings` of all samples by id; `seeds` are those of each prompt by its id."""
    samples = [Sample(Prompt(**prompt), seed) for prompt in prompts for seed in seeds[prompt["id"]]]
    return {sample.id: sample_settings(sample, **study) for sample in samples}


def differences(made: str, wanted: str) -> list[str]:
    """Say what differs between two samples' settings, such as ``generation.top_k is 50, not 250``."""
    one, other = dict(_leaves(json.loads(made))), dict(_leaves(json.loads(wanted)))
    return [
        f"{key} is {one.get(key)!r}, not {other.get(key)!r}"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]


def _leaves(settings: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from _leaves(value, f"{key}.{name}" if key else name)
    else:
        yield key, settings
