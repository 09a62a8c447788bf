"""Run an analysis on one layer: check the order of samples, add model and layer, keep null maxima."""

import logging
from dataclasses import replace
from inspect import signature
from types import ModuleType

from innerear.gram.reading import GramSource
from innerear.statistics.design import Design
from innerear.statistics.significance import null_table
from innerear.statistics.table import LayerResult

log = logging.getLogger(__name__)


def analyse(
    analysis: ModuleType, gram: GramSource, design: Design, *, model: str, layer: int, **options
) -> LayerResult:
    """Run `of_layer(gram, design, …)` of a module of `innerear.analyses` on one layer, and `complete` it.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    model, layer : for the tables' columns; an `of_layer` that takes `layer` gets it.
    options : further ones of `of_layer`.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, or in another order; see also `of_layer`.
    """
    design.check_order(gram.coords("sample"))
    if "layer" in signature(analysis.of_layer).parameters:
        options["layer"] = layer
    return complete(analysis, analysis.of_layer(gram, design, **options), design, model=model, layer=layer)


def complete(
    analysis: ModuleType, found: LayerResult, design: Design, *, model: str, layer: int
) -> LayerResult:
    """Add model and layer to what an analysis found, order the columns, and table the null maxima.

    The analysis's COLUMNS are those of its table; its MAP_COLUMNS, if any, name the map of a family.
    """
    name = analysis.__name__.rpartition(".")[-1].replace("_", " ")
    for remark in found.remarks:
        log.warning("%s, layer %s: %s", name, layer, remark)
    null, by = None, getattr(analysis, "MAP_COLUMNS", None)
    if by:
        hashes = design.permutation_hash(), design.flip_hash()
        null = null_table(found.maxima, hashes[0], by, design.n_permutations, hashes[1])
    table = found.table.reindex(columns=analysis.COLUMNS).assign(model=model, layer=layer)
    further = {one: frame.assign(model=model, layer=layer) for one, frame in found.further.items()}
    return replace(found, table=table, null=null, further=further)
