"""The pass over a layer's stacks, and reading its result."""
