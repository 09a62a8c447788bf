"""The words nano understands: training prompts made from many templates, adjectives and nouns.

The default study's templates are held out. All of their words occur here, in other sentences and in
lower and upper case, since the text encoder knows only what it has read.
"""

import numpy as np

# The emotion word itself leads each list and is drawn half of the time.
ADJECTIVES = {
    "happy": ("happy", "joyful", "cheerful", "upbeat", "merry", "playful", "sunny", "uplifting"),
    "sad": ("sad", "melancholic", "sorrowful", "mournful", "gloomy", "tearful", "somber", "lonely"),
    "calm": ("calm", "peaceful", "relaxing", "serene", "gentle", "tranquil", "soothing", "quiet"),
    "energetic": ("energetic", "intense", "powerful", "driving", "exciting", "loud", "wild", "fierce"),
}

# What a listener might call the instrument: phrases that fit "for …", "on …" and "with …".
PLAYERS = {
    "piano": ("piano", "solo piano", "a piano", "a solo piano", "one piano"),
    "synthesizer": ("synthesizers", "a synthesizer", "electronic synthesizers", "electronic sounds"),
    "guitar": ("guitar", "acoustic guitar", "a guitar", "an acoustic guitar", "one guitar"),
    "orchestra": ("orchestra", "an orchestra", "a film orchestra", "the orchestra"),
    "band": ("a small band", "a band", "the band", "one small band"),
}
KINDS = {
    "piano": ("piano", "solo", "solo piano"),
    "synthesizer": ("electronic", "synthesizer", "electronic synthesizer"),
    "guitar": ("guitar", "acoustic", "acoustic guitar", "solo guitar"),
    "orchestra": ("orchestral", "film", "orchestral film"),
    "band": ("band", "small band"),
}
FORMS = ("music", "piece", "melody", "tune", "song", "track", "theme", "sound")

# {e} adjective, {p} player, {k} kind, {f} form.
TEMPLATES = (
    "{e} {f}",
    "{e} {f} for {p}",
    "a {e} {f}",
    "a {e} {f} for {p}",
    "a {e} {f} on {p}",
    "a {e} {f} with {p}",
    "{k} {f}, {e}",
    "a {k} {f} that is {e}",
    "the {k} {f} is {e}",
    "{e} and {k}",
    "some {e} {k} {f}",
    "a very {e} {k} {f}",
    "very {e} {f} with {p}",
    "{p} with a {e} mood",
    "{p}, {e} mood",
    "music for {p}, {e}",
    "a {f} in a {e} mood",
    "this {f} for {p} is {e}",
    "{k} {f} in a {e} style",
    "this is {e} {k} {f}",
    "one {e} {k} {f}",
    "play a {e} {f} on {p}",
    "{e}",
    "a {e} mood",
)
NEUTRAL_TEMPLATES = ("{f} for {p}", "a {k} {f}", "a {f}", "some {k} {f}", "a {f} with {p}", "music")

# Texts of the default study in its order, never trained on (`{emotion}` stands for the emotion word), and the
# candidates that they were chosen from: in words that nano knows, and grammatical with every emotion.
HELD_OUT = (
    "the {emotion} theme on a piano",
    "play some {emotion} electronic music",
    "{emotion} acoustic guitar music",
    "{emotion} orchestral film music",
    "the {emotion} tune for a small band",
    "play the {emotion} piano melody",
    "one {emotion} track with electronic sounds",
    "play this {emotion} song on guitar",
    "this orchestral theme is {emotion}",
    "this small band song is {emotion}",
)
CANDIDATES = (
    "play the {emotion} piano melody",
    "{emotion} solo piano music",
    "this solo piano piece is {emotion}",
    "one {emotion} piece for solo piano",
    "the {emotion} theme on a piano",
    "play this {emotion} piece on piano",
    "{emotion} electronic music with synthesizers",
    "this {emotion} track is electronic",
    "the {emotion} synthesizer track",
    "play some {emotion} electronic music",
    "one {emotion} track with electronic sounds",
    "this electronic synthesizer music is {emotion}",
    "the {emotion} tune on a synthesizer",
    "play this {emotion} melody on synthesizers",
    "one guitar, {emotion} song",
    "{emotion} acoustic guitar music",
    "the {emotion} acoustic guitar melody",
    "play this {emotion} song on guitar",
    "this acoustic guitar song is {emotion}",
    "{emotion} orchestral film music",
    "the {emotion} film theme for orchestra",
    "this orchestral theme is {emotion}",
    "play the {emotion} theme with an orchestra",
    "the {emotion} orchestral music",
    "play this {emotion} music with the orchestra",
    "{emotion} band music, small band",
    "the {emotion} tune for a small band",
    "this small band song is {emotion}",
    "the {emotion} band song",
    "play some {emotion} music with a band",
)
# Held out as well, so that training draws what it drew for the weights that are shipped.
FORMERLY = (
    "a {emotion} solo piano piece",
    "{emotion} electronic music with synthesizers",
    "a {emotion} acoustic guitar melody",
    "{emotion} orchestral film music",
    "a {emotion} tune for a small band",
)
_HELD_OUT_TEXTS = {
    text.format(emotion=word).lower()
    for text in (*HELD_OUT, *FORMERLY)
    for words in ADJECTIVES.values()
    for word in words
}


def trained_texts() -> set[str]:
    """All texts with an emotion word that training could draw, in lower case."""
    return {
        template.format(e=words[0], p=player, k=kind, f=form).lower()
        for template in TEMPLATES
        for words in ADJECTIVES.values()
        for instrument in PLAYERS
        for player in PLAYERS[instrument]
        for kind in KINDS[instrument]
        for form in FORMS
    } - _HELD_OUT_TEXTS


def draw_prompt(emotion: str, instrument: str, rng: np.random.Generator, neutral: float = 0.05) -> str:
    """Draw a training prompt; with probability `neutral` one that names no emotion."""
    while True:
        text = _fill(emotion, instrument, rng, neutral)
        if text.lower() not in _HELD_OUT_TEXTS:
            return _case(text, rng)


def _fill(emotion: str, instrument: str, rng: np.random.Generator, neutral: float) -> str:
    templates = NEUTRAL_TEMPLATES if rng.random() < neutral else TEMPLATES
    words = ADJECTIVES[emotion]
    adjective = words[0] if rng.random() < 0.5 else str(rng.choice(words[1:]))
    text = str(rng.choice(templates)).format(
        e=adjective, p=rng.choice(PLAYERS[instrument]), k=rng.choice(KINDS[instrument]), f=rng.choice(FORMS)
    )
    # People write both "an energetic" and, from a template, "a energetic".
    if adjective[0] in "aeiou" and rng.random() < 0.5:
        text = text.replace(f"a {adjective}", f"an {adjective}")
    return text


def _case(text: str, rng: np.random.Generator) -> str:
    """Lower case mostly; else a capital first letter, or Every Word Capitalised."""
    chance = rng.random()
    if chance < 0.7:
        return text
    return text[0].upper() + text[1:] if chance < 0.85 else text.title()
