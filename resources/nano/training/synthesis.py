"""The music that nano learns from: short tonal pieces whose make-up follows an emotion word.

Mode and arousal are crossed, so that neither can stand in for the other: happy is fast and major,
energetic fast and minor, calm slow and major, sad slow and minor. Tempo, register, loudness,
brightness, articulation and accompaniment follow the emotion as well; the instrument is drawn apart
from it.

Every note starts on a codec frame with phase zero and the drums are fixed waveforms, so a note of
one pitch, timbre and length is the same sequence of codec frames wherever it stands. That is what
lets a codec of 1.6 kbit/s and a language model of a million parameters keep a melody in tune.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

SAMPLE_RATE = 16_000
FRAME = 320  # samples in a codec frame: 50 frames a second
TONICS = (45, 50)  # A and D: few keys, so that a small codec can know each pitch well
INSTRUMENTS = ("piano", "synthesizer", "guitar", "orchestra", "band")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# Degrees of the scale (0 = tonic). The tonic chord opens and returns, which keeps a major key
# from being heard as its relative minor and the other way round.
PROGRESSIONS = {
    "major": ((0, 3, 0, 4), (0, 4, 0, 3), (0, 3, 4, 0)),
    "minor": ((0, 3, 0, 4), (0, 5, 0, 4), (0, 3, 5, 0)),
}


@dataclass(frozen=True)
class Emotion:
    """How an emotion sounds.

    Attributes
    ----------
    mode : ``"major"`` or ``"minor"``.
    beat : shortest and longest beat in codec frames (20 frames are 150 beats a minute).
    beats_per_chord : how long a harmony lasts.
    level : loudness of the clip, dB RMS relative to full scale.
    register : MIDI pitch around which the melody moves.
    rolloff : exponent of the harmonics' fall; small is bright.
    rhythms : melody rhythms of one chord, note lengths in beats.
    articulation : sounding part of a melody note's length.
    accompaniment : ``"offbeat"``, ``"block"``, ``"broken"`` or ``"driving"``.
    drums : whether percussion plays (for solo piano and guitar, a light tap only).
    """

    mode: str
    beat: tuple[int, int]
    beats_per_chord: int
    level: float
    register: int
    rolloff: float
    rhythms: tuple[tuple[float, ...], ...]
    articulation: float
    accompaniment: str
    drums: bool


EMOTIONS = {
    "happy": Emotion(
        "major", (22, 26), 4, -19, 69, 1.3,
        ((1, 0.5, 0.5, 1, 1), (0.5, 0.5, 1, 0.5, 0.5, 1), (1, 1, 0.5, 0.5, 1)), 0.6, "offbeat", False,
    ),
    "sad": Emotion("minor", (46, 54), 2, -23, 57, 3.0, ((2,), (1, 1), (1.5, 0.5)), 1.0, "block", False),
    "calm": Emotion("major", (42, 48), 2, -27, 66, 2.4, ((2,), (1, 1), (2,)), 1.0, "broken", False),
    "energetic": Emotion(
        "minor", (17, 20), 4, -13, 62, 0.8,
        ((0.5,) * 8, (1, 0.5, 0.5, 0.5, 0.5, 1), (0.5, 0.5, 0.5, 0.5, 1, 0.5, 0.5)), 0.8, "driving", True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """A piece and what it was made from.

    Attributes
    ----------
    wave : float32 [n], full scale ±1.
    chord_starts : codec frames at which a harmony begins, ascending, the first 0.
    """

    wave: np.ndarray
    emotion: str
    instrument: str
    tonic: int
    beat: int
    chord_starts: tuple[int, ...]


def compose(emotion: str, instrument: str, rng: np.random.Generator, frames: int = 400) -> Clip:
    """Compose and play one piece.

    Parameters
    ----------
    emotion, instrument : keys of `EMOTIONS` and members of `INSTRUMENTS`.
    frames : length in codec frames.
    """
    style = EMOTIONS[emotion]
    tonic = int(rng.choice(TONICS))
    beat = int(rng.integers(style.beat[0], style.beat[1] + 1))
    chord_length = beat * style.beats_per_chord
    starts = tuple(range(0, frames, chord_length))
    progressions = PROGRESSIONS[style.mode]
    progression = progressions[rng.integers(len(progressions))]

    track = np.zeros((frames + 200) * FRAME, dtype=np.float32)
    degree = int(rng.choice((0, 2, 4)))
    for number, start in enumerate(starts):
        root = progression[number % len(progression)]
        _accompany(track, style, instrument, tonic, root, start, beat)
        degree = _melody(track, style, instrument, tonic, root, degree, start, beat, rng)
        if style.drums:
            _drums(track, instrument, start, beat, style.beats_per_chord)
    wave = track[: frames * FRAME]
    gain = 10 ** ((style.level + rng.uniform(-1, 1)) / 20) / np.sqrt(np.mean(wave**2))
    return Clip(np.tanh(wave * gain).astype(np.float32), emotion, instrument, tonic, beat, starts)


def pitch(tonic: int, mode: str, degree: int) -> int:
    """MIDI pitch of a scale degree; degrees below 0 and above 6 reach into other octaves."""
    octave, step = divmod(degree, 7)
    return tonic + 12 * octave + SCALES[mode][step]


def _melody(track, style, instrument, tonic, root, degree, start, beat, rng) -> int:
    """Play one chord's melody as a walk over the scale that lands on chord tones at each beat."""
    position = 0.0
    for length in style.rhythms[rng.integers(len(style.rhythms))]:
        degree += int(rng.choice((-2, -1, 1, 2)))
        if position % 1 == 0:
            degree = min((root + tone + 7 * octave for tone in (0, 2, 4) for octave in (-1, 0, 1, 2)),
                         key=lambda d: (abs(d - degree), d))  # fmt: skip
        midi = pitch(tonic, style.mode, degree)
        while midi > style.register + 7:
            degree, midi = degree - 7, midi - 12
        while midi < style.register - 5:
            degree, midi = degree + 7, midi + 12
        first, last = start + round(position * beat), start + round((position + length) * beat)
        frames = max(3, round((last - first) * style.articulation))
        _play(track, instrument, style.rolloff, midi, first, frames, 1.0)
        position += length
    return degree


