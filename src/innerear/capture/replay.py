"""Hear other layers or sites of finished clips: one teacher-forced pass each, nothing is generated."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from typing import Any

import torch

from innerear.capture.generation import write_states
from innerear.capture.hooks import capture as listen
from innerear.capture.hooks import check_layers, check_sites
from innerear.errors import InputError
from innerear.models import DISTRIBUTIONS, MusicModel
from innerear.stacks.stack import BRANCHES, Stack, StackWriter

_OF_THE_FILE = ("schema", "schema_version", "n_steps", "n_frames", "frame_rate", "content_sha256")


def replay_samples(
    model: MusicModel,
    stacks: Sequence[str | PathLike],
    outputs: Sequence[str | PathLike],
    *,
    capture: Mapping[str, Any],
) -> None:
    """Read the clips of finished stacks once more and write what the layers do into stacks of their own.

    Parameters
    ----------
    model : that the clips were made with.
    stacks : B finished stacks on one timeline; they may have different texts.
    outputs : B stacks to write, with the attributes of the first ones, the likelihood of the tokens, and
        the states asked for.
    capture : ``layers`` (list or ``"all"``), ``sites``, ``branches``, ``dtype``.

    Raises
    ------
    InputError: a stack of another model or timeline; a layer or site that the model does not have.
    """
    if len(stacks) != len(outputs):
        raise InputError(f"{len(stacks)} stacks and {len(outputs)} outputs must match")
    layers = check_layers(None if capture["layers"] == "all" else capture["layers"], model.n_layers)
    sites = check_sites(capture["sites"])
    modules = {site: model.modules(site) for site in sites}
    with ExitStack() as opened:
        sources = [opened.enter_context(Stack(path)) for path in stacks]
        for source in sources:
            _check_source(source, sources[0], model)
        timeline = sources[0].timeline
        codes = torch.stack([torch.from_numpy(source.codes).long() for source in sources])
        texts = [source.attrs["text"] for source in sources]
        guidance = float(sources[0].attrs.get("generation_guidance", 1.0))
        with listen(modules, n_samples=len(sources), n_steps=timeline.n_steps, layers=layers) as recording:
            nll = model.replay(codes, texts, timeline, guidance=guidance, observe=recording.run)
        branches = [branch for branch in BRANCHES if branch in capture.get("branches", BRANCHES)]
        for i, source in enumerate(sources):
            attrs = {name: value for name, value in source.attrs.items() if not _is_layout(name)}
            with StackWriter(outputs[i], attrs, source.codes, timeline, branches, capture["dtype"]) as stack:
                write_states(stack, recording, i, sites)
                stack.write_nll(nll[i].numpy(), DISTRIBUTIONS)


def _is_layout(name: str) -> bool:
    return name in _OF_THE_FILE or name.startswith("window_")


def _check_source(source: Stack, first: Stack, model: MusicModel) -> None:
    if source.attrs["model_identity"] != model.identity():
        raise InputError(
            f"{source.path} was made with weights {source.attrs['model_identity']}, but {model.name} has "
            f"{model.identity()}; replay clips with the model that composed them"
        )
    if source.timeline != first.timeline:
        raise InputError(
            f"{source.path} has another timeline than {first.path}: clips that are replayed together "
            "must be of one length"
        )
