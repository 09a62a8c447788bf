"""Build an audiocraft MusicGen or AudioGen from checkpoint files, without a network."""

import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import omegaconf
import torch

from innerear.errors import InputError
from innerear.models.conditioners import (
    local_conditioners,
    own_text_encoder,
    separate_when_used,
    text_encoders,
)
from innerear.models.hub import ENCODEC, MUSICGEN, TEXT_ENCODER, files_of, require_cached
from innerear.models.identity import hash_files, identity_text
from innerear.models.imports import import_audiocraft
from innerear.models.packages import (
    configuration,
    load_weights,
    read_package,
    readable,
    require_finite,
    weights_of,
)
from innerear.models.sizes import (
    Shapes,
    codec_sizes,
    language_model_sizes,
    require_library_sizes,
    require_sizes,
)
from innerear.study.architectures import CODEC, LANGUAGE_MODEL, REFUSED
from innerear.study.generation_settings import GenerationSettings

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

# While a model is built, names of audiocraft and transformers are replaced.
_ONE_AT_A_TIME = threading.RLock()

# What audiocraft raises where a configuration does not describe a model.
_UNBUILDABLE = (
    omegaconf.errors.OmegaConfBaseException,
    AssertionError,
    AttributeError,
    ImportError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


def load_musicgen(
    source: str | Path,
    device: torch.device,
    dtype: torch.dtype,
    random_init_seed: int | None = None,
    revisions: Mapping[str, str | None] | None = None,
) -> tuple["MusicGen", str]:
    """Load a MusicGen or an AudioGen.

    Parameters
    ----------
    source : checkpoint directory (a Path) or hub id (a str), which must be in the cache.
    device, dtype : of the language model.
    random_init_seed : if given, new weights of the language model are drawn from this seed by the
        architecture's own initialisation; text encoder and codec keep theirs.
    revisions : of hub repositories; by default main as it was when it was fetched.

    Returns
    -------
    The model, and its identity: hashes of language model, text encoder and codec.

    Raises
    ------
    InputError: a missing, foreign or malicious checkpoint; weights that are not in the cache.
    """
    import_audiocraft()
    revisions = revisions or {}
    directory = checkpoint_directory(source, revisions)
    # Layers draw initial weights before the checkpoint's replace them; the caller's generator must not move.
    devices = [device] if device.type == "cuda" else []
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices):
        with build_context(directory, str(source), revisions) as encoders:
            lm = _language_model(directory / LANGUAGE_MODEL, device, dtype, random_init_seed)
        codec, codec_files = _codec(directory / CODEC, device, str(source), revisions)
        model = _assembled(str(source), lm, codec, directory)
    if dtype != torch.float16:
        from audiocraft.utils.autocast import TorchAutocast

        # MusicGen autocasts to float16 on any GPU.
        model.autocast = TorchAutocast(enabled=False)
    identity = identity_text(
        hash_files([directory / LANGUAGE_MODEL]), hash_files(encoders), hash_files(codec_files)
    )
    return model, identity


def checkpoint_directory(source: str | Path, revisions: Mapping[str, str | None]) -> Path:
    """Return the folder of a checkpoint's files: the directory, or a hub id's snapshot in the cache."""
    if isinstance(source, str):
        return require_cached(source, MUSICGEN, "the model", source, revisions).folder
    missing = [name for name in (LANGUAGE_MODEL, CODEC) if not (source / name).is_file()]
    if missing:
        raise InputError(f"{source} is no MusicGen checkpoint: it has no {' and no '.join(missing)}")
    return source


@contextmanager
def build_context(directory: Path, source: str, revisions: Mapping[str, str | None] | None = None):
    """Let audiocraft build a language model with text encoders from `directory`/t5 or the cache.

    Yields the list of files that these were read from, which fills while models are built.
    """
    own, files = own_text_encoder(directory), []
    if own:
        files += [path for path in own.iterdir() if path.is_file()]

    def folder_of(name: str) -> Path:
        found = require_cached(name, TEXT_ENCODER, "the text encoder", source, revisions or {})
        files.extend(set(files_of(found.folder, TEXT_ENCODER)) - set(files))
        return found.folder

    with local_conditioners(folder_of, own):
        yield files


def _language_model(path: Path, device: torch.device, dtype: torch.dtype, seed: int | None) -> Any:
    package = read_package(path)
    cfg = configuration(package, path)
    refuse_family(cfg, path)
    weights = weights_of(package, path)
    _require_sizes(language_model_sizes, weights, cfg, path)
    lm = build_language_model(cfg, path, device, dtype)
    load_weights(lm, weights, path)
    for encoder in text_encoders(lm):
        require_finite(encoder, f"{path}, text encoder")
    if seed is not None:
        _initialise(lm, path, seed)
    for name, conditioner in lm.condition_provider.conditioners.items():
        if hasattr(conditioner, "_get_stemmed_wav"):
            separate_when_used(conditioner)
        if name == "self_wav":  # as in MusicGen.get_pretrained
            conditioner.match_len_on_eval, conditioner._use_masking = True, False
    return lm.eval()


def refuse_family(cfg: omegaconf.DictConfig, path: Path) -> None:
    """Raise an InputError if a configuration describes a family that does not run."""
    conditioners = cfg.get("conditioners") or {}
    kinds = [part.get("model") for part in conditioners.values() if isinstance(part, Mapping)]
    solver = f"{cfg.get('solver') or ''} {cfg.get('lm_model') or ''}"
    family = "MusicGen-Style" if "style" in kinds else None
    for name in ("MAGNeT", "JASCO"):
        family = name if name.lower() in solver.lower() else family
    if family:
        raise InputError(f"{path} is {family}, which cannot be recorded: {REFUSED[family]}")


