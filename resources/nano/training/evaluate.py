"""Measure nano on the default study's texts, which it was not trained on, and print the card's tables.

python resources/nano/training/evaluate.py resources/nano
python resources/nano/training/evaluate.py resources/nano --candidates    which sentences to take
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from prompts import ADJECTIVES, CANDIDATES, HELD_OUT, trained_texts
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from synthesis import EMOTIONS, INSTRUMENTS, compose

from innerear import load_model
from innerear.acoustics.clips import clip_features

DURATION = 4.0
# Each template has seeds of its own, as in the default study. Candidates are tried on other ones.
SEEDS = 2
CANDIDATES_FROM, CANDIDATE_SEEDS = 1000, 6
SHOWN = ("rms", "centroid", "onset_strength", "onset_rate", "tempo", "flatness", "register", "majorness")
# What the classifier sees: loudness, brightness, noisiness, rhythm, register and mode; fixed beforehand.
CLASSIFIED = (*SHOWN, "rolloff", "bandwidth", "flux")


def main() -> None:
    """Generate, measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where nano's weights are")
    parser.add_argument("--candidates", action="store_true", help="only measure each of the candidates")
    parser.add_argument("--pictures", type=Path, help="folder for clips and their mel spectrograms")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.folder)

    if arguments.candidates:
        _candidates(model)
        return
    generated, waves, texts = compose_all(model, HELD_OUT)
    reference, decoded = _references(model)
    classifier = fit(generated)

    print(f"\n### Means of {len(generated)} generated clips of {DURATION:g} s\n\n{_table(generated)}")
    print(f"\n### Means of {len(decoded)} newly composed clips after the codec\n\n{_table(decoded)}")
    print(f"\n### Emotion from {len(CLASSIFIED)} clip features, nearest centroid\n")
    right = across_templates(generated)
    print(f"- templates left out in turn: {_share(right)}")
    for factor in ("emotion", "template"):
        shares = pd.Series(right).groupby(generated[factor], sort=False).mean()
        print(f"  - by {factor}: {', '.join(f'{name} {share:.2f}' for name, share in shares.items())}")
    print(f"- by the centroids of composed clips after the codec: {_share(_right(fit(decoded), generated))}")
    print(f"- padded to the longest of all texts in one batch: {_share(_padded(model, classifier))}")
    print(f"- 28 other adjectives it was trained on: {_share(_synonyms(model, classifier))}")
    print("\n### Mode: area under the ROC curve of majorness, major against minor emotion\n")
    for name, clips in (("composed", reference), ("after the codec", decoded), ("generated", generated)):
        fast, slow = mode(clips, "happy", "energetic"), mode(clips, "calm", "sad")
        print(f"- {name}: fast (happy, energetic) {fast}; slow (calm, sad) {slow}")
    print("\n### Energetic above calm, share of pairs of clips of one template\n")
    for feature in ("rms", "centroid", "onset_strength", "onset_rate"):
        print(f"- {feature}: {above(generated, feature, 'energetic', 'calm'):.3f}")
    if arguments.pictures:
        _pictures(arguments.pictures, waves[::SEEDS], texts[::SEEDS], model.sample_rate)


