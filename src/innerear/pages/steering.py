"""A page of steered clips: a slider moves the dose while a clip plays."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from innerear.pages.figures import Figure
from innerear.pages.heading import Heading
from innerear.pages.vorbis import embedded
from innerear.stacks.gram_file import GramFile

# What equally loud clips are brought to: the softest would clip if it were raised to the loudest.
_MOST_GAIN = 4.0


def steering_page(
    files: Mapping[int, GramFile],
    texts: Mapping[str, str],
    heading: Heading,
    *,
    poles: tuple[str, str],
    figures: Mapping[str, Figure],
) -> str:
    """Make one HTML document with the sound of every dose, which needs no network.

    Parameters
    ----------
    files : layer → open file of rule ``steer``: `audio` int16 [template, dose, sample].
    texts : template → what its clips were made from.
    poles : where the way begins and ends.
    figures : of what the doses do and cost, in order.
    """
    layers, sounds = sorted(files), []
    first = files[layers[0]]
    templates, doses = first.labels("template"), [float(dose) for dose in first.coords("dose")]
    for layer in layers:
        audio, rate = files[layer].read("audio"), int(files[layer].attrs["sample_rate"])
        for number, template in enumerate(templates):
            waves = audio[number].astype(np.float32) / 32767
            gains = equal_gains(waves)
            for dose, wave, gain in zip(doses, waves, gains, strict=True):
                # An untouched clip is the same in every layer.
                if dose == 0 and layer != layers[0]:
                    continue
                ogg = embedded(wave[:, None], rate)
                named = {"template": template, "layer": "" if dose == 0 else layer, "dose": f"{dose:g}"}
                sounds.append(named | {"gain": f"{gain:.4g}", "ogg": ogg})
    return heading.page(
        "steering.html",
        "Steering",
        figures=list(figures.values()),
        start=poles[0],
        end=poles[1],
        texts={template: texts[template] for template in templates},
        layers=layers,
        chosen=layers[len(layers) // 2],
        doses=[f"{dose:g}" for dose in doses],
        middle=doses.index(0.0),
        sounds=sounds,
    )


def equal_gains(waves: Sequence[NDArray] | NDArray) -> list[float]:
    """Return the factors that make clips equally loud (root mean square) and let none clip.

    Examples
    --------
    >>> equal_gains([np.array([0.1, -0.1]), np.array([0.4, -0.4])])
    [2.0, 0.5]
    """
    sizes = [float(np.sqrt(np.mean(np.square(wave, dtype=float)))) for wave in waves]
    sounding = [size for size in sizes if size > 0]
    if not sounding:
        return [1.0] * len(sizes)
    middle = float(np.exp(np.mean(np.log(sounding))))
    gains = [min(_MOST_GAIN, middle / size) if size > 0 else 1.0 for size in sizes]
    peaks = [float(np.abs(wave).max(initial=0)) * gain for wave, gain in zip(waves, gains, strict=True)]
    return [float(round(gain / max(1.0, *peaks), 6)) for gain in gains]
