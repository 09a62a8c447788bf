"""What figures share: style, grids of panels, maps, and what they take from tables."""
