"""The layers that get dictionaries, and the templates on which these are trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from innerear.errors import InputError
from innerear.study.architectures import Architecture, resolve_layers
from innerear.study.dictionaries import folder_of, given_dictionaries, prompts_seen
from innerear.study.power import are_blocks
from innerear.study.prompts import Prompt

#: tokens a latent: fewer are warned about, and refused
ENOUGH, FEWEST = 30, 5


@dataclass(frozen=True)
class Features:
    """A study's settings of sparse features.

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
    study: str = "",
) -> Features:
    """Resolve the setting ``features`` of a study.

    Parameters
    ----------
    n_seeds, n_tokens : clips of a prompt, and complete steps of a clip.
    study : its name.

    Raises
    ------
    InputError: a layer that is not captured, finished dictionaries that are not there, are broken or of other
    states, k of at least the number of latents, or more latents than there are tokens for.
    """
    if not section["enabled"]:
        return Features([], [], {})
    if "uncond" not in capture["branches"]:
        return Features([], [], {}, "dictionaries are of uncond, which is not recorded")
    site, with_delta = capture["sites"][0], "cond" in capture["branches"]
    if site == "cross_attention":
        return Features([], [], {}, "dictionaries are of uncond, which reads no text: cross_attention adds 0")
    # Where no text was read yet, both branches are equal.
    equal = {0} if with_delta and site == "self_attention" and architecture.cross_attention else set()
    layers = _layers(section["layers"], capture["layers"], architecture.n_layers, equal)
    if not layers:
        return Features([], [], {}, "at self_attention cond and uncond are equal in layer 0")
    settings = {name: section[name] for name in ("kind", "k", "steps", "batch", "lr")}
    if section["dictionaries"]:
        given = folder_of(section["dictionaries"])
        of = [one for one in given_dictionaries(given, study) if with_delta or one == "uncond"]
        wanted = {"d_in": architecture.d_model, "site": capture["sites"][0]}
        return Features(
            layers, [], settings, seen=prompts_seen(given, of, layers, wanted), given=given, of=of
        )
    training = _training(prompts, section["train_share"])
    asked, k, tokens = section["n_latents"], settings["k"], n_tokens * n_seeds * len(training)
    largest = min(2 * architecture.d_model, tokens // ENOUGH)
    settings["n_latents"] = asked or largest
    if asked and k >= asked:
        raise InputError(f"features.k: {k} of {asked} latents are not few; give less")
    if not asked and k >= largest:
        return Features([], [], {}, f"{tokens} tokens to train on are too few; make more or longer clips")
    if asked and tokens < FEWEST * asked:
        raise InputError(
            f"features.n_latents: {asked} latents want at least {FEWEST * asked} tokens ({FEWEST} each), "
            f"and the {len(training)} training prompts give {tokens}; {fewer_latents(tokens, k)}make more or "
            "longer clips"
        )
    return Features(
        layers, training, settings, seen=training, of=["uncond", "delta"] if with_delta else ["uncond"]
    )


def _layers(
    asked: Sequence[int] | str | None, captured: Sequence[int], n_layers: int, equal: set[int]
) -> list[int]:
    """Return the layers that get dictionaries: those asked for, or else three of those that may."""
    if asked is None:
        varied = [layer for layer in captured if layer not in equal]
        return sorted({varied[0], varied[len(varied) // 2], varied[-1]}) if varied else []
    layers = resolve_layers(asked, n_layers, "features.layers")
    missing = [layer for layer in layers if layer not in captured]
    if missing:
        raise InputError(f"features.layers: layer {missing[0]} is not captured; add it to capture.layers")
    if equal & set(layers):
        raise InputError(
            "features.layers: at self_attention cond and uncond are equal in layer 0, which comes before any "
            "text is read, so there is no delta; leave layer 0 out"
        )
    return layers


def fewer_latents(n_tokens: int, k: int) -> str:
    """Return the advice to ask for as many latents as there are tokens for; nothing where k is no fewer.

    Examples
    --------
    >>> fewer_latents(400, 8), fewer_latents(9, 1)
    ('ask for at most 80, or ', '')
    """
    most = n_tokens // FEWEST
    return f"ask for at most {most}, or " if most > k else ""


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
