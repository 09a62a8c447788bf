"""Settings of a generation and their ranges, for configs, models and notebooks alike.

The Snakefile imports this each time it is parsed, so it imports nothing heavy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from innerear.errors import InputError, did_you_mean, shown
from innerear.study.names import check_characters

#: audiocraft's names of settings → ours; `extend_stride` is in seconds and depends on the model's window
AUDIOCRAFT_NAMES = {"cfg_coef": "guidance", "two_step_cfg": "two_step", "temp": "temperature"}
#: the largest seed: a CPU generator of torch reads 32 bits, so that larger seeds would repeat smaller ones
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of a generation; each value is checked and made a plain Python number.

    Parameters
    ----------
    duration : seconds, above 0, at most 600.
    guidance : classifier-free guidance, 0 … 20; 1 is none; None runs the cond branch alone.
    two_step : run the branches one after the other in each step.
    temperature : 0.01 … 10.
    top_k : 0 … 1,000,000 likeliest tokens to sample from; 0 for all.
    top_p : 0 … 1; if above 0, sample within this cumulative probability instead.
    use_sampling : False takes the likeliest token.
    stride : from one window's beginning to the next, as a share of the window; between 0 and 1.

    Raises
    ------
    InputError: a value of another type or out of its range, NaN and infinity among them.

    Examples
    --------
    >>> GenerationSettings(duration=8, top_k=250.0).top_k
    250
    >>> GenerationSettings(top_k=-1)
    Traceback (most recent call last):
    ...
    innerear.errors.InputError: top_k: -1 is not allowed; give a whole number from 0 to 1000000
    """

    duration: float = 5.0
    guidance: float | None = 3.0
    two_step: bool = False
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    use_sampling: bool = True
    stride: float = 0.6

    def __post_init__(self) -> None:
        checked = {
            "duration": _number("duration", self.duration, 0, 600, above=True),
            "guidance": None
            if self.guidance is None
            else _number("guidance (cfg_coef)", self.guidance, 0, 20, more=", or None for no guidance"),
            "two_step": switch("two_step (two_step_cfg)", self.two_step),
            "temperature": _number(
                "temperature",
                self.temperature,
                0.01,
                10,
                more=" (use_sampling=False takes the likeliest token)",
            ),
            "top_k": integer("top_k", self.top_k, 0, 1_000_000),
            "top_p": _number("top_p", self.top_p, 0, 1),
            "use_sampling": switch("use_sampling", self.use_sampling),
            "stride": _number("stride", self.stride, 0, 1, above=True, below=True),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def integer(name: str, value: Any, least: int, most: int) -> int:
    """Return a whole number of any type as an int.

    Raises
    ------
    InputError: no whole number, or one out of range; the message begins with `name`.
    """
    whole = _plain(value)
    if isinstance(whole, float) and whole.is_integer():
        whole = int(whole)
    if not isinstance(whole, int) or not least <= whole <= most:
        raise InputError(f"{name}: {shown(value)} is not allowed; give a whole number from {least} to {most}")
    return whole


def check_texts(texts: Any, *, blank: bool = False) -> list[str | None]:
    """Return the texts of a call as a list; None is no text.

    Parameters
    ----------
    blank : take an empty text for None.

    Raises
    ------
    InputError: one text instead of a list, something that is no text, an empty text, one with control
        characters or half a character, no text at all.
    """
    if isinstance(texts, str):
        raise InputError(f"prompts: {shown(texts)} is one text; give a list of texts")
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Iterable):
        raise InputError(f"prompts: {shown(texts)} is no list of texts; give one such as ['happy music']")
    listed = list(texts)
    if not listed:
        raise InputError("0 prompts: give at least one text")
    return [_text(text, f"prompt {i}", blank) for i, text in enumerate(listed)]


def _text(text: Any, where: str, blank: bool) -> str | None:
    if text is None or (blank and text == ""):
        return None
    if not isinstance(text, str):
        raise InputError(f"{where}: {shown(text)} is no text; give one, or None for no text")
    if not text.strip():
        raise InputError(f"{where} is empty; give a text, or None to compose without one")
    check_characters(text, where)
    return str(text)


def check_sample_seeds(seeds: Any, n_samples: int) -> list[int]:
    """Return one seed for each sample of a call.

    Raises
    ------
    InputError: another number of seeds; one that is no integer from 0 to `MAX_SEED`.
    """
    if isinstance(seeds, str | bytes | Mapping) or not isinstance(seeds, Iterable):
        raise InputError(f"seeds: {shown(seeds)} is no list; give one seed for each prompt, such as [7]")
    try:
        listed = list(seeds)
    except TypeError:  # an array without axes
        raise InputError(f"seeds: {shown(seeds)} is no list; give one seed for each prompt") from None
    if len(listed) != n_samples:
        raise InputError(f"{n_samples} prompts and {len(listed)} seeds: give one seed for each prompt")
    return [integer(f"seeds, entry {i}", seed, 0, MAX_SEED) for i, seed in enumerate(listed)]


def own_names(settings: Mapping[str, Any], max_duration: float, known: Iterable[str]) -> dict[str, Any]:
    """Return settings by our names, where some have audiocraft's.

    Parameters
    ----------
    settings : name → value; ``extend_stride`` is in seconds.
    max_duration : seconds of the model's window.
    known : our names that may occur.

    Raises
    ------
    InputError: an unknown name, or one setting by both names.
    """
    known, own, given = list(known), {}, {}
    for name, value in settings.items():
        if name == "extend_stride":
            seconds = _number(name, value, 0, max_duration, above=True, below=True)
            ours, value = "stride", seconds / max_duration
        else:
            ours = AUDIOCRAFT_NAMES.get(name, name)
        if ours not in known:
            every = [*known, *AUDIOCRAFT_NAMES, "extend_stride"]
            raise InputError(f"{name!r} is no setting{did_you_mean(name, every)}; known: {', '.join(every)}")
        if ours in own:
            raise InputError(f"{given[ours]} and {name} are both given, and are one setting; give one")
        own[ours], given[ours] = value, name
    return own


def _number(
    name: str,
    value: Any,
    least: float,
    most: float,
    *,
    above: bool = False,
    below: bool = False,
    more: str = "",
) -> float:
    number = _plain(value)
    inside = (  # NaN is on no side of any number
        isinstance(number, int | float)
        and (number > least if above else number >= least)
        and (number < most if below else number <= most)
    )
    if not inside:
        first = "above" if above else "at least"
        last = "below" if below else "at most"
        allowed = f"{first} {least:g} and {last} {most:g}"
        raise InputError(f"{name}: {shown(value)} is not allowed; give a number {allowed}{more}")
    return float(number)


def switch(name: str, value: Any) -> bool:
    """Return True or False of any type as a bool.

    Raises
    ------
    InputError: anything else; the message begins with `name`.
    """
    plain = _scalar(value)
    if isinstance(plain, bool):
        return plain
    raise InputError(f"{name}: {shown(value)} is not allowed; give True or False")


def _plain(value: Any) -> Any:
    """Return a number of any library as an int or a float; anything else as it is."""
    value = _scalar(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    try:
        return float(value) if isinstance(value, Real) else value
    except OverflowError:
        return None


def _scalar(value: Any) -> Any:
    """Return numpy's and torch's scalars as Python's; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
