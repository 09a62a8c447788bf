"""Change hidden states while a model generates or replays, and ask what of the music changes."""

from innerear.interventions.directions import Direction
from innerear.interventions.edits import Add, Edit, ProjectOut, Replace, orthonormal
from innerear.interventions.running import intervene

__all__ = ["Add", "Direction", "Edit", "ProjectOut", "Replace", "intervene", "orthonormal"]
