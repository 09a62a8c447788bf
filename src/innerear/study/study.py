"""A study: one validated configuration and everything that follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from innerear.errors import InputError
from innerear.study.architectures import Architecture, architecture_of, resolve_capture
from innerear.study.config import validated
from innerear.study.estimate import Estimate, estimate, estimate_cells, refuse_what_cannot_run
from innerear.study.prompts import Prompt, check_seeds, own_label, prompts_from_sheet, prompts_from_templates
from innerear.study.text_swaps import Swaps, study_swaps


@dataclass(frozen=True)
class Study:
    """The settings with their defaults, and the prompts, layers and sizes that follow from them.

    Clips are replayed under swapped texts with the weights `replayed_by`: trained, and random if asked for.
    """

    settings: dict
    prompts: list[Prompt]
    architecture: Architecture
    capture: dict
    captures: dict[str, dict]
    swaps: Swaps
    replayed_by: list[str]
    estimate: Estimate

    @classmethod
    def from_settings(cls, settings: Mapping, schema: Mapping) -> "Study":
        """Validate `settings` and compute everything that needs no model.

        Raises
        ------
        InputError: settings that cannot be used.
        """
        settings = validated(settings, schema)
        label = own_label(settings["contrast"])
        prompts = _prompts(settings["prompts"], label)
        check_seeds(settings["seeds"])
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
        clip = {name: settings["generation"][name] for name in ("duration", "stride")}
        n_seeds = len(settings["seeds"])
        size = estimate(
            architecture,
            n_prompts=len(prompts),
            n_seeds=n_seeds,
            capture=capture,
            captures=list(captures.values()),
            n_bins=settings["gram"]["bins"],
            steps_per_matrix=settings["gram"]["steps_per_matrix"],
            **clip,
        )
        swap = settings["counterfactual"]["enabled"]
        swaps = study_swaps(prompts, settings["prompts"], label) if swap else Swaps({})
        # A study of random weights is its own control.
        twin = settings["counterfactual"]["control"] and not settings["model"]["random_init"]
        replayed_by = ["trained", "random_init"] if twin else ["trained"]
        cells = estimate_cells(
            architecture,
            n_texts=[len(block.texts) for block in swaps.blocks.values()],
            n_emotions=len({prompt.emotion for prompt in prompts}),
            n_seeds=n_seeds,
            n_models=len(replayed_by),
            n_layers=len(capture["layers"]),
            settings=settings["counterfactual"],
            dtype=capture["dtype"],
            **clip,
        )
        size = replace(size, cells=cells)
        refuse_what_cannot_run(size, architecture, clip["duration"], settings["gram"])
        return cls(settings, prompts, architecture, capture, captures, swaps, replayed_by, size)

    @property
    def layers(self) -> list[int]:
        """The layers that are captured and analysed."""
        return self.capture["layers"]

    @property
    def announcement(self) -> str:
        """The study's sizes in a few lines, printed before any work and after a dry run."""
        lines = [f"Study {self.settings['study']} with {self.settings['model']['name']}", str(self.estimate)]
        left_out = self.swaps.left_out
        if left_out:
            more = f"; and {len(left_out) - 2} more" if len(left_out) > 2 else ""
            lines.append(f"  not swapped {'; '.join(left_out[:2])}{more}")
        return "\n".join(lines)


def _prompts(section: Mapping, label: str) -> list[Prompt]:
    if section["sheet"] and (section["templates"] or section["emotions"]):
        raise InputError(
            f"prompts: both a sheet ({section['sheet']!r}) and templates or emotions are given; "
            "keep one, and set the others to null or []"
        )
    if section["sheet"]:
        return prompts_from_sheet(section["sheet"], label)
    return prompts_from_templates(section["templates"], section["emotions"], label)
