"""Load a MusicGen in the transformers library's own layout: config.json, model.safetensors, a T5 tokenizer.

Of this layout only safetensors are read, never pickles, and only what lies on this machine.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.conversion import Parts, converted
from innerear.models.hub import TRANSFORMERS, files_of, require_cached
from innerear.models.identity import hash_files
from innerear.models.loading import load_musicgen
from innerear.models.packages import readable, require_finite
from innerear.models.sizes import require_library_sizes
from innerear.study.architectures import LANGUAGE_MODEL

_DEFAULT_SECONDS = 30.0


def load_transformers(
    source: str | Path,
    device: torch.device,
    random_init_seed: int | None = None,
    revisions: Mapping[str, str | None] | None = None,
) -> tuple[Parts, str]:
    """Load a MusicGen or MusicGen-Melody as the transformers library stores it, or convert audiocraft's.

    Parameters
    ----------
    source : directory (a Path) or hub id (a str), which must be in the cache. A directory in audiocraft's
        layout is converted in memory.
    device : of all parts.
    random_init_seed : if given, new weights of the language model are drawn from this seed by the
        architecture's own initialisation; text encoder and codec keep theirs.
    revisions : of hub repositories; by default main as it was when it was fetched.

    Returns
    -------
    The parts in float32, and their identity: a hash of the files, which is audiocraft's for its layout.

    Raises
    ------
    InputError: a directory of another layout or family, weights as pickles, incomplete or broken weights, or
        a model that is not in the cache.
    """
    if isinstance(source, Path) and (source / LANGUAGE_MODEL).is_file():
        musicgen, identity = load_musicgen(source, device, torch.float32, random_init_seed, revisions)
        return converted(musicgen, source.name), identity
    if isinstance(source, str):
        folder = require_cached(source, TRANSFORMERS, "the model", source, revisions or {}).folder
    else:
        folder = source
    family = _family(folder)
    _require_weights(folder)
    tokenizer = _tokenizer(folder)
    model = _read(_class(family), folder)
    if random_init_seed is not None:
        _initialise(model, random_init_seed)
    identity = f"transformers:{hash_files(files_of(folder, TRANSFORMERS))[:32]}"
    return _parts(model.to(device).eval().requires_grad_(False), tokenizer), identity


def _family(folder: Path) -> str:
    path = folder / "config.json"
    try:
        family = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no config.json, so it is no model of the transformers library; use the folder "
            "that save_pretrained wrote"
        ) from None
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        raise InputError(f"{path} does not say 'model_type'; copy or download it again") from None
    if family not in ("musicgen", "musicgen_melody"):
        raise InputError(f"{path} describes a {family!r}; only musicgen and musicgen_melody can be recorded")
    return family


def _class(family: str) -> Any:
    # By module, because audiocraft's import may have left a partial `transformers` behind.
    if family == "musicgen":
        from transformers.models.musicgen.modeling_musicgen import MusicgenForConditionalGeneration as Crossed

        return Crossed
    from transformers.models.musicgen_melody import modeling_musicgen_melody as prepended

    return prepended.MusicgenMelodyForConditionalGeneration


def _require_weights(folder: Path) -> None:
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return
    if not index.is_file():
        pickles = [path.name for path in sorted(folder.glob("*.bin"))]
        raise InputError(
            f"{folder} has no model.safetensors"
            + (f"; its {pickles[0]} is a pickle, which may run code and is not read" if pickles else "")
            + ". Save the model with save_pretrained(..., safe_serialization=True)"
        )
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [name for name in names if not (folder / Path(name).name).is_file()]
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        raise InputError(f"{index} is no index of weights; copy or download it again") from None
    if missing:
        raise InputError(f"{folder} lacks {', '.join(missing)}; copy or download it again")


def _tokenizer(folder: Path) -> Any:
    """Return T5's tokenizer, the slow one, as in audiocraft, where its vocabulary is there."""
    from transformers.models.t5.tokenization_t5 import T5Tokenizer
    from transformers.models.t5.tokenization_t5_fast import T5TokenizerFast

    for name, kind in (("spiece.model", T5Tokenizer), ("tokenizer.json", T5TokenizerFast)):
        if (folder / name).is_file():
            with readable(folder / name):
                return kind.from_pretrained(folder, local_files_only=True)
    raise InputError(f"{folder} has neither spiece.model nor tokenizer.json, by which the text is read")


def _read(kind: Any, folder: Path) -> Any:
    with _quiet(), torch.random.fork_rng(devices=[]), readable(folder):
        require_library_sizes(folder)
        model, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            torch_dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    wrong = [f"has no {key}" for key in sorted(report["missing_keys"])]
    wrong += [f"has {key} of another shape" for key in sorted(report["mismatched_keys"])]
    if wrong:
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(f"{folder} {wrong[0]}{more}: its weights are not those of its config.json")
    require_finite(model, folder)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the library's warnings of configurations that are written twice."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)


def _initialise(model: Any, seed: int) -> None:
    """Draw new weights of the language model, on the CPU: a twin is the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.decoder = type(model.decoder)._from_config(model.decoder.config)
        for name in ("enc_to_dec_proj", "audio_enc_to_dec_proj"):
            if hasattr(model, name):
                getattr(model, name).reset_parameters()


def _parts(model: Any, tokenizer: Any) -> Parts:
    config, codec = model.config, model.audio_encoder
    n_codebooks, stereo = config.decoder.num_codebooks, config.decoder.audio_channels == 2
    frame_rate = codec.config.sampling_rate / codec.config.hop_length
    return Parts(
        decoder=model.decoder,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        text_projection=getattr(model, "enc_to_dec_proj", nn.Identity()),
        melody=_no_melody(model),
        codec=codec,
        stereo=stereo,
        frame_rate=frame_rate,
        sample_rate=codec.config.sampling_rate,
        max_duration=_max_frames(model, frame_rate) / frame_rate,
        delays=tuple(k // 2 if stereo else k for k in range(n_codebooks)),
    )


def _no_melody(model: Any) -> torch.Tensor:
    """Return what the model prepends where no melody is given: the first pitch class, at all times."""
    config = model.config
    if config.model_type == "musicgen":
        return torch.empty(0, config.decoder.hidden_size, device=model.device)
    first = torch.zeros(config.num_chroma, device=model.device)
    first[0] = 1
    with torch.no_grad():
        return getattr(model, "audio_enc_to_dec_proj", nn.Identity())(first).expand(config.chroma_length, -1)


def _max_frames(model: Any, frame_rate: float) -> float:
    """Return the frames of a window: what generation_config.json says, else 30 s."""
    from transformers.generation.configuration_utils import GenerationConfig

    longest = model.generation_config.max_length
    return _DEFAULT_SECONDS * frame_rate if longest == GenerationConfig().max_length else longest