def _accompany(track, style, instrument, tonic, root, start, beat) -> None:
    """Play one chord: a bass note and a close triad between MIDI 52 and 64, in the style's figure."""
    lowest = 40 if style.accompaniment in ("block", "driving") else 43
    bass = lowest + (pitch(tonic, style.mode, root) - lowest) % 12
    triad = sorted(52 + (pitch(tonic, style.mode, root + tone) - 52) % 12 for tone in (0, 2, 4))
    figure = _FIGURES[style.accompaniment]
    for offset, frames, level, midis in figure((bass,), tuple(triad), beat, style.beats_per_chord):
        for midi in midis:
            _play(track, instrument, style.rolloff, midi, start + offset, frames, level)


# A figure yields (offset in frames, length in frames, level, pitches).
def _block(bass, triad, beat, beats):
    yield 0, beat * beats, 0.9, bass
    yield 0, beat * beats, 0.5, triad


def _broken(bass, triad, beat, beats):
    length = beat * beats
    yield 0, length, 0.6, bass
    for number, midi in enumerate((*triad, triad[1])):
        yield number * length // 4, length // 2, 0.6, (midi,)


def _offbeat(bass, triad, beat, beats):
    for number in range(beats):
        yield number * beat, beat // 2, *((0.5, triad) if number % 2 else (0.9, bass))


def _driving(bass, triad, beat, beats):
    for number in range(2 * beats):
        yield number * beat // 2, beat // 2 - 1, 0.9, bass
        if number % 2 == 0:
            yield number * beat // 2, beat // 2, 0.55, triad


_FIGURES = {"block": _block, "broken": _broken, "offbeat": _offbeat, "driving": _driving}


def _drums(track, instrument, start, beat, beats) -> None:
    level = 0.35 if instrument in ("piano", "guitar") else 0.9
    for number in range(beats):
        _mix(track, _kick() if number % 2 == 0 else _snare(), start + number * beat, level)
        _mix(track, _hat(), start + number * beat + beat // 2, level * 0.6)


def _play(track, instrument, rolloff, midi, first, frames, level) -> None:
    player = "guitar" if instrument == "band" and midi >= 60 else instrument
    _mix(track, _note(player, rolloff, midi, frames), first, level)


def _mix(track: np.ndarray, sound: np.ndarray, frame: int, level: float) -> None:
    room = track[frame * FRAME : frame * FRAME + len(sound)]
    room += level * sound[: len(room)]


@lru_cache(maxsize=4096)
def _note(player: str, rolloff: float, midi: int, frames: int) -> np.ndarray:
    """One note with all its harmonics below 7 kHz, starting at phase zero."""
    frequency = 440 * 2 ** ((midi - 69) / 12)
    release = 2 * FRAME
    time = np.arange(frames * FRAME + release) / SAMPLE_RATE
    wave = np.zeros_like(time)
    for harmonic in range(1, min(16, int(7000 / frequency)) + 1):
        level = _harmonic_level(player, harmonic, rolloff) * _decay(player, harmonic, time)
        wave += level * np.sin(2 * np.pi * harmonic * frequency * time)
    attack = {"orchestra": 0.05 if frames > 20 else 0.02, "synthesizer": 0.01}.get(player, 0.004)
    envelope = np.minimum(1, time / attack)
    envelope[-release:] *= np.linspace(1, 0, release)
    return (wave * envelope).astype(np.float32)


def _harmonic_level(player: str, harmonic: int, rolloff: float) -> float:
    level = harmonic**-rolloff
    if player == "guitar":  # plucked near a quarter of the string
        return level * abs(np.sin(np.pi * harmonic * 0.23)) / np.sin(np.pi * 0.23)
    if player == "synthesizer":  # hollow: odd harmonics lead
        return level * (1.0 if harmonic % 2 else 0.3)
    return level


def _decay(player: str, harmonic: int, time: np.ndarray) -> np.ndarray | float:
    rate = {"piano": (0.8, 0.4), "band": (0.6, 0.3), "guitar": (1.5, 0.6)}.get(player)
    return 1.0 if rate is None else np.exp(-(rate[0] + rate[1] * harmonic) * time)


@cache
def _kick() -> np.ndarray:
    time = np.arange(5 * FRAME) / SAMPLE_RATE
    cycles = 55 * time + 4 * (1 - np.exp(-30 * time))
    return (1.6 * np.sin(2 * np.pi * cycles) * np.exp(-25 * time)).astype(np.float32)


@cache
def _snare() -> np.ndarray:
    time = np.arange(5 * FRAME) / SAMPLE_RATE
    noise = np.random.default_rng(1).standard_normal(len(time))
    return ((0.5 * noise + 0.5 * np.sin(2 * np.pi * 190 * time)) * np.exp(-35 * time)).astype(np.float32)


@cache
def _hat() -> np.ndarray:
    time = np.arange(3 * FRAME) / SAMPLE_RATE
    noise = np.diff(np.random.default_rng(2).standard_normal(len(time) + 1))
    return (0.4 * noise * np.exp(-70 * time)).astype(np.float32)
