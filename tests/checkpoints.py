"""Tiny MusicGens with random weights in checkpoint directories, in the structure of the published ones."""

import itertools
from pathlib import Path
from typing import Any

_WORDS = ["happy", "sad", "calm", "energetic", "music", "piano", "guitar", "a", "with", "solo", "the", "and"]

#: Published families, by how they differ from MusicGen-small; see `write_checkpoint`.
FAMILIES: dict[str, dict[str, Any]] = {
    "small": {},
    "melody": {"melody": True},
    "stereo": {"stereo": True},
    "stereo-melody": {"stereo": True, "melody": True},
    "audiogen": {"segment": 10, "solver": "audiogen"},
    "layer-scale": {"layer_scale": 0.1},
}

_CODEC = """
compression_model: encodec
encodec:
  autoencoder: seanet
  quantizer: rvq
  sample_rate: 1600
  channels: 1
  causal: false
  renormalize: false
seanet:
  dimension: 8
  channels: 1
  causal: false
  n_filters: 4
  n_residual_layers: 1
  ratios: [8, 4]
  activation: ELU
  activation_params: {alpha: 1.0}
  norm: weight_norm
  norm_params: {}
  kernel_size: 7
  residual_kernel_size: 3
  last_kernel_size: 7
  dilation_base: 2
  pad_mode: reflect
  true_skip: true
  compress: 2
  lstm: 1
  disable_norm_outer_blocks: 0
  encoder: {}
  decoder: {trim_right_ratio: 1.0, final_activation: null, final_activation_params: null}
rvq: {n_q: %(n_q)d, bins: 16, q_dropout: false}
"""

_LM = """
lm_model: transformer_lm
solver: %(solver)s
autocast: true
autocast_dtype: float16
sample_rate: 1600
channels: %(channels)d
compression_model_n_q: null
tokens: {padding_with_special_token: false}
interleave_stereo_codebooks: {use: %(stereo)s, per_timestep: false}
dataset: {segment_duration: %(segment)s, batch_size: 8, train: {merge_text_p: 0.25, drop_desc_p: 0.5}}
transformer_lm:
  n_q: %(n_q)d
  card: 16
  dim: 32
  num_heads: 4
  num_layers: 3
  hidden_scale: 2
  dropout: 0.0
  emb_lr: null
  activation: gelu
  norm_first: true
  bias_ff: false
  bias_attn: false
  bias_proj: false
  causal: true
  custom: false
  memory_efficient: true
  attention_as_float32: false
  layer_scale: %(layer_scale)s
  positional_embedding: sin
  checkpointing: none
  weight_init: gaussian
  depthwise_init: current
  zero_bias_init: true
  norm: layer_norm
  cross_attention: false
  qk_layer_norm: false
  qk_layer_norm_cross: false
  kv_repeat: 1
  two_step_cfg: false
codebooks_pattern:
  modeling: %(pattern)s
  delay: {delays: %(delays)s, flatten_first: 0, empty_initial: 0}
  musiclm: {group_by: 2}
classifier_free_guidance: {training_dropout: 0.2, inference_coef: 3.0}
attribute_dropout: {args: {active_on_eval: false}, text: {}, wav: {}}
fuser:
  cross_attention_pos_emb: false
  cross_attention_pos_emb_scale: 1
  sum: []
  prepend: %(prepend)s
  cross: %(cross)s
  input_interpolate: []
conditioners:
  args: {merge_text_conditions_p: 0.25, drop_desc_p: 0.5}
%(self_wav)s  description:
    model: t5
    t5: {name: %(t5)s, finetune: false, word_dropout: 0.3, normalize_text: false}
"""

_CHROMA = """\
  self_wav:
    model: chroma_stem
    chroma_stem:
      sample_rate: 1600
      n_chroma: 12
      radix2_exp: 8
      argmax: true
      match_len_on_eval: false
      eval_wavs: null
      n_eval_wavs: 100
      cache_path: /checkpoints/cache
"""


