"""One validated configuration and all that follows from it; light enough to be imported by the Snakefile."""
