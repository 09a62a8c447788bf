"""One module per analysis of the recorded states."""
