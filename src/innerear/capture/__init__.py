"""Record hidden states: while generating, while replaying, and check them."""
