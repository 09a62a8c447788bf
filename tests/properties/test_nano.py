"""The embedded model: its files, its words, and whether its music follows the emotion word."""

import importlib.util
import sys
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from innerear import load_model
from innerear.acoustics.clips import clip_features

NANO = Path(__file__).parents[2] / "resources" / "nano"
EMOTIONS = ("happy", "sad", "calm", "energetic")
CONFIG = yaml.safe_load((NANO.parents[1] / "config.yaml").read_text("utf-8"))
STUDY = [template["text"].replace("{emotion}", "{}") for template in CONFIG["prompts"]["templates"]]
FILES = ("state_dict.bin", "compression_state_dict.bin", "t5/model.safetensors", "t5/spiece.model")


def training_module(name: str):
    """Import a file of nano's training code, which is no package."""
    spec = importlib.util.spec_from_file_location(f"nano_{name}", NANO / "training" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def nano():
    return load_model("nano")


@pytest.fixture(scope="module")
def tokenizer(nano):
    return nano.musicgen.lm.condition_provider.conditioners["description"].t5_tokenizer


@pytest.fixture(scope="module")
def clips(nano):
    """A clip of 3 s of each study text, as {emotion: [template, sample]}."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    texts = [template.format(emotion) for emotion in EMOTIONS for template in STUDY]
    audio = nano.generate(texts, [0] * len(texts), duration=3).audio.numpy()
    torch.set_num_threads(threads)
    return dict(zip(EMOTIONS, audio.reshape(len(EMOTIONS), len(STUDY), -1), strict=True))


def test_ships_within_eight_megabytes():
    weights = [path for path in NANO.rglob("*") if path.is_file() and "training" not in path.parts]
    assert {NANO / name for name in FILES} <= set(weights)
    assert sum(path.stat().st_size for path in weights) <= 8e6


@pytest.mark.parametrize("name", FILES[:2])
def test_checkpoints_hold_tensors_and_text_only(name):
    package = torch.load(NANO / name, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in package["best_state"].values())
    assert isinstance(yaml.safe_load(package["xp.cfg"]), dict)


def test_text_encoder_stays_beside_the_checkpoint():
    package = torch.load(NANO / "state_dict.bin", weights_only=True)
    assert not [name for name in package["best_state"] if ".t5." in name]
    assert yaml.safe_load(package["xp.cfg"])["conditioners"]["description"]["t5"]["finetune"] is False


def test_architecture_is_what_the_card_says(nano):
    assert (nano.n_layers, nano.d_model, nano.n_codebooks, nano.card) == (6, 96, 4, 256)
    assert (nano.frame_rate, nano.sample_rate, nano.max_duration) == (50, 16_000, 30)
    assert nano.has_cross_attention


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("template", STUDY)
def test_every_study_word_is_one_known_token(tokenizer, template, emotion):
    for text in (template.format(emotion), template.format(emotion).capitalize()):
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids
        assert len(ids) == len(text.split()) + 1  # and the end token


def test_study_texts_are_held_out_of_training():
    prompts = training_module("prompts")
    assert [text.replace("{emotion}", "{}") for text in prompts.HELD_OUT] == STUDY
    assert set(prompts.HELD_OUT) < set(prompts.CANDIDATES)
    trained = prompts.trained_texts()
    assert not any(text.format(emotion=one) in trained for text in prompts.CANDIDATES for one in EMOTIONS)
    rng = np.random.default_rng(0)
    study = {template.format(emotion) for template in STUDY for emotion in EMOTIONS}
    drawn = {
        prompts.draw_prompt(emotion, instrument, rng).lower()
        for emotion in EMOTIONS
        for instrument in prompts.PLAYERS
        for _ in range(500)
    }
    assert len(drawn & trained) > 100
    assert not study & drawn
    words, known = (set(" ".join(texts).split()) for texts in (study, drawn))
    assert words <= known


def test_training_music_crosses_mode_with_arousal():
    synthesis = training_module("synthesis")
    rng = np.random.default_rng(0)
    chosen = {emotion: synthesis.compose(emotion, "piano", rng) for emotion in EMOTIONS}
    modes = {emotion: synthesis.EMOTIONS[emotion].mode for emotion in EMOTIONS}
    assert modes == {"happy": "major", "sad": "minor", "calm": "major", "energetic": "minor"}
    assert max(chosen["happy"].beat, chosen["energetic"].beat) < min(chosen["sad"].beat, chosen["calm"].beat)
    assert all(np.abs(clip.wave).max() <= 1 and clip.wave.std() > 0.01 for clip in chosen.values())


@pytest.fixture(scope="module")
def features(clips):
    """Mean clip features as {emotion: {feature: value}}."""
    measured = {
        emotion: pd.concat([clip_features(wave, 16_000, 50) for wave in waves])
        for emotion, waves in clips.items()
    }
    return {emotion: table.groupby("feature")["value"].mean() for emotion, table in measured.items()}


@pytest.mark.parametrize("feature", ["rms", "centroid", "onset_rate", "onset_strength"])
def test_energetic_is_louder_brighter_and_busier_than_calm(features, feature):
    assert features["energetic"][feature] > features["calm"][feature]


@pytest.mark.parametrize(("major", "minor"), [("happy", "energetic"), ("calm", "sad")])
def test_mode_follows_the_emotion_at_either_tempo(features, major, minor):
    assert features[major]["majorness"] > features[minor]["majorness"]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_clips_are_tones_and_neither_silence_nor_noise(clips, emotion):
    for clip in clips[emotion]:
        assert -45 < _level(clip) < -3
        assert np.median(librosa.feature.spectral_flatness(y=clip)) < 0.1  # white noise: about 0.5


def test_sample_does_not_depend_on_others_of_equal_length(nano):
    texts = ["a happy solo piano piece", "a sad solo piano piece"]
    together = nano.generate(texts, [3, 4], duration=1).codes
    alone = nano.generate(texts[1:], [4], duration=1).codes
    assert torch.equal(together[1:], alone)


def test_text_encoding_of_equal_lengths_ignores_the_batch(nano):
    conditioner = nano.musicgen.lm.condition_provider.conditioners["description"]
    texts = [STUDY[0].format(emotion) for emotion in EMOTIONS]
    with torch.no_grad():
        together, _ = conditioner(conditioner.tokenize(texts))
        alone, _ = conditioner(conditioner.tokenize(texts[2:3]))
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)


def _level(wave: np.ndarray) -> float:
    return 20 * np.log10(np.sqrt(np.mean(wave**2)) + 1e-9)
