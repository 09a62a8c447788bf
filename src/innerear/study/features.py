"""Which layers get dictionaries, and on which templates these are trained."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from innerear.errors import InputError
from innerear.study.architectures import Architecture, resolve_layers
from innerear.study.power import are_blocks
from innerear.study.prompts import Prompt

#: tokens a latent: fewer are warned about, and refused
ENOUGH, FEWEST = 30, 5


@dataclass(frozen=True)
class Features:
    """What a study asks of sparse features.

    Attributes
    ----------
    layers : that get dictionaries; none where the study has no features.
    training : ids of the prompts whose clips dictionaries are trained on; none where finished ones are taken.
    settings : of `innerear.features.training.train`.
    left_out : why there are none, where they were asked for.
    seen : ids of prompts that dictionaries were trained on: `training`, or those that finished ones name.
    given : folder of finished dictionaries; "" where they are trained.
    of : what there are dictionaries of: uncond, and delta where both branches are recorded and, of finished
        dictionaries, it is there.
    """

    layers: list[int]
    training: list[str]
    settings: dict[str, Any]
    left_out: str = ""
    seen: Sequence[str] = ()
    given: str = ""
    of: Sequence[str] = ()


def study_features(
    section: Mapping[str, Any],
    prompts: Sequence[Prompt],
    architecture: Architecture,
    capture: Mapping[str, Any],
    *,
    n_seeds: int,
    n_tokens: int,
) -> Features:
    """Resolve the setting ``features`` of a study.

    Parameters
    ----------
    n_seeds, n_tokens : clips of a prompt, and complete steps of a clip.

    Raises
    ------
    InputError: a layer that is not captured, finished dictionaries that are not there, k of at least the
    number of latents, or more latents than there are tokens for.
    """
    if not section["enabled"]:
        return Features([], [], {})
    if "uncond" not in capture["branches"]:
        return Features([], [], {}, "dictionaries are of uncond, which is not recorded")
    captured = capture["layers"]
    layers = section["layers"]
    if layers is None:
        layers = sorted({captured[0], captured[len(captured) // 2], captured[-1]})
    layers = resolve_layers(layers, architecture.n_layers, "features.layers")
    missing = [layer for layer in layers if layer not in captured]
    if missing:
        raise InputError(f"features.layers: layer {missing[0]} is not captured; add it to capture.layers")
    given = folder_of(section["dictionaries"] or "")
    training = [] if given else _training(prompts, section["train_share"])
    settings = {name: section[name] for name in ("kind", "k", "steps", "batch", "lr")}
    asked, k, tokens = section["n_latents"], settings["k"], n_tokens * n_seeds * len(training)
    largest = 2 * architecture.d_model
    if not section["dictionaries"]:
        largest = min(largest, tokens // ENOUGH)
    settings["n_latents"] = asked or largest
    if asked and k >= asked:
        raise InputError(f"features.k: {k} of {asked} latents are not few; give less")
    if not asked and k >= largest:
        return Features([], [], {}, f"{tokens} tokens to train on are too few; make more or longer clips")
    if asked and not section["dictionaries"] and tokens < FEWEST * asked:
        raise InputError(
            f"features.n_latents: {asked} latents want at least {FEWEST * asked} tokens ({FEWEST} each), "
            f"and the {len(training)} training prompts give {tokens}; ask for at most {tokens // FEWEST}, or "
            "make more clips"
        )
    of = given_dictionaries(given) if given else ["uncond", "delta"]
    of = of if "cond" in capture["branches"] else ["uncond"]
    seen = _seen(given, layers) if given else training
    return Features(layers, training, settings, seen=seen, given=given, of=of)


def folder_of(named: str) -> str:
    """Return the folder of finished dictionaries: that of a study, where only its name is given.

    Examples
    --------
    >>> folder_of("corpus_nano"), folder_of("./mine"), folder_of("")
    ('results/corpus_nano', './mine', '')
    """
    return f"results/{named}" if re.fullmatch(r"[\w-]+", named) else named


def _training(prompts: Sequence[Prompt], share: float) -> list[str]:
    """Return the prompts of the first templates; of a single template all, and nothing is held out.

    Templates of one prompt each stand label by label, and are taken from all of them alike.
    """
    templates = list(dict.fromkeys(prompt.template for prompt in prompts))
    most = max(len(templates) - 1, 1)
    n = min(max(round(share * len(templates)), 1), most)
    alike = [templates[i * len(templates) // n] for i in range(n)]
    chosen = set(templates[:n] if are_blocks([prompt.template for prompt in prompts]) else alike)
    return [prompt.id for prompt in prompts if prompt.template in chosen]


def _seen(folder: str, layers: Sequence[int]) -> list[str]:
    """Return the prompts that finished dictionaries say they were trained on."""
    found: set[str] = set()
    for layer in layers:
        for path in sorted(root_of(folder).glob(f"*/layer_{layer:02d}/seed-*/cfg.json")):
            # What cannot be read is refused, with its reason, by the job that loads it.
            with suppress(OSError, ValueError, AttributeError, TypeError):
                metadata = json.loads(path.read_text("utf-8")).get("metadata") or {}
                found |= set(map(str, metadata.get("training_prompts") or ()))
    return sorted(found)


def root_of(folder: str | PathLike) -> Path:
    """Return where dictionaries lie by what they are of: in a study's folder, or in the folder itself."""
    of_study = Path(folder, "features", "dictionaries")
    return of_study if (of_study / "uncond").is_dir() else Path(folder)


def given_dictionaries(folder: str) -> list[str]:
    """Return of what finished dictionaries there are: uncond, and delta where it was trained on.

    Raises
    ------
    InputError: none are there.
    """
    root = root_of(folder)
    if (root / "uncond").is_dir():
        return ["uncond", *["delta"] * (root / "delta").is_dir()]
    raise InputError(
        f"features.dictionaries: {folder} has no dictionaries of uncond. Name a study that has run with "
        "features (snakemake --configfile studies/….yaml -- all_features), or a folder that holds "
        "uncond/layer_00/seed-0 …"
    )
