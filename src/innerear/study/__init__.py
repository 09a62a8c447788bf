"""One validated configuration and all that follows from it.

The Snakefile imports this each time it is parsed, so it imports nothing heavy.
"""
