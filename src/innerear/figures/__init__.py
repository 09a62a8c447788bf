"""Figures, a module for each analysis, of its name.

Its `draw` takes the inputs of the rule and returns file name → figure. For all of them, `table` is the map of
all layers, `samples` the sample sheet in the order of arrays, `model` and `contrast` are for titles, and the
contrast is the column of `samples` that colours stand for.
"""

from innerear.io.caches import provide_matplotlib_cache

# Before anything below imports matplotlib.
provide_matplotlib_cache()