def build_language_model(
    cfg: omegaconf.DictConfig, path: Path, device: torch.device, dtype: torch.dtype
) -> Any:
    """Build a language model from its configuration, with initial weights, within a `build_context`."""
    from audiocraft.models import builders

    omegaconf.OmegaConf.set_struct(cfg, False)
    cfg.device, cfg.dtype = str(device), str(dtype).removeprefix("torch.")
    if omegaconf.OmegaConf.select(cfg, "conditioners.self_wav.chroma_stem"):
        # Where the chroma of training clips was kept.
        cfg.conditioners.self_wav.chroma_stem.cache_path = None
    lm = _built(builders.get_lm_model, cfg, path)
    lm.cfg = cfg
    return lm


def _built(build: Any, cfg: omegaconf.DictConfig, path: Path) -> Any:
    try:
        return build(cfg)
    except torch.OutOfMemoryError:
        raise InputError(
            f"{path} does not fit the memory of {cfg.device}; use a smaller model, or model.device: cpu"
        ) from None
    except InputError:
        raise
    except _UNBUILDABLE as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: its configuration 'xp.cfg' does not describe a model that audiocraft can build "
            f"({type(error).__name__}: {reason})"
        ) from None


def _require_sizes(
    sizes_of: Callable[[Shapes], dict[str, float]],
    weights: Mapping[str, torch.Tensor],
    cfg: omegaconf.DictConfig,
    path: Path,
) -> None:
    sizes = sizes_of({key: weight.shape for key, weight in weights.items()})
    where = f"{path}: 'best_state' does not fit the configuration 'xp.cfg' beside it"
    _built(lambda cfg: require_sizes(sizes, cfg, where), cfg, path)


def _codec(
    path: Path, device: torch.device, source: str, revisions: Mapping[str, str | None]
) -> tuple[Any, list[Path]]:
    """Return the codec, and the files that it was read from."""
    from audiocraft.models import builders

    package = read_package(path)
    if "pretrained" in package:
        return _hub_codec(package["pretrained"], path, device, source, revisions)
    cfg = configuration(package, path)
    cfg.device = str(device)
    weights = weights_of(package, path)
    _require_sizes(codec_sizes, weights, cfg, path)
    codec = _built(builders.get_compression_model, cfg, path)
    load_weights(codec, weights, path)
    return codec.eval(), [path]


def codec_repository(name: Any, path: Path) -> str:
    """Return the hub repository that a codec file names instead of holding a codec.

    Raises
    ------
    InputError: a file, another checkpoint or something else, which would not be part of the checkpoint.
    """
    owner, slash, repo = name.partition("/") if isinstance(name, str) else ("", "", "")
    if not slash or not owner or not repo or "/" in repo or owner in (".", "..") or Path(name).exists():
        raise InputError(
            f"{path} names its codec by {name!r}; a codec must lie in the file itself (copy it there) or be "
            "an EnCodec of the hub, such as facebook/encodec_32khz"
        )
    return name


def _hub_codec(
    name: Any, path: Path, device: torch.device, source: str, revisions: Mapping[str, str | None]
) -> tuple[Any, list[Path]]:
    from audiocraft.models.encodec import HFEncodecCompressionModel
    from transformers import EncodecModel

    repo = codec_repository(name, path)
    found = require_cached(repo, ENCODEC, "the codec", source, revisions)
    with readable(found.folder):
        require_library_sizes(found.folder)
        encodec = EncodecModel.from_pretrained(found.folder, local_files_only=True)
    require_finite(encodec, found.folder)
    return HFEncodecCompressionModel(encodec).to(device).eval(), [path, *files_of(found.folder, ENCODEC)]


def _assembled(name: str, lm: Any, codec: Any, directory: Path) -> "MusicGen":
    """Join language model and codec to a MusicGen, whatever the length of its segments."""
    from audiocraft.models.genmodel import BaseGenModel
    from audiocraft.models.musicgen import MusicGen

    path = directory / LANGUAGE_MODEL
    seconds = omegaconf.OmegaConf.select(lm.cfg, "dataset.segment_duration")
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise InputError(f"{path}: dataset.segment_duration in 'xp.cfg' is {seconds!r}, not seconds above 0")
    # Without MusicGen's constructor, whose default stride of 18 s it refuses itself in short segments.
    model = MusicGen.__new__(MusicGen)
    _built(lambda cfg: BaseGenModel.__init__(model, name, codec, lm), lm.cfg, path)
    model.set_generation_params(extend_stride=GenerationSettings().stride * seconds)
    codec = model.compression_model  # for stereo, one that interleaves two channels
    if (codec.num_codebooks, codec.cardinality) != (lm.n_q, lm.card):
        raise InputError(
            f"{directory}: the codec has {codec.num_codebooks} codebooks of {codec.cardinality} tokens, the "
            f"language model {lm.n_q} of {lm.card}; put the two files of one model there"
        )
    return model


def _initialise(lm: Any, path: Path, seed: int) -> None:
    """Draw new weights of the language model, on the CPU: a twin is the same on every device."""
    cfg: Any = omegaconf.OmegaConf.create(omegaconf.OmegaConf.to_container(lm.cfg))
    dtype = getattr(torch, cfg.dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build_language_model(cfg, path, torch.device("cpu"), dtype)
    lm.load_state_dict(fresh.state_dict())
