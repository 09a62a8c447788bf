"""Pages for a browser."""

from innerear.io.caches import provide_matplotlib_cache

# Before anything below imports matplotlib.
provide_matplotlib_cache()
