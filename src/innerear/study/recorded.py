"""Recorded tracks among a study's prompts: checks that are possible before any work."""

import os
from collections.abc import Mapping, Sequence
from itertools import chain, combinations

from innerear.errors import InputError, shown
from innerear.study.prompts import Prompt
from innerear.study.seeds import EACH


def check_tracks(
    prompts: Sequence[Prompt], sheet: str, seeds: Sequence[int] | Mapping[str, int], seconds: float
) -> None:
    """Refuse tracks that cannot be used: by their rows, and by the headers of their files.

    Parameters
    ----------
    sheet : the path of the sheet that names them.
    seeds : the setting of this name.
    seconds : that are read of each file.

    Raises
    ------
    InputError: seeds that tracks would share; a text for some prompts only; a file twice, but for other parts
        of it, of unlike labels, within one template; a file that is missing, that cannot be read or that is
        too short.
    """
    tracks = [prompt for prompt in prompts if prompt.audio]
    if not tracks:
        return
    if seeds != {EACH: 1}:
        raise InputError(
            f"seeds: {shown(seeds)} is not for recorded tracks, each of which is one clip and shares no "
            f"noise with another; set seeds: {{{EACH}: 1}}"
        )
    with_text, without = ([one for one in prompts if bool(one.text) is has] for has in (True, False))
    if with_text and without:
        raise InputError(
            f"{sheet}: {with_text[0].id!r} has a text and {without[0].id!r} has none; give all a text, or "
            "none, since a model that reads a text is in another state whatever it says"
        )
    refuse_dependent(tracks, [os.path.realpath(one.audio) for one in tracks], seconds, f"{sheet}: ")
    from innerear.io.recordings import check_recording  # imports numpy

    for track in tracks:
        try:
            check_recording(track.audio, track.audio_start, seconds)
        except InputError as error:
            raise InputError(f"{sheet}, {track.id!r}: {error}") from None


def refuse_dependent(tracks: Sequence[Prompt], files: Sequence[str], seconds: float, where: str) -> None:
    """Refuse parts of one file that overlap, or that would count as independent.

    Parameters
    ----------
    files : what each track's file is known by: its real path, or its hash.
    seconds : of a track.
    where : begins the message.

    Raises
    ------
    InputError: the two tracks, and their files.
    """
    of_file: dict[str, list[Prompt]] = {}
    for track, file in sorted(zip(tracks, files, strict=True), key=lambda one: one[0].audio_start):
        of_file.setdefault(file, []).append(track)
    for one, other in chain.from_iterable(combinations(parts, 2) for parts in of_file.values()):
        both = f"{where}{one.id!r} and {other.id!r} are"
        named = " and ".join(dict.fromkeys((one.audio, other.audio)))
        if other.audio_start - one.audio_start < seconds:
            raise InputError(
                f"{both} the same sound, {named}; remove one, or set their audio_start {seconds:g} s "
                "apart (the counterfactual replay reads a track under other texts)"
            )
        # Parts of one label in one template are permuted apart, and would be more evidence than there is.
        alike = one.emotion == other.emotion if one.label is None else one.label == other.label
        if other.template != one.template or alike:
            raise InputError(
                f"{both} parts of one track, {named}, and would count as independent; keep one of them "
                "(parts of unlike labels may stand in one template)"
            )
