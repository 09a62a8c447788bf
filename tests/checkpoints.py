"""A tiny MusicGen, built like the released ones, in a checkpoint directory."""

import itertools
from pathlib import Path

_WORDS = ["happy", "sad", "calm", "energetic", "music", "piano", "guitar", "a", "with", "solo", "the", "and"]

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
dataset: {segment_duration: 30}
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
  layer_scale: null
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
codebooks_pattern: {modeling: delay, delay: {delays: %(delays)s, flatten_first: 0, empty_initial: 0}}
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
  description:
    model: t5
    t5: {name: innerear-nano-t5, finetune: false, word_dropout: 0.0, normalize_text: false}
"""


def write_checkpoint(
    directory: Path, *, n_q: int = 4, prepend: bool = False, delays: list[int] | None = None
) -> Path:
    """Write a MusicGen of 3 layers, width 32 and `n_q` codebooks of 16 tokens at 50 Hz, with its T5."""
    import torch
    from omegaconf import OmegaConf

    from innerear.models.imports import import_audiocraft
    from innerear.models.loading import checkpoint_loading

    import_audiocraft()
    from audiocraft.models import builders

    _write_t5(directory / "t5")
    values = {
        "n_q": n_q,
        "delays": delays or list(range(n_q)),
        "prepend": ["description"] if prepend else [],
        "cross": [] if prepend else ["description"],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, text in (("compression_state_dict.bin", _CODEC), ("state_dict.bin", _LM)):
            cfg = OmegaConf.create((text % values) + "device: cpu\ndtype: float32\n")
            with checkpoint_loading(directory, torch.float32):
                build = builders.get_lm_model if "lm_model" in cfg else builders.get_compression_model
                model = build(cfg)
            # Untrained codebooks are all zeros, which would make every clip the same.
            for key, value in model.state_dict().items():
                if key.endswith("codebook.embed"):
                    value.normal_()
                if key.endswith("inited"):
                    value.fill_(1)
            package = {"best_state": model.state_dict(), "xp.cfg": OmegaConf.to_yaml(cfg), "version": "1.3.0"}
            torch.save(package, directory / name)
    return directory


def _write_t5(directory: Path) -> None:
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
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        T5EncoderModel(config).save_pretrained(directory)
