"""A study: one validated configuration and everything derived from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from innerear.errors import InputError, shown
from innerear.study.architectures import (
    Architecture,
    architecture_of,
    check_directory,
    display_name,
    hub_id,
    resolve_capture,
)
from innerear.study.config import validated
from innerear.study.controls import check_controls
from innerear.study.estimate import Estimate, estimate, estimate_cells, refuse_what_cannot_run
from innerear.study.features import Features, study_features
from innerear.study.generation_settings import GenerationSettings
from innerear.study.interventions import Interventions, interventions_text, plan_interventions
from innerear.study.jobs import groups, jobs_text, prompts_of_a_job
from innerear.study.names import check_names
from innerear.study.power import Power
from innerear.study.prompts import (
    LABELS,
    Prompt,
    Sample,
    by_emotion,
    check_contrast,
    own_label,
    prompts_from_sheet,
    prompts_from_templates,
)
from innerear.study.questions import announced
from innerear.study.recorded import check_tracks
from innerear.study.seeds import EACH, seeds_of_prompts
from innerear.study.text_swaps import Swaps, study_swaps


@dataclass(frozen=True)
class Study:
    """The settings with their defaults, and the prompts, seeds, layers and sizes that follow from them.

    `seeds` are those of each prompt by its id. Clips are replayed under swapped texts with the weights
    `replayed_by`: trained, and random if asked for. `planned` are the interventions, or why there are none.
    """

    settings: dict
    prompts: list[Prompt]
    seeds: dict[str, list[int]]
    architecture: Architecture
    capture: dict
    captures: dict[str, dict]
    swaps: Swaps
    replayed_by: list[str]
    features: Features
    estimate: Estimate
    planned: Interventions | str = ""

    @classmethod
    def from_settings(cls, settings: Mapping, schema: Mapping) -> "Study":
        """Validate `settings` and compute everything that needs no model.

        Raises
        ------
        InputError: settings that cannot be used.
        """
        settings = validated(settings, schema)
        check_names([settings["study"]], "study")
        check_names(list(settings["captures"]), "captures")
        label = own_label(settings["contrast"])
        rows = _prompts(settings["prompts"], label)
        # Templates are counted as they are written: one more at the end moves no seed.
        seeds = seeds_of_prompts(settings["seeds"], rows, settings["prompts"]["templates"])
        prompts = by_emotion(rows)
        check_contrast(prompts, settings["contrast"])
        check_controls(settings)
        n_seeds = len(seeds[prompts[0].id])
        settings["generation"] |= asdict(_generation(settings["generation"], n_seeds))
        architecture = _checked_architecture(settings)
        _check_decoder(settings, architecture)
        n_frames = architecture.n_frames(settings["generation"]["duration"])
        sheet, seconds = settings["prompts"]["sheet"], n_frames / architecture.frame_rate
        check_tracks(prompts, sheet, settings["seeds"], seconds)
        capture, captures = _captures(settings, architecture, with_text=bool(prompts[0].text))
        _refuse_unpaired(settings, seeds)
        clip = {name: settings["generation"][name] for name in ("duration", "stride")}
        swap = settings["counterfactual"]["enabled"]
        swaps = study_swaps(prompts, settings["prompts"], label) if swap else Swaps({})
        replayed = settings["counterfactual"]["control"] and not settings["model"]["random_init"]
        replayed_by = ["trained", "random_init"] if replayed else ["trained"]
        recorded = [capture, *captures.values()]
        texts = [len(block.texts) for block in swaps.blocks.values()]
        size = _size(settings, architecture, prompts, n_seeds, recorded, texts, len(replayed_by))
        refuse_what_cannot_run(
            size, architecture, clip["duration"], settings["gram"], settings["statistics"]["permutations"]
        )
        complete = int(architecture.timeline(**clip).complete.sum())
        features = study_features(
            settings["features"],
            prompts,
            architecture,
            capture,
            n_seeds=n_seeds,
            n_tokens=complete,
            study=settings["study"],
        )
        planned = _planned(settings, prompts, seeds, capture, features)
        return cls(
            settings,
            prompts,
            seeds,
            architecture,
            capture,
            captures,
            swaps,
            replayed_by,
            features,
            size,
            planned,
        )

    @property
    def interventions(self) -> Interventions | None:
        """The plan of the study's interventions; None if there are none."""
        return None if isinstance(self.planned, str) else self.planned

    @property
    def n_steered(self) -> int:
        """Clips that the interventions compose in all; 0 without interventions."""
        n_emotions = len({prompt.emotion for prompt in self.prompts})
        return self.interventions.n_clips(n_emotions) if self.interventions else 0

    @property
    def samples(self) -> list[Sample]:
        """All samples, prompt by prompt."""
        return [Sample(prompt, seed) for prompt in self.prompts for seed in self.seeds[prompt.id]]

    @property
    def n_tracks(self) -> int:
        """Number of samples that are recorded tracks."""
        return sum(bool(prompt.audio) for prompt in self.prompts)

    @property
    def of_captions(self) -> dict:
        """Values of the report's captions beyond the settings."""
        n_templates = self.power.n_templates
        resampled = "templates" if n_templates else "prompts"
        return {
            "n_seeds": self.estimate.n_seeds,
            "n_tracks": self.n_tracks,
            "n_composed": len(self.prompts) - self.n_tracks,
            "n_templates": n_templates,
            "recorded_branches": self.capture["branches"],
            "resampled": resampled if self.own_seeds else f"{resampled}, then seeds",
        }

    @property
    def batch(self) -> str | int:
        """The size of a generation job: ``"pair"``, ``"prompt"``, or a number of prompts."""
        asked = self.settings["generation"]["batch"]
        return prompts_of_a_job(asked, self.estimate.n_seeds, self.estimate.weight_bytes)

    @property
    def groups(self) -> list[list[Prompt]]:
        """The prompts of each generation job, where it makes several."""
        size = self.batch if isinstance(self.batch, int) else 1
        return groups(
            self.prompts, size, self.settings["prompts"]["sheet"], own_label(self.settings["contrast"])
        )

    @property
    def own_seeds(self) -> bool:
        """Whether each template has seeds of its own."""
        return EACH in self.settings["seeds"]

    @property
    def model(self) -> str:
        """The model's name in results."""
        return display_name(self.settings["model"]["name"], self.settings["model"]["label"])

    @property
    def witness(self) -> bool:
        """Whether a second implementation reads clips to prove the record; by default for nano."""
        asked = self.settings["model"]["witness"]
        return self.settings["model"]["name"] == "nano" if asked is None else asked

    @property
    def hub_model(self) -> str | None:
        """The hub id of the model, None for one that lies on this machine."""
        return hub_id(self.settings["model"]["name"])

    @property
    def layers(self) -> list[int]:
        """The layers that are captured and analysed."""
        return self.capture["layers"]

    @property
    def power(self) -> Power:
        """The power of the study for its contrast."""
        contrast = self.settings["contrast"]
        labels = [getattr(prompt, contrast if contrast in LABELS else "label") for prompt in self.prompts]
        templates = [prompt.template for prompt in self.prompts]
        return Power.of(labels, templates, self.settings["statistics"]["permutations"])

    @property
    def announcement(self) -> str:
        """The study's sizes and power in a few lines, printed before any work and after a dry run."""
        size = self.estimate
        how = self.settings["generation"]
        jobs = jobs_text(self.batch, how, size.n_prompts, size.n_seeds, self.n_tracks)
        lines = [f"Study {self.settings['study']} with {self.model}", str(size), jobs]
        if self.n_tracks:
            lines.append(f"  recorded  {self.n_tracks:,} tracks: read from their files, not composed")
        if self.capture["branches"] == ["uncond"]:
            lines.append("  branches  uncond alone, and no delta")
        elif self.settings["generation"]["guidance"] is None:
            lines.append("  branches  cond alone: without guidance there is no uncond, and no delta")
        branches, swapped = self.capture["branches"], bool(self.swaps.blocks)
        lines += announced(self.settings, size.n_seeds, branches, swapped=swapped)
        if self.planned:
            lines.append(interventions_text(self.planned, self.n_steered))
        left_out = self.swaps.left_out
        if left_out:
            more = f"; and {len(left_out) - 2} more" if len(left_out) > 2 else ""
            lines.append(f"  not swapped {'; '.join(left_out[:2])}{more}")
        if self.features.left_out:
            lines.append(f"  no features {self.features.left_out}")
        return "\n".join([*lines, str(self.power)])


