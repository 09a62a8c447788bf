"""A MusicGen in the transformers library's own layout, with the weights of a loaded audiocraft model."""

from copy import deepcopy
from pathlib import Path


def write_transformers_checkpoint(directory: Path, model) -> Path:
    """Write config.json, model.safetensors, generation_config.json and T5's tokenizer.

    Parameters
    ----------
    model : an AudiocraftModel whose codec the library has.
    """
    from transformers import MusicgenForConditionalGeneration, MusicgenMelodyForConditionalGeneration
    from transformers.models.musicgen_melody import MusicgenMelodyConfig

    from innerear.models.conversion import converted

    parts = converted(model.musicgen, model.name)
    weights = parts.decoder.state_dict()
    parts.decoder.load_state_dict({key: value.clone() for key, value in weights.items()}, assign=True)
    modules = {
        "text_encoder": deepcopy(parts.text_encoder),
        "audio_encoder": parts.codec,
        "decoder": parts.decoder,
    }
    if model.has_cross_attention:
        whole = MusicgenForConditionalGeneration(**modules)
    else:
        config = MusicgenMelodyConfig.from_sub_models_config(
            *(module.config for module in modules.values()), num_chroma=12, chroma_length=len(parts.melody)
        )
        # The library draws weights anew where it did not draw them itself.
        before = {name: deepcopy(modules[name].state_dict()) for name in ("text_encoder", "decoder")}
        whole = MusicgenMelodyForConditionalGeneration(config, **modules)
        for name, state in before.items():
            getattr(whole, name).load_state_dict(state)
        if len(parts.melody):
            melody = model.musicgen.lm.condition_provider.conditioners["self_wav"].output_proj
            whole.audio_enc_to_dec_proj.load_state_dict(melody.state_dict())
    whole.enc_to_dec_proj.load_state_dict(parts.text_projection.state_dict())
    whole.generation_config.max_length = int(model.max_duration * model.frame_rate)
    whole.generation_config.do_sample = True
    whole.save_pretrained(directory)
    parts.tokenizer.save_pretrained(directory)
    return directory
