"""nano's language model: MusicGen's transformer with its flags, in miniature, and its training."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import text_encoder
import torch
from audiocraft.models.builders import get_lm_model
from audiocraft.models.lm import LMModel
from audiocraft.modules.conditioners import ConditioningAttributes
from omegaconf import OmegaConf
from progress import Progress
from torch.nn import functional

CONFIG = {
    "solver": "musicgen",
    "lm_model": "transformer_lm",
    "device": "cpu",
    "dtype": "float32",
    "sample_rate": 16_000,
    "channels": 1,
    "compression_model_checkpoint": "compression_state_dict.bin",
    "transformer_lm": {
        "n_q": 4,
        "card": 256,
        "dim": 96,
        "num_heads": 4,
        "num_layers": 6,
        "hidden_scale": 4,
        "dropout": 0.0,
        "emb_lr": None,
        "activation": "gelu",
        "norm_first": True,
        "bias_ff": False,
        "bias_attn": False,
        "bias_proj": False,
        "past_context": None,
        "causal": True,
        "custom": False,
        "memory_efficient": True,
        "attention_as_float32": False,
        "layer_scale": None,
        "positional_embedding": "sin",
        "xpos": False,
        "checkpointing": "none",
        "weight_init": "gaussian",
        "depthwise_init": "current",
        "zero_bias_init": True,
        "norm": "layer_norm",
        "cross_attention": False,  # the builder turns it on, since the fuser has a cross condition
        "qk_layer_norm": False,
        "qk_layer_norm_cross": False,
        "attention_dropout": None,
        "kv_repeat": 1,
        "two_step_cfg": False,
    },
    "codebooks_pattern": {
        "modeling": "delay",
        "delay": {"delays": [0, 1, 2, 3], "flatten_first": 0, "empty_initial": 0},
    },
    "classifier_free_guidance": {"training_dropout": 0.2, "inference_coef": 3.0},
    "attribute_dropout": {"args": {"active_on_eval": False}, "text": {}, "wav": {}},
    "conditioners": {
        "args": {"merge_text_conditions_p": 0.0, "drop_desc_p": 0.0},
        "description": {
            "model": "t5",
            "t5": {"name": text_encoder.NAME, "finetune": True, "word_dropout": 0.0, "normalize_text": False},
        },
    },
    "fuser": {
        "cross_attention_pos_emb": False,
        "cross_attention_pos_emb_scale": 1,
        "sum": [],
        "prepend": [],
        "cross": ["description"],
        "input_interpolate": [],
    },
    # MusicGen's constructor wants more than its extend_stride of 18 s.
    "dataset": {"segment_duration": 30},
}
LONG = ((9, 400), (12, 300), (18, 200))  # clips × frames, in turn
OPENINGS = ((192, 12),) * 3
EQUAL_LENGTHS = 0.65  # share of batches whose prompts have one token length


@dataclass(frozen=True)
class Stage:
    """A stretch of training: so many steps at a peak learning rate, over batches in turn."""

    steps: int
    rate: float
    batches: tuple[tuple[int, int], ...]


# Once a piece has begun, its own notes say more than the text, which is heard in the first frames
# only: over whole clips the text encoder gets next to no gradient. So the second stage mixes in many
# openings.
STAGES = (
    Stage(2000, 2e-3, LONG),
    Stage(900, 1e-3, tuple(batch for whole in LONG for batch in (*OPENINGS, whole))),
)


@dataclass(frozen=True)
class Corpus:
    """What the language model learns from.

    Attributes
    ----------
    codes : int16 [clip, K, T].
    starts : for each clip the frames at which a harmony begins.
    prompts : for each clip several texts that describe it.
    """

    codes: torch.Tensor
    starts: Sequence[Sequence[int]]
    prompts: Sequence[Sequence[str]]


def build(t5: Path) -> LMModel:
    """Build the untrained language model around the T5 in the folder `t5`, which is trained along."""
    with text_encoder.registered(t5):
        return get_lm_model(OmegaConf.create(CONFIG))


def train(model: LMModel, corpus: Corpus, stage: Stage, seed: int) -> LMModel:
    """Train a language model and its text encoder together for one stage."""
    model.train()
    steps = stage.steps
    batches = Batches(corpus, model, np.random.default_rng(seed))
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    plain = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}],
        lr=stage.rate,
        betas=(0.9, 0.95),
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, stage.rate, total_steps=steps, pct_start=0.03)
    progress = Progress("language model", steps)
    for step in range(steps):
        codes, texts = batches.draw(*stage.batches[step % len(stage.batches)])
        loss = cross_entropy(model, codes, texts)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.report(step, loss.item())
    return model.eval()


def cross_entropy(model: LMModel, codes: torch.Tensor, texts: Sequence[str | None]) -> torch.Tensor:
    """Mean cross-entropy in nats of codes [B, K, T] given one text each (None: unconditional)."""
    attributes = [ConditioningAttributes(text={"description": text}) for text in texts]
    conditions = model.condition_provider(model.condition_provider.tokenize(attributes))
    # All T + K - 1 steps, as in generation; then every code has its prediction, and none needs masking out.
    output = model.compute_predictions(codes, [], conditions, keep_only_valid_steps=False)
    return functional.cross_entropy(output.logits.flatten(0, 2), codes.flatten())


class Batches:
    """Draws training batches: crops that start with a harmony, each with one of its clip's prompts."""

    def __init__(self, corpus: Corpus, model: LMModel, rng: np.random.Generator) -> None:
        self.corpus, self.rng = corpus, rng
        self.dropout = CONFIG["classifier_free_guidance"]["training_dropout"]
        tokenizer = model.condition_provider.conditioners["description"].t5_tokenizer
        by_length = defaultdict(list)
        for clip, texts in enumerate(corpus.prompts):
            for number, length in enumerate(len(ids) for ids in tokenizer(list(texts)).input_ids):
                by_length[length].append((clip, number))
        self.all = [pair for pairs in by_length.values() for pair in pairs]
        self.by_length = [pairs for pairs in by_length.values() if len(pairs) >= 18]
        self.shares = np.array([len(pairs) for pairs in self.by_length], dtype=float)
        self.shares /= self.shares.sum()

    def draw(self, count: int, frames: int) -> tuple[torch.Tensor, list[str | None]]:
        """Return codes [count, K, frames] and their texts.

        audiocraft's cross-attention also attends to padding. Batches of prompts of one length, as a
        prompt alone is, and mixed ones are both drawn, so that the model learns to hear a prompt
        the same with and without padding. Guidance's empty text replaces single prompts, so that it
        stands among prompts of any length, as it does when generating.
        """
        pairs = self.all
        if self.rng.random() < EQUAL_LENGTHS:
            pairs = self.by_length[self.rng.choice(len(self.by_length), p=self.shares)]
        codes, texts = [], []
        for clip, number in (pairs[index] for index in self.rng.integers(len(pairs), size=count)):
            room = self.corpus.codes.shape[-1] - frames
            start = self.rng.choice([start for start in self.corpus.starts[clip] if start <= room])
            codes.append(self.corpus.codes[clip, :, start : start + frames])
            texts.append(None if self.rng.random() < self.dropout else self.corpus.prompts[clip][number])
        return torch.stack(codes).long(), texts