def _checked_architecture(settings: Mapping) -> Architecture:
    """Return the model's architecture; refuse a model that cannot be loaded as the study asks."""
    model = settings["model"]
    architecture = architecture_of(model["name"], model["architecture"])
    _check_source(model)
    _check_backend(model)
    _refuse_other_prefix(settings, architecture)
    if model["device"] == "cpu" and model["dtype"] == "float16":
        raise InputError("model.dtype: float16 is for GPUs; with model.device: cpu use auto or float32")
    return architecture


def _captures(
    settings: Mapping, architecture: Architecture, *, with_text: bool
) -> tuple[dict, dict[str, dict]]:
    """Return what is recorded while clips are made, and the further captures by name."""
    branches = _branches_that_run(settings, with_text=with_text)
    capture = resolve_capture({**settings["capture"], "branches": branches}, architecture, "capture")
    if capture["sites"][0] == "input":
        raise InputError("capture.sites begins with input, which only layer 0 has; name another first")
    more = settings["captures"].items()
    return capture, {name: resolve_capture(one, architecture, f"captures.{name}") for name, one in more}


def _planned(
    settings: Mapping,
    prompts: Sequence[Prompt],
    seeds: Mapping[str, Sequence[int]],
    capture: Mapping,
    features: Features,
) -> Interventions | str:
    """Return what the interventions edit, or why there are none; "" where nobody asked."""
    own = settings["interventions"]
    if not own["enabled"]:
        return ""
    if any(prompt.audio for prompt in prompts):
        return "recorded music is not composed"
    if settings["statistics"]["shuffle_labels"]:
        return "with statistics.shuffle_labels the study is a control of labels, which are not steered"
    blocks = study_swaps(prompts, settings["prompts"], own_label(settings["contrast"])).blocks
    # A study of random weights is its own control.
    control = own["control"] and not settings["model"]["random_init"]
    longest = settings["generation"]["duration"]
    own = own | {"control": control, "duration": min(own["duration"] or longest, longest)}
    return plan_interventions(prompts, blocks, seeds, capture, own, features)


