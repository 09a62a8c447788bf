"""A study: one validated configuration and all that follows from it.

Light on purpose: the Snakefile imports this each time it is parsed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from innerear.architectures import Architecture, architecture_of, resolve_layers
from innerear.conditions import Prompt, Sample, cross, prompts_from_sheet, prompts_from_templates
from innerear.errors import InputError
from innerear.estimate import Estimate, estimate, refuse_what_cannot_run
from innerear.settings import validated


@dataclass(frozen=True)
class Study:
    """The settings with their defaults, and the samples, layers and sizes that they imply."""

    settings: dict
    prompts: list[Prompt]
    samples: list[Sample]
    architecture: Architecture
    layers: list[int]
    estimate: Estimate

    @classmethod
    def from_settings(cls, settings: Mapping, schema: Mapping) -> "Study":
        """Validate `settings` and work out everything that needs no model.

        Raises
        ------
        InputError: whatever in the settings cannot be used.
        """
        settings = validated(settings, schema)
        prompts = _prompts(settings["prompts"])
        samples = cross(prompts, settings["seeds"])
        architecture = architecture_of(settings["model"]["name"], settings["model"]["architecture"])
        layers = resolve_layers(settings["capture"]["layers"], architecture.n_layers)
        duration = settings["generation"]["duration"]
        if settings["model"]["device"] == "cpu" and settings["model"]["dtype"] == "float16":
            raise InputError("model.dtype: float16 is for GPUs; with model.device: cpu use auto or float32")
        size = estimate(
            architecture,
            n_prompts=len(prompts),
            n_seeds=len(settings["seeds"]),
            layers=layers,
            duration=duration,
            dtype=settings["capture"]["dtype"],
            n_bins=settings["gram"]["bins"],
        )
        refuse_what_cannot_run(size, architecture, duration, settings["gram"]["max_gib"])
        return cls(settings, prompts, samples, architecture, layers, size)

    @property
    def announcement(self) -> str:
        """What the study takes, in a few lines: printed before any work and at the end of a dry run."""
        return f"Study {self.settings['study']} with {self.settings['model']['name']}\n{self.estimate}"


def _prompts(section: Mapping) -> list[Prompt]:
    if section["sheet"] and (section["templates"] or section["emotions"]):
        raise InputError(
            f"prompts: both a sheet ({section['sheet']!r}) and templates or emotions are given; "
            "keep one, and set the others to null or []"
        )
    if section["sheet"]:
        return prompts_from_sheet(section["sheet"])
    return prompts_from_templates(section["templates"], section["emotions"])
