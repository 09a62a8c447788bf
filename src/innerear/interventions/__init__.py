"""Change hidden states while a model generates or replays, and measure how the music changes."""

from innerear.interventions.directions import Direction, of_dictionary, of_study
from innerear.interventions.edits import Add, Edit, ProjectOut, Replace, orthonormal
from innerear.interventions.running import intervene

__all__ = [
    "Add",
    "Direction",
    "Edit",
    "ProjectOut",
    "Replace",
    "intervene",
    "of_dictionary",
    "of_study",
    "orthonormal",
]
