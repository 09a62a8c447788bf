"""Write nano as `MusicGen.get_pretrained(directory)` reads it."""

import copy
import os
from pathlib import Path

import codec
import language_model
import torch
from audiocraft.models.encodec import EncodecModel
from audiocraft.models.lm import LMModel
from omegaconf import OmegaConf


def export(folder: Path, compression: EncodecModel, model: LMModel) -> None:
    """Write codec, language model, text encoder and tokenizer to `folder`.

    As in the released MusicGen checkpoints, weights are float16, the text encoder is not part of the
    language model's state and is not fine-tuned. The configuration is YAML text, so that
    ``torch.load(weights_only=True)`` reads the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    conditioner = model.condition_provider.conditioners["description"]
    conditioner.t5_tokenizer.save_pretrained(folder / "t5")
    copy.deepcopy(conditioner.t5).half().save_pretrained(folder / "t5")

    config = copy.deepcopy(language_model.CONFIG)
    config["conditioners"]["description"]["t5"]["finetune"] = False
    state = {name: value for name, value in model.state_dict().items() if ".t5." not in name}
    _save(folder / "state_dict.bin", config, state)
    _save(folder / "compression_state_dict.bin", codec.CONFIG, compression.state_dict())


def _save(path: Path, config: dict, state: dict[str, torch.Tensor]) -> None:
    halves = {name: value.detach().half().clone() for name, value in state.items()}
    package = {"best_state": halves, "xp.cfg": OmegaConf.to_yaml(OmegaConf.create(config))}
    temporary = path.with_suffix(".partial")
    torch.save(package, temporary)
    os.replace(temporary, path)
