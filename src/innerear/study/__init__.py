"""One validated configuration and everything derived from it.

The Snakefile imports this each time it is parsed, so it imports nothing heavy.
"""
