"""nano's text encoder: its tokenizer, an untrained T5, and the name by which audiocraft knows it."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sentencepiece
import torch
from audiocraft.modules.conditioners import T5Conditioner
from transformers import T5Config, T5EncoderModel, T5Tokenizer

NAME = "innerear-nano-t5"
WIDTH = 64  # not the language model's, so that a projection lies between, as in the real models


def write(folder: Path, texts: Sequence[str], seed: int) -> None:
    """Train a tokenizer on `texts` and write it with a randomly initialised T5 encoder to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(_train_tokenizer(texts))
    tokenizer = T5Tokenizer(str(folder / "spiece.model"), extra_ids=0, legacy=False)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=WIDTH, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
        dropout_rate=0.0, is_encoder_decoder=False, use_cache=False,
    )  # fmt: skip
    T5EncoderModel(config).save_pretrained(folder)


@contextmanager
def registered(folder: Path) -> Iterator[None]:
    """Let audiocraft build the conditioner `NAME` from `folder`.

    audiocraft takes only names that it lists, and hands a name straight to transformers; the name is
    therefore listed, and resolved to `folder`, for as long as the context lasts.
    """
    from audiocraft.modules import conditioners

    class Tokenizer(T5Tokenizer):
        @classmethod
        def from_pretrained(cls, name, *args, **kwargs):
            return T5Tokenizer.from_pretrained(folder if name == NAME else name, *args, **kwargs)

    class Encoder(T5EncoderModel):
        @classmethod
        def from_pretrained(cls, name, *args, **kwargs):
            return T5EncoderModel.from_pretrained(folder if name == NAME else name, *args, **kwargs)

    T5Conditioner.MODELS.append(NAME)
    T5Conditioner.MODELS_DIMS[NAME] = WIDTH
    conditioners.T5Tokenizer, conditioners.T5EncoderModel = Tokenizer, Encoder
    try:
        yield
    finally:
        conditioners.T5Tokenizer, conditioners.T5EncoderModel = T5Tokenizer, T5EncoderModel
        T5Conditioner.MODELS.remove(NAME)
        del T5Conditioner.MODELS_DIMS[NAME]


def _train_tokenizer(texts: Sequence[str]) -> bytes:
    """Return a sentencepiece model: each word of `texts` is one piece, other words are spelt."""
    words = sorted({word for text in texts for word in text.replace(",", " ,").split()})
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-()&/"
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        # Backwards, so that each letter also stands inside a word ("▁a" would swallow a leading a).
        sentence_iterator=iter([*words, *alphabet, alphabet[::-1]] * 20),
        model_writer=model,
        model_type="unigram",
        vocab_size=len(words) + 160,
        hard_vocab_limit=False,
        # Each word as a symbol of its own, with the space before it: "▁" marks that space.
        user_defined_symbols=["▁" + word for word in words if word != ","],
        normalization_rule_name="identity",
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()
