"""Sound files of recorded music, which people bring: checked, hashed and read in part."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from innerear.errors import InputError
from innerear.io.machine import cannot, file_size

#: full scale is 1; samples beyond this are no sound within ±1, such as integers written as floats
LOUDEST = 8.0
#: samples per second of music, from a telephone's to four times a studio's
RATES = (4_000, 384_000)
#: dB re full scale below which an excerpt's mono mix is silent: there every token of nano's codec is that of
#: silence, whatever the music (tried on tunes and noise)
QUIETEST_DBFS = -60.0
#: dB of a mono mix re its channels below which it does not represent them
CANCEL_DB = -20.0
# An MP3 frame is made of what stands in frames before it: the first ones after a jump are wrong or silent.
_READ_BEFORE = 2**15


@dataclass(frozen=True)
class Excerpt:
    """A part of a sound file: float32 [channels, n], samples per second, and the hash of the whole file."""

    wave: NDArray[np.float32]
    rate: int
    sha256: str


def check_recording(path: str | PathLike, start: float, seconds: float) -> None:
    """Refuse, from its header alone, a file that holds no sound of so many seconds from `start`.

    Raises
    ------
    InputError: the file, what is wrong with it, and what to do.
    """
    with _opened(path) as sound:
        _span(sound, path, start, seconds)


def read_recording(path: str | PathLike, start: float, seconds: float) -> Excerpt:
    """Read so many seconds of a sound file from `start`: WAV, FLAC, Ogg, MP3, AIFF, … of 1 or 2 channels.

    Raises
    ------
    InputError: as `check_recording`; a file that breaks off, or an excerpt that is not finite, beyond full
        scale, or silent as the mono mix that is encoded, or played and measured.
    """
    sha256 = recording_hash(path)
    with _opened(path) as sound:
        first, n = _span(sound, path, start, seconds)
        before = min(first, _READ_BEFORE)
        sound.seek(first - before)
        wave = sound.read(before + n, dtype="float32", always_2d=True)[before:]
        rate = int(sound.samplerate)
    here = f"{path}, {start:g} to {start + seconds:g} s"
    if len(wave) < n:
        raise InputError(f"{here}: the file breaks off after {len(wave)} of {n} samples; copy it again")
    if not np.isfinite(wave).all():
        raise InputError(f"{here}: samples are NaN or infinite; export the file again")
    peak = float(np.abs(wave).max())
    if peak > LOUDEST:
        raise InputError(f"{here}: samples reach {peak:g}, and full scale is 1; export the file again")
    level, level_of_mix = (_level(one) for one in (wave, wave.mean(axis=1, keepdims=True)))
    if level_of_mix < level + CANCEL_DB:
        raise InputError(
            f"{here}: the channels cancel when mixed to mono ({level_of_mix:.0f} dBFS of {level:.0f}); "
            "export one of them alone, or with its polarity turned"
        )
    if level_of_mix < QUIETEST_DBFS:
        raise InputError(
            f"{here} is silent; set audio_start to where the music plays, raise the level "
            f"({level_of_mix:.0f} dBFS, and {QUIETEST_DBFS:g} are the least), or remove the row"
        )
    return Excerpt(np.ascontiguousarray(wave.T, np.float32), rate, sha256)


def recording_hash(path: str | PathLike) -> str:
    """Return the sha256 of a sound file.

    Raises
    ------
    InputError: a file that is missing or cannot be read.
    """
    try:
        file_size(path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _level(wave: NDArray) -> float:
    """Return the level of sound [n, channels] in dB re full scale, without its constant part."""
    power = float(np.mean(np.var(wave, axis=0, dtype=np.float64)))
    return 10 * np.log10(power) if power else -np.inf


def _span(sound: soundfile.SoundFile, path: str | PathLike, start: float, seconds: float) -> tuple[int, int]:
    """Return the first sample of an excerpt and their number."""
    first, n = round(start * sound.samplerate), round(seconds * sound.samplerate)
    if not sound.seekable():
        raise InputError(f"{path} ({sound.subtype_info}) cannot be read from a second on; convert it to WAV")
    if sound.channels > 2:
        raise InputError(f"{path} has {sound.channels} channels; mix it down to one or two")
    if not RATES[0] <= sound.samplerate <= RATES[1]:
        raise InputError(
            f"{path} has {sound.samplerate} samples a second; save it at 32000, 44100 or 48000 Hz"
        )
    if first + n > sound.frames:
        raise InputError(
            f"{path} lasts {sound.frames / sound.samplerate:.2f} s, but {start + seconds:g} s are needed "
            f"({seconds:g} s from {start:g} s); shorten generation.duration, set an earlier audio_start, or "
            "remove the row"
        )
    return first, n


@contextmanager
def _opened(path: str | PathLike) -> Iterator[soundfile.SoundFile]:
    """Open a sound file; whatever goes wrong with it is an InputError that names it."""
    try:
        if not Path(path).is_file():
            there = "is no file" if Path(path).exists() else "does not exist"
            raise InputError(f"{path} {there}; paths are relative to the sheet's folder")
        with open(path, "rb"), soundfile.SoundFile(str(path)) as sound:
            yield sound
    except OSError as error:
        raise _unreadable(path, error) from None
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as sound ({error}); convert it to WAV or FLAC") from None


def _unreadable(path: str | PathLike, error: OSError) -> InputError:
    return InputError(cannot("read", path, error) or f"{path} cannot be read ({error.strerror})")
