"""A study: one validated configuration and all that follows from it.

Light on purpose: the Snakefile imports this each time it is parsed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from innerear.architectures import Architecture, architecture_of, resolve_capture
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
    capture: dict
    captures: dict[str, dict]
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
        capture = resolve_capture(settings["capture"], architecture, "capture")
        if capture["sites"][0] == "input":
            raise InputError("capture.sites begins with input, which only layer 0 has; name another first")
        captures = {
            name: resolve_capture(one, architecture, f"captures.{name}")
            for name, one in settings["captures"].items()
        }
        if settings["model"]["device"] == "cpu" and settings["model"]["dtype"] == "float16":
            raise InputError("model.dtype: float16 is for GPUs; with model.device: cpu use auto or float32")
        size = estimate(
            architecture,
            n_prompts=len(prompts),
            n_seeds=len(settings["seeds"]),
            capture=capture,
            captures=list(captures.values()),
            duration=settings["generation"]["duration"],
            stride=settings["generation"]["stride"],
            n_bins=settings["gram"]["bins"],
            steps_per_matrix=settings["gram"]["steps_per_matrix"],
        )
        refuse_what_cannot_run(size, architecture, settings["generation"]["duration"], settings["gram"])
        return cls(settings, prompts, samples, architecture, capture, captures, size)

    @property
    def layers(self) -> list[int]:
        """The captured layers, which are analysed."""
        return self.capture["layers"]

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
