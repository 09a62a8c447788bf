"""Tools that all figures share: style, grids of panels, maps, and values taken from tables."""
