"""Clips as WAV files: hashed, and read only if they are whole, plain sound of a size that a clip can have."""

import hashlib
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from innerear.errors import InputError
from innerear.io.files import atomic
from innerear.io.machine import cannot, file_size
from innerear.io.names import command, remake

#: a clip of 600 s at 48 kHz in two channels of 32-bit samples takes 220 MiB
MAX_BYTES = 2**29


def write_clip(path: str | PathLike, wave: NDArray, sample_rate: int) -> str:
    """Write sound [n] or [n, channels] as 16-bit PCM, clipped at full scale; return the file's hash."""
    content = _pcm16(wave, sample_rate)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def as_written(wave: NDArray, sample_rate: int) -> NDArray[np.float32]:
    """Return sound [n] or [n, channels] as `read_clip` reads what `write_clip` has written."""
    return np.asarray(soundfile.read(BytesIO(_pcm16(wave, sample_rate)), dtype="float32")[0], np.float32)


def _pcm16(wave: NDArray, sample_rate: int) -> bytes:
    content = BytesIO()  # libsndfile does not say why it cannot write a file
    soundfile.write(content, np.clip(wave, -1.0, 1.0), sample_rate, subtype="PCM_16", format="WAV")
    return content.getvalue()


def read_clip(path: str | PathLike, sha256: str | None = None) -> tuple[NDArray[np.float32], int, str]:
    """Read a clip.

    Parameters
    ----------
    sha256 : that the file must have, as the study's index lists it.

    Returns
    -------
    Sound [n, channels] within ±1, samples per second, and the file's hash.

    Raises
    ------
    InputError: a file that is missing, no WAV, too large, or another one than is listed.
    """
    content = _content(path)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise InputError(
            f"{path} is not the clip that was written with the sample's tokens: its sha256 is {found}, the "
            f"index lists {sha256}; {remake(path)}"
        )
    try:
        with soundfile.SoundFile(BytesIO(content)) as sound:
            size = sound.frames * sound.channels
            if sound.format != "WAV" or not 0 <= size <= len(content) or sound.samplerate < 1:
                raise InputError(f"{path} is no plain WAV file ({sound.format_info}); {remake(path)}")
            wave = sound.read(dtype="float32", always_2d=True)
            return np.asarray(wave, np.float32), int(sound.samplerate), found
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as sound ({error}); {remake(path)}") from None


def _content(path: str | PathLike) -> bytes:
    try:
        if file_size(path) > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES // 2**20} MiB, as no clip is; {remake(path)}")
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; make it with: {command(path)}") from None
    except OSError as error:
        raise InputError(cannot("read", path, error) or f"{path} cannot be read ({error})") from None
