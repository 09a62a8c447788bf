"""Record other layers or sites of finished clips, in one teacher-forced pass each."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from typing import Any

import torch

from innerear.capture.generation import write_states
from innerear.capture.hooks import capture as record
from innerear.errors import InputError
from innerear.io.hdf5 import OF_THE_FILE
from innerear.io.names import remake
from innerear.models import DISTRIBUTIONS, MusicModel
from innerear.stacks.stack import BRANCHES, Stack, StackWriter
from innerear.study.architectures import check_sites, resolve_layers

# Attributes that a stack's writer sets.
_OF_THE_STACK = (*OF_THE_FILE, "n_steps", "n_frames", "frame_rate", "delays")


def replay_samples(
    model: MusicModel,
    stacks: Sequence[str | PathLike],
    outputs: Sequence[str | PathLike],
    *,
    capture: Mapping[str, Any],
    samples: Sequence[str] | None = None,
    twin: bool = False,
) -> None:
    """Read the clips of finished stacks again and write the states into stacks of their own.

    Parameters
    ----------
    model : the model that composed the clips.
    stacks : B finished stacks on one timeline; texts may differ.
    outputs : B stacks to write: the attributes of `stacks`, the tokens' likelihood, and the states.
    capture : ``layers`` (list or ``"all"``), ``sites``, ``branches``, ``dtype``.
    samples : [B] ids of the samples that the stacks must be of.
    twin : `model` is not the one that composed the clips, but a control, which the outputs then name.

    Raises
    ------
    InputError: a stack of another sample, model or timeline; a layer or site that the model does not have.
    """
    if len(stacks) != len(outputs):
        raise InputError(f"{len(stacks)} stacks and {len(outputs)} outputs must match")
    layers = resolve_layers(capture["layers"], model.n_layers)
    sites = check_sites(capture["sites"])
    modules = {site: model.modules(site) for site in sites}
    with ExitStack() as opened:
        sources = [opened.enter_context(Stack(path)) for path in stacks]
        for source, sample in zip(sources, samples or [None] * len(sources), strict=True):
            if sample is not None and source.attrs["sample_id"] != sample:
                raise InputError(
                    f"{source.path} holds the sample {source.attrs['sample_id']!r}, not {sample!r}; "
                    f"{remake(source.path)}"
                )
            if not twin:
                require_weights(source, model)
            if source.timeline != sources[0].timeline:
                raise InputError(
                    f"{source.path} has another timeline than {stacks[0]}: clips that are replayed together "
                    "must be of one length"
                )
        timeline = sources[0].timeline
        codes = torch.stack([torch.from_numpy(source.codes).long() for source in sources])
        texts = [source.attrs["text"] for source in sources]
        guidance = float(sources[0].attrs.get("generation_guidance", 1.0))
        with record(modules, n_steps=timeline.n_steps, pre_norm=model.pre_norm, layers=layers) as recording:
            nll = model.replay(codes, texts, timeline, guidance=guidance, observe=recording.run)
        branches = [branch for branch in BRANCHES if branch in capture.get("branches", BRANCHES)]
        for i, source in enumerate(sources):
            attrs = {name: value for name, value in source.attrs.items() if not _is_layout(name)}
            attrs["source_sha256"] = source.attrs["content_sha256"]
            attrs |= {"model": model.name, "model_identity": model.identity()}
            with StackWriter(outputs[i], attrs, source.codes, timeline, branches, capture["dtype"]) as stack:
                write_states(stack, recording, i, sites)
                stack.write_nll(nll[i].numpy(), DISTRIBUTIONS)


def _is_layout(name: str) -> bool:
    return name in _OF_THE_STACK or name.startswith("window_")


def require_weights(stack: Stack, model: MusicModel) -> None:
    """Raise an InputError if a stack was made with other weights than the model's."""
    if stack.attrs["model_identity"] != model.identity():
        raise InputError(
            f"{stack.path} was made with weights {stack.attrs['model_identity']}, but {model.name} has "
            f"{model.identity()}; replay clips with the model that composed them, or generate the study again"
        )
