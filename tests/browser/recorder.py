"""What a page is heard to play: recorded behind its audio element, and found again in the clips."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

#: samples a second at which sound is compared
RATE = 8000
#: samples that are looked up at a time, and after which the next are
WINDOW, HOP = 400, 40
#: least correlation of a window with the place that it is from: a mixture of two clips has .7
SURE = 0.9
SILENCE = 1e-3
#: samples that a busy computer may lose in the middle of a piece, which is one block of the recorder
LOST = 0.1 * RATE
#: seconds in which something has been heard
PATIENCE = 10

# Pages play by `play`, whatever they call their element.
_TAP = """
const heard = window.heard = {blocks: []}, play = HTMLMediaElement.prototype.play;
const context = heard.context = new AudioContext();
const tap = heard.tap = context.createScriptProcessor(4096, 1, 1);
tap.onaudioprocess = event => heard.blocks.push(event.inputBuffer.getChannelData(0).slice());
tap.connect(context.destination);
HTMLMediaElement.prototype.play = function () {
  if (!heard.source) {
    heard.source = context.createMediaElementSource(this);
    heard.source.connect(tap);
    context.resume();
  }
  return play.call(this);
};"""
_TAKE = """
let bytes = "";
for (const block of window.heard.blocks.splice(0))
  for (const byte of new Uint8Array(block.buffer)) bytes += String.fromCharCode(byte);
return [btoa(bytes), window.heard.context.sampleRate];"""


@dataclass
class Piece:
    """What was heard of a clip: from which second of the clip to which."""

    clip: str
    start: float
    end: float


class Recorder:
    """Records the page that a browser shows, from before anything is pressed.

    `clips` are the sounds of the page by name, each as [n] at `RATE`. `tap` is the script that listens.
    """

    def __init__(self, browser, clips: dict[str, NDArray], tap: str = _TAP):
        self.browser, self.clips = browser, clips
        self.recording = np.zeros(0, np.float32)
        self.rate = RATE
        browser.run(tap)

    def forget(self) -> None:
        """Begin a new recording."""
        self._take()
        self.recording = self.recording[:0]

    def listen(self, seconds: float) -> list[Piece]:
        """Record for some time, and return the pieces of clips in the recording."""
        time.sleep(seconds)
        self._take()
        return self.pieces()

    def listen_for(self, wanted: Callable[[Piece], bool]) -> list[Piece]:
        """Record until the last quarter of a second is of a wanted piece; return all pieces."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.listen(0.1)
            if found and wanted(found[-1]) and found[-1].end - found[-1].start >= 0.25:
                return found
        raise AssertionError(f"after {PATIENCE} s only this was heard: {self.pieces()}")

    def pieces(self) -> list[Piece]:
        """Return the pieces of clips that the recording consists of; silence is none."""
        recording = comparable(self.recording, self.rate)
        found: list[Piece] = []
        # Where the last window was found, in samples, less where it stands in the recording.
        ahead = 0
        for begin in range(0, len(recording) - WINDOW + 1, HOP):
            window = recording[begin : begin + WINDOW]
            if np.abs(window).max() < SILENCE:
                continue
            if found and _likeness(window, self.clips[found[-1].clip], begin + ahead) > SURE:
                found[-1].end = (begin + ahead + WINDOW) / RATE
                continue
            places = ((name, _place(window, wave)) for name, wave in self.clips.items())
            name, place = max(places, key=lambda one: _likeness(window, self.clips[one[0]], one[1]))
            if _likeness(window, self.clips[name], place) <= SURE:
                continue
            if not found or name != found[-1].clip or abs(place - begin - ahead) > LOST:
                found.append(Piece(name, place / RATE, 0.0))
            found[-1].end, ahead = (place + WINDOW) / RATE, place - begin
        return found

    def _take(self) -> None:
        data, self.rate = self.browser.run(_TAKE)
        self.recording = np.append(self.recording, np.frombuffer(base64.b64decode(data), np.float32))


def comparable(wave: NDArray, rate: float) -> NDArray[np.float64]:
    """Return sound [n] or [n, channels] as [n] at `RATE`."""
    mono = wave if wave.ndim == 1 else wave.mean(axis=1)
    return resample_poly(mono.astype(np.float64), RATE, int(rate)) if len(mono) else np.zeros(0)


def _place(window: NDArray, wave: NDArray) -> int:
    """Return the sample of a sound at which a window fits best."""
    products = fftconvolve(wave, window[::-1], "valid")
    energy = fftconvolve(wave**2, np.ones(len(window)), "valid")
    return int((products / np.sqrt(np.maximum(energy, 1e-6))).argmax())


def _likeness(window: NDArray, wave: NDArray, place: int) -> float:
    """Return the cosine of a window and the place of a sound."""
    other = wave[place : place + len(window)]
    if len(other) < len(window):
        return 0.0
    return float(window @ other / np.sqrt(max((window @ window) * (other @ other), 1e-12)))
