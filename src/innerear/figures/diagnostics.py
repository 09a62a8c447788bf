"""What a raw cosine is made of: a mean that all samples share, and a few massive dimensions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from innerear.figures.maps import Steps, draw_map, name_grid
from innerear.figures.style import SEQUENTIAL, new_figure, styled
from innerear.gram.reading import GramSource, step_counts

_ROWS = {"shared": "mean over samples", "top3_share": "3 largest dimensions"}


@styled
def draw(grams: Mapping[int, GramSource], *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw, per branch, the share of the mean and of the top three dimensions in the energy.

    Parameters
    ----------
    grams : layer → its open Gram file; all of one study.
    model : for the title; the contrast does not matter here.

    Returns
    -------
    ``diagnostics``: two rows of layer × step maps, one column per branch. The mean's share is what the
    mean raw cosine between samples amounts to. Steps equal for all samples are left white.
    """
    layers, first = sorted(grams), grams[min(grams)]
    branches = first.labels("branch")
    steps = Steps(*(np.repeat(first.read(name), step_counts(first)) for name in ("seconds", "complete")))
    title = f"States of {model}: what a raw cosine is made of (diagnostic)"
    subtitle = (
        "share of all energy that lies in the mean over samples, and in the 3 largest dimensions\n"
        f"n: {len(first.coords('sample'))} samples; white: equal for all samples; grey: pads"
    )
    figure, axes = new_figure(2, len(branches), title=title, subtitle=subtitle, panel=(3.3, 2.0))
    for row, (name, label) in enumerate(_ROWS.items()):
        image = None
        for panel, branch in zip(axes[row], branches, strict=True):
            values = np.array([_share(grams[layer], name, branch) for layer in layers])
            outer = (panel is axes[row, 0], row == 1, row == 0)
            image = draw_map(panel, values, layers, steps, limits=(0, 1), colours=SEQUENTIAL, outer=outer)
        if image is not None:
            figure.colorbar(image, ax=list(axes[row]), label=f"energy share of\n{label}", pad=0.01)
    name_grid(axes, branches, ["layer"] * 2)
    return {"diagnostics": figure}


def _share(gram: GramSource, name: str, branch: str) -> np.ndarray:
    shared = name == "shared"
    share = gram.read("centred_share" if shared else name, branch=branch)
    share = np.where(gram.read("deterministic", branch=branch), np.nan, 1 - share if shared else share)
    return np.repeat(share, step_counts(gram))