def _check_source(model: Mapping) -> None:
    """Refuse a directory without a checkpoint, and a revision of what the hub does not have."""
    name, revision = model["name"], model["revision"]
    if hub_id(name):
        return
    if revision:
        raise InputError(f"model.revision: {revision!r} is for models of the hub, and {shown(name)} is none")
    if name != "nano":
        check_directory(name, model["backend"])


def _check_backend(model: Mapping) -> None:
    """Refuse what the transformers library does not have, and a witness that cannot be called."""
    name, full = model["name"], hub_id(model["name"])
    if model["backend"] == "audiocraft":
        return
    if full and "audiogen" in full:
        raise InputError(
            f"model.backend: the transformers library has no {full}; use model.backend: audiocraft"
        )
    converted = name == "nano" or (Path(name) / "state_dict.bin").is_file()
    if model["witness"] and (full or not converted):
        raise InputError(
            f"model.witness: audiocraft does not read the layout that {name} is loaded in; set it to false, "
            "or use model.backend: audiocraft, whose witness is the transformers library"
        )


def _check_decoder(settings: Mapping, architecture: Architecture) -> None:
    """Refuse a decoder that the model cannot have."""
    asked, backend = settings["generation"]["decoder"], settings["model"]["backend"]
    if asked != "auto" and backend != "audiocraft":
        raise InputError(
            f"generation.decoder: {asked} runs audiocraft's models, and model.backend is {backend}; use auto"
        )
    if asked == "static" and not architecture.cross_attention:
        raise InputError(
            "generation.decoder: static does not run models that read their text in front of the music, such "
            f"as {settings['model']['name']}; use auto"
        )


