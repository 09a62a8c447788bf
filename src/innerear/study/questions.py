"""The questions that a study may name as primary before anything runs, and the words for its label."""

from collections.abc import Mapping, Sequence

#: key in ``statistics.primary`` → the question, as the dry run and the page of findings ask it
QUESTIONS = {
    "sound": "Does the sound itself differ between {contrasts}?",
    "uncond": "Do the states differ between {contrasts} in uncond, which reads no text?",
    "text": "Does the text that is read change the states, given the same music so far?",
    "delta": "Does the text's direct effect, delta, differ between {contrasts}?",
    "history": "Does the music so far change the states, given the same text?",
    "emergence": "Does {contrast} emerge, or change, as the music goes on, in uncond?",
    "tokens": "Does the text change the next token?",
}
_SWAPPED = ("text", "history", "tokens")
_GUIDED = ("uncond", "delta", "emergence")


def words_for(contrast: str) -> dict[str, str]:
    """Return what sentences call the label: its name, its values, two equal and two different ones.

    Categories are the same or different; only ratings are near or far.

    Examples
    --------
    >>> words_for("emotion")["alike"], words_for("arousal")["alike"]
    ('of one emotion', 'of near arousal')
    """
    if contrast in ("valence", "arousal"):
        pair = {"alike": f"of near {contrast}", "unlike": f"of distant {contrast}"}
        return {"contrast": contrast, "contrasts": f"ratings of {contrast}"} | pair
    plural = "emotions" if contrast == "emotion" else f"values of {contrast}"
    pair = {"alike": f"of one {contrast}", "unlike": f"of two {plural}"}
    return {"contrast": contrast, "contrasts": plural} | pair


def announced(settings: Mapping, n_seeds: int, branches: Sequence[str], *, swapped: bool) -> list[str]:
    """Return the primary questions as lines of the dry run, with the reason where one cannot be answered.

    `branches` are recorded; `swapped` says whether any clip is replayed under another text.
    """
    words, lines = words_for(settings["contrast"]), []
    for number, key in enumerate(settings["statistics"]["primary"]):
        why = ""
        if key in _SWAPPED and not settings["counterfactual"]["enabled"]:
            why = " (cannot be answered: counterfactual.enabled is false)"
        elif key in _SWAPPED and not swapped:
            why = " (cannot be answered: no template has texts to swap)"
        elif key in ("text", "history") and n_seeds < 2:
            why = " (cannot be answered: it compares seeds, and there is one)"
        elif key in _GUIDED and "uncond" not in branches:
            missing = settings["generation"]["guidance"] is None
            reason = "without guidance there is no uncond" if missing else "uncond is not recorded"
            why = f" (cannot be answered: {reason})"
        elif key == "delta" and len(branches) < 2:
            why = " (cannot be answered: delta needs both branches)"
        lines.append(f"  {'' if number else 'primary':<9} {QUESTIONS[key].format(**words)}{why}")
    return lines
