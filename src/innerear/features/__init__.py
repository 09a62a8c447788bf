"""Sparse features: dictionaries of a model's states, what they cost, and how a study's clips use them.

A dictionary writes a state as a sum of a few of its F latents. Dictionaries are trained on some templates of
a study, or come from elsewhere; the features are tested on the other templates
(`innerear.analyses.features`).
"""