def compose_all(
    model, templates: Sequence[str], n_seeds: int = SEEDS, first_seed: int = 0
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Generate all emotions in all templates, each with its own seeds: clip features, waves and texts."""
    cases, seeds = [], []
    for emotion, (number, template) in product(EMOTIONS, enumerate(templates)):
        cases += [(emotion, template)] * n_seeds
        seeds += range(first_seed + number * n_seeds, first_seed + (number + 1) * n_seeds)
    texts = [template.format(emotion=emotion) for emotion, template in cases]
    waves = model.generate(texts, seeds, DURATION).audio.numpy()
    return measure(waves, cases), waves, texts


def measure(waves: np.ndarray, cases: Sequence[tuple[str, str]], sample_rate: int = 16_000) -> pd.DataFrame:
    """Clip features of waves [clip, sample], one row each, beside their (emotion, template)."""
    rows = [clip_features(wave, sample_rate, 50).set_index("feature")["value"] for wave in waves]
    measured = pd.DataFrame(rows).reset_index(drop=True)
    return measured.assign(emotion=[case[0] for case in cases], template=[case[1] for case in cases])


def fit(clips: pd.DataFrame):
    """Fit the nearest-centroid classifier of emotions on standardised features."""
    pipeline = make_pipeline(_Filled(), StandardScaler(), NearestCentroid())
    return pipeline.fit(clips[list(CLASSIFIED)], clips.emotion)


def across_templates(clips: pd.DataFrame) -> np.ndarray:
    """Whether each clip is classified right by centroids of the other templates' clips."""
    right = np.zeros(len(clips), dtype=bool)
    for template in clips.template.unique():
        out = (clips.template == template).to_numpy()
        right[out] = _right(fit(clips[~out]), clips[out])
    return right


def mode(clips: pd.DataFrame, major: str, minor: str) -> str:
    """How well majorness tells a major from a minor emotion, and how often its sign is right."""
    chosen = clips[clips.emotion.isin((major, minor)) & clips.majorness.notna()]
    is_major = chosen.emotion == major
    sign = np.mean((chosen.majorness > 0) == is_major)
    return f"{roc_auc_score(is_major, chosen.majorness):.3f} (sign right in {sign:.2f} of {len(chosen)})"


def above(clips: pd.DataFrame, feature: str, upper: str, lower: str) -> float:
    """Share of pairs of one template in which `upper` exceeds `lower`."""
    wins = []
    for _, group in clips.groupby("template"):
        high, low = (group.loc[group.emotion == emotion, feature].to_numpy() for emotion in (upper, lower))
        wins.append(high[:, None] > low[None, :])
    return float(np.mean(wins))


class _Filled:
    """Replace what could not be measured by the training clips' mean."""

    def fit(self, features: pd.DataFrame, _=None) -> "_Filled":
        self.means_ = features.mean()
        return self

    def transform(self, features: pd.DataFrame) -> np.ndarray:
        return features.fillna(self.means_).fillna(0).to_numpy()


def _candidates(model) -> None:
    """Print how often each candidate sentence comes out as its emotion, at seeds that no study has."""
    trained = trained_texts()
    known = [text for text in CANDIDATES if any(text.format(emotion=one) in trained for one in EMOTIONS)]
    if known:
        raise SystemExit(f"nano was trained on {known}")
    clips, _, _ = compose_all(model, CANDIDATES, CANDIDATE_SEEDS, CANDIDATES_FROM)
    right = pd.Series(across_templates(clips))
    for template, share in right.groupby(clips.template, sort=False).mean().items():
        of_emotion = right[clips.template == template].groupby(clips.emotion, sort=False).mean()
        print(
            f"{share:.2f}  {template}  ({', '.join(f'{name} {one:.2f}' for name, one in of_emotion.items())})"
        )
    print(f"all: {_share(right)}")


def _references(model) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features of newly composed clips, as composed and as the codec gives them back."""
    rng = np.random.default_rng(10**6)
    cases = [(emotion, instrument) for emotion in EMOTIONS for instrument in INSTRUMENTS for _ in range(4)]
    waves = np.stack([compose(*case, rng, frames=round(DURATION * 50)).wave for case in cases])
    with torch.no_grad():
        codes, _ = model.musicgen.compression_model.encode(torch.from_numpy(waves).unsqueeze(1))
        decoded = model.musicgen.compression_model.decode(codes).squeeze(1).numpy()
    return measure(waves, cases), measure(decoded, cases)


def _padded(model, classifier) -> np.ndarray:
    """Whether texts of all lengths in one batch, hence padded, still come out as their emotion."""
    cases = list(product(EMOTIONS, HELD_OUT))
    musicgen = model.musicgen
    musicgen.set_generation_params(duration=DURATION)
    torch.manual_seed(0)
    waves = musicgen.generate([template.format(emotion=emotion) for emotion, template in cases])
    clips = measure(waves.squeeze(1).numpy(), cases)
    return _right(classifier, clips)


def _synonyms(model, classifier) -> np.ndarray:
    """Whether the other adjectives, in the study's templates, come out as their emotion."""
    words = [(emotion, word) for emotion, words in ADJECTIVES.items() for word in words[1:]]
    cases = [(emotion, HELD_OUT[number % len(HELD_OUT)]) for number, (emotion, _) in enumerate(words)]
    texts = [template.format(emotion=word) for (_, word), (_, template) in zip(words, cases, strict=True)]
    clips = measure(model.generate(texts, [0] * len(texts), DURATION).audio.numpy(), cases)
    return _right(classifier, clips)


def _right(classifier, clips: pd.DataFrame) -> np.ndarray:
    return classifier.predict(clips[list(CLASSIFIED)]) == clips.emotion.to_numpy()


def _table(clips: pd.DataFrame) -> str:
    """Means by emotion; a dash where fewer than half of the clips could be measured."""
    groups = clips.groupby("emotion")[list(SHOWN)]
    means = groups.mean().where(groups.count().ge(groups.size() / 2, axis=0)).loc[list(EMOTIONS)]
    lines = [["emotion", *SHOWN], ["---"] * (len(SHOWN) + 1)]
    for emotion, row in means.iterrows():
        lines.append([emotion, *("–" if np.isnan(value) else f"{value:.2f}" for value in row)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(right: Sequence[bool]) -> str:
    return f"{np.mean(right):.3f} ({np.sum(right)} of {len(right)})"


def _pictures(folder: Path, waves: np.ndarray, texts: Sequence[str], sample_rate: int) -> None:
    """Write each clip and its mel spectrogram."""
    import librosa
    import soundfile
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(20, 12), layout="constrained")
    axes = figure.subplots(len(EMOTIONS), len(HELD_OUT)).ravel()
    for axis, wave, text in zip(axes, waves, texts, strict=True):
        soundfile.write(folder / f"{text.replace(' ', '-')}.wav", wave, sample_rate)
        mel = librosa.feature.melspectrogram(y=wave, sr=sample_rate, n_fft=2048, hop_length=160, n_mels=128)
        axis.imshow(librosa.power_to_db(mel), origin="lower", aspect="auto", vmin=-60, vmax=30)
        axis.set_title(text, fontsize=8)
    figure.savefig(folder / "mel.png")


if __name__ == "__main__":
    main()