def write_checkpoint(
    directory: Path,
    *,
    n_q: int = 4,
    prepend: bool = False,
    melody: bool = False,
    stereo: bool = False,
    delays: list[int] | None = None,
    pattern: str = "delay",
    segment: float = 30,
    layer_scale: float | None = None,
    solver: str = "musicgen",
    t5: str | None = None,
) -> Path:
    """Write a MusicGen of 3 layers, width 32 and `n_q` codebooks of 16 tokens at 50 Hz.

    Parameters
    ----------
    prepend : the text is prepended, not read by cross-attention.
    melody : with a chroma conditioner, prepended before the text.
    stereo : two channels, whose codebooks take turns: twice `n_q` codebooks with pairs of equal delays.
    t5 : the hub's name of the text encoder, whose folder must be in the cache; by default one in ``t5/``.
    """
    import torch

    from innerear.models.imports import import_audiocraft
    from innerear.models.loading import build_context

    import_audiocraft()
    directory.mkdir(parents=True, exist_ok=True)
    if t5 is None:
        write_t5(directory / "t5")
    conditions = f"[{'self_wav, ' if melody else ''}description]"
    prepend = prepend or melody
    values = {
        "n_q": 2 * n_q if stereo else n_q,
        "delays": delays or ([k // 2 for k in range(2 * n_q)] if stereo else list(range(n_q))),
        "pattern": pattern,
        "prepend": conditions if prepend else "[]",
        "cross": "[]" if prepend else conditions,
        "self_wav": _CHROMA if melody else "",
        "stereo": str(stereo).lower(),
        "channels": 1 + stereo,
        "segment": segment,
        "layer_scale": "null" if layer_scale is None else layer_scale,
        "solver": solver,
        "t5": t5 or "innerear-nano-t5",
    }
    with torch.random.fork_rng(devices=[]), build_context(directory, "a test's model"):
        torch.manual_seed(0)
        _write_package(directory / "compression_state_dict.bin", _CODEC % (values | {"n_q": n_q}))
        _write_package(directory / "state_dict.bin", _LM % values)
    return directory


def _write_package(path: Path, text: str) -> None:
    """Write a model of random weights, built from its configuration in YAML, as audiocraft exports it."""
    import torch
    from audiocraft.models import builders
    from omegaconf import OmegaConf

    cfg: Any = OmegaConf.create(f"{text}device: cpu\ndtype: float32\n")
    if "self_wav" in (cfg.get("conditioners") or {}):
        cfg.conditioners.self_wav.chroma_stem.cache_path = None  # else audiocraft creates the folder
    is_codec = "compression_model" in cfg
    model = (builders.get_compression_model if is_codec else builders.get_lm_model)(cfg)
    for key, value in model.state_dict().items():
        # Untrained codebooks are all zeros, which would make every clip the same.
        if key.endswith("codebook.embed"):
            value.normal_()
        if key.endswith("inited"):
            value.fill_(1)
        if ".layer_scale" in key:
            value.uniform_(0.05, 0.5)
    exported = {"best_state": model.state_dict(), "xp.cfg": text, "version": "1.3.0", "exported": True}
    torch.save(exported, path)


def write_t5(directory: Path, d_model: int = 16) -> Path:
    """Write a T5 encoder of one layer that knows the words of the tests, in the hub's layout."""
    import sentencepiece
    import torch
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    directory.mkdir(parents=True)
    sentences = [" ".join(pair) for pair in itertools.permutations(_WORDS, 2)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(directory / "spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (directory / "spiece.vocab").unlink()
    tokenizer = T5Tokenizer(str(directory / "spiece.model"), extra_ids=0, legacy=True)
    tokenizer.save_pretrained(directory)
    config = T5Config(vocab_size=len(tokenizer), d_model=d_model, d_kv=4, d_ff=32, num_layers=1, num_heads=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        T5EncoderModel(config).save_pretrained(directory)
    return directory
