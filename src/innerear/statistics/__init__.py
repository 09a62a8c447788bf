"""Designs, permutations, tests, probes: statistics that know no files of states."""
