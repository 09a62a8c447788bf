"""What a raw cosine would have seen: a mean that all samples share, and a few massive dimensions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from innerear.figures.maps import Steps, draw_map
from innerear.figures.style import BRANCHES, SEQUENTIAL, new_figure, styled
from innerear.gram.reading import GramSource, step_counts

_ROWS = {
    "shared": "mean over samples",
    "top3_share": "3 largest dimensions",
}


@styled
def residual_diagnostics(grams: Mapping[int, GramSource], *, model: str) -> Figure:
    """Draw, per branch, the share of the mean and of the top three dimensions in the energy.

    Parameters
    ----------
    grams : layer -> its open Gram file; all of one study.
    model : for the title.

    Returns
    -------
    Two rows of layer × step maps, one column per branch. The mean's share is what the mean raw
    cosine between samples amounts to. Steps equal for all samples are left white.
    """
    layers, first = sorted(grams), grams[min(grams)]
    branches = [str(name) for name in first.coords("branch")]
    steps = Steps(*(np.repeat(first.read(name), step_counts(first)) for name in ("seconds", "complete")))
    figure, axes = new_figure(
        2,
        len(branches),
        title=f"Residual stream of {model}: what a raw cosine is made of (diagnostic)",
        subtitle="share of all energy that lies in the mean over samples, and in the 3 largest dimensions\n"
        f"n: {len(first.coords('sample'))} samples; white: equal for all samples; grey: pads",
        panel=(3.3, 2.0),
    )
    for row, (name, label) in enumerate(_ROWS.items()):
        image = None
        for column, branch in enumerate(branches):
            values = np.array([_share(grams[layer], name, column) for layer in layers])
            panel = axes[row, column]
            outer = (column == 0, row == 1, row == 0)
            image = draw_map(panel, values, layers, steps, limits=(0, 1), colours=SEQUENTIAL, outer=outer)
            if row == 0:
                panel.set_title(BRANCHES.get(branch, branch))
        if image is not None:
            figure.colorbar(image, ax=list(axes[row]), label=f"energy share of\n{label}", pad=0.01)
    return figure


def _share(gram: GramSource, name: str, branch: int) -> np.ndarray:
    share = (
        1 - gram.read("centred_share", branch=branch) if name == "shared" else gram.read(name, branch=branch)
    )
    share = np.where(gram.read("deterministic", branch=branch), np.nan, share)
    return np.repeat(share, step_counts(gram))