def _generation(section: Mapping, n_seeds: int) -> GenerationSettings:
    """Return how the clips are composed.

    Raises
    ------
    InputError: seeds that cannot make a difference.
    """
    chosen = GenerationSettings(**{field.name: section[field.name] for field in fields(GenerationSettings)})
    if not chosen.use_sampling and n_seeds > 1:
        raise InputError(
            f"generation.use_sampling: false makes one clip of a prompt, whatever the seed, but seeds gives "
            f"{n_seeds}; give one seed"
        )
    return chosen


def _refuse_unpaired(settings: Mapping, seeds: Mapping[str, list[int]]) -> None:
    """Refuse the published comparison, which is of one seed, of prompts that share none."""
    if settings["replication"] and len(set(map(tuple, seeds.values()))) > 1:
        raise InputError(
            "replication: the published comparison is of clips with the same seed; list the seeds of all "
            "prompts"
        )


def _refuse_other_prefix(settings: Mapping, architecture: Architecture) -> None:
    """Refuse branches that run apart in a model that prepends its text: uncond then has a shorter prefix.

    A replay, which runs the branches together, would not give the states of such a clip.
    """
    if settings["generation"]["two_step"] and not architecture.cross_attention:
        raise InputError(
            f"generation.two_step: {settings['model']['name']} prepends its text, and reads uncond after a "
            "shorter prefix when the branches run apart; leave it false"
        )


def _branches_that_run(settings: Mapping, *, with_text: bool) -> list[str]:
    """Return the branches that are recorded: without guidance cond alone, of tracks without text uncond.

    Raises
    ------
    InputError: a study of uncond without guidance.
    """
    branches = settings["capture"]["branches"]
    if not with_text:  # both branches read the same
        branches = ["uncond"]
    elif settings["generation"]["guidance"] is None:
        branches = [branch for branch in branches if branch == "cond"]
    if not branches:
        raise InputError(
            "capture.branches: [uncond] does not run with generation.guidance: null; add cond, or give a "
            "guidance"
        )
    if settings["replication"] and len(branches) < 2:
        raise InputError(
            "replication: the published figures are of both branches; give a generation.guidance, and leave "
            "capture.branches at [cond, uncond]"
        )
    return branches


def _size(
    settings: Mapping,
    architecture: Architecture,
    prompts: Sequence[Prompt],
    n_seeds: int,
    recorded: Sequence[Mapping],
    n_texts: Sequence[int],
    n_models: int,
) -> Estimate:
    """Return what a study takes: its captures, the study's own first, and the replay of swapped texts."""
    clip = {name: settings["generation"][name] for name in ("duration", "stride")}
    size = estimate(
        architecture,
        n_prompts=len(prompts),
        n_seeds=n_seeds,
        capture=recorded[0],
        captures=recorded[1:],
        n_bins=settings["gram"]["bins"],
        steps_per_matrix=settings["gram"]["steps_per_matrix"],
        pairs=settings["gram"]["pairs"],
        **clip,
    )
    cells = estimate_cells(
        architecture,
        n_texts=n_texts,
        n_emotions=len({prompt.emotion for prompt in prompts}),
        n_seeds=n_seeds,
        n_models=n_models,
        n_layers=len(recorded[0]["layers"]),
        weight_bytes=size.weight_bytes,
        settings=settings["counterfactual"],
        dtype=recorded[0]["dtype"],
        **clip,
    )
    return replace(size, cells=cells)


def _prompts(section: Mapping, label: str) -> list[Prompt]:
    if section["sheet"] and (section["templates"] or section["emotions"]):
        raise InputError(
            f"prompts: both a sheet ({section['sheet']!r}) and templates or emotions are given; "
            "keep one, and set the others to null or []"
        )
    if section["sheet"]:
        return prompts_from_sheet(section["sheet"], label)
    return prompts_from_templates(section["templates"], section["emotions"], label)
