"""Settings, architectures, estimate and study: what the Snakefile knows before any model is loaded."""

import re

import pytest

from innerear.errors import InputError
from innerear.study.architectures import KNOWN, architecture_of, resolve_layers
from innerear.study.config import documented_keys
from innerear.study.prompts import Sample
from innerear.study.study import Study

from .conftest import SCHEMA


def test_the_default_study_has_eighty_samples_of_all_layers(settings):
    study = Study.from_settings(settings, SCHEMA)
    assert study.estimate.n_samples == 80
    assert study.layers == list(range(study.architecture.n_layers))
    assert Sample(study.prompts[0], study.seeds["piano-happy"][0]).id == "piano-happy/seed-0"


def test_defaults_are_filled_in(settings):
    del settings["capture"], settings["generation"]
    study = Study.from_settings(settings, SCHEMA)
    assert study.settings["capture"]["dtype"] == "float16"
    assert study.settings["generation"]["top_k"] == 250


def test_every_key_of_the_schema_is_described_and_optional_ones_have_a_default():
    for key, part in documented_keys(SCHEMA):
        assert part.get("description"), key
        assert "default" in part or key in SCHEMA["required"], key


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (None, "sedes", [1], r"sedes: unknown key \(did you mean 'seeds'\?\); known here: .*generation"),
        ("generation", "guidence", 3, r"generation\.guidence: unknown key \(did you mean 'guidance'\?\)"),
        ("generation", "duration", "long", r"generation\.duration: 'long' is not allowed; give a number"),
        ("generation", "duration", -1, r"generation\.duration: -1 is not allowed; it must be above 0"),
        ("generation", "top_p", 2, r"generation\.top_p: 2 is not allowed; the most is 1"),
        ("capture", "dtype", "float8", r"capture\.dtype: 'float8' .*choose one of 'float16', 'float32'"),
        ("capture", "layers", [5, 6], r"\[6\] cannot be captured; the model has the layers 0 to 5"),
        ("capture", "layers", "first", "'first' is not understood; give all, a range like 0-5, or a list"),
        ("model", "name", "facebook/musicgen-smal", r"did you mean 'facebook/musicgen-small'\?"),
        ("generation", "stride", 1, r"generation\.stride: 1 is not allowed; it must be below 1"),
        ("capture", "sites", ["residul"], r"capture\.sites\.0: 'residul'"),
        ("capture", "sites", ["input", "mlp"], "begins with input"),
        ("captures", "more", {"layers": [7]}, r"\[7\] cannot be captured"),
        ("captures", "more", {"sitse": ["mlp"]}, "unknown key .did you mean 'sites'"),
        ("generation", "duration", 0.05, r"is 2 codec frames; 8 are needed \(0.16 s\)"),
        ("gram", "max_gib", 0.001, r"more than gram\.max_gib = 0\.001"),
        ("prompts", "sheet", "prompts.tsv", "both a sheet .* and templates or emotions are given"),
        ("model", "architecture", "facebook/musicgen-small", "nano is known, so leave it null"),
        ("model", "backend", "jax", r"model\.backend: 'jax' .*choose one of 'audiocraft', 'transformers'"),
        ("capture", "layers", [1, 1], r"\[1\] are listed twice"),
        ("generation", "duration", float("nan"), r"generation\.duration: nan is not a finite number"),
        (None, "seeds", [1, 2, 1], "entries 1 and 3 are both 1"),
        ("generation", "use_sampling", False, "one clip of a prompt, whatever the seed, but seeds gives"),
        (
            "generation",
            "temperature",
            1e-40,
            r"generation\.temperature: 1e-40 is not allowed; the least is 0\.01",
        ),
        ("generation", "top_k", 10**30, r"generation\.top_k: 1000.* is not allowed; the most is 1000000"),
        (
            "generation",
            "guidance",
            "none",
            r"generation\.guidance: 'none' is not allowed; give a number or null",
        ),
        ("gram", "steps_per_matrix", 22, r"steps_per_matrix: 22 leaves fewer than 10 .* the most is 21"),
        (None, "study", "a/b", r"study: 'a/b' is not allowed; it must match"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(settings, section, key, value, message):
    (settings.setdefault(section, {}) if section else settings)[key] = value
    with pytest.raises(InputError, match=message):
        Study.from_settings(settings, SCHEMA)


def test_branches_of_a_model_that_prepends_its_text_run_together(settings):
    settings["model"] = {"name": "facebook/musicgen-melody"}
    settings["generation"] = settings.get("generation", {}) | {"two_step": True}
    with pytest.raises(InputError, match=r"two_step: .*melody prepends its text"):
        Study.from_settings(settings, SCHEMA)


def test_all_bad_settings_are_named_at_once(settings):
    settings["generation"] = {"duration": -1, "top_k": -2}
    with pytest.raises(InputError) as error:
        Study.from_settings(settings, SCHEMA)
    assert "generation.duration" in str(error.value)
    assert "generation.top_k" in str(error.value)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="the top level: study, seeds must be given"):
        Study.from_settings({"prompts": {}}, SCHEMA)


def test_steps_follow_from_duration_as_in_the_delay_pattern():
    small = KNOWN["facebook/musicgen-small"]
    assert small.timeline(3, 0.6).n_steps == 153
    assert small.timeline(8, 0.6).n_steps == 403


def test_a_clip_beyond_the_window_takes_the_steps_of_its_windows():
    timeline = KNOWN["facebook/musicgen-small"].timeline(40, 0.6)
    assert timeline.windows == ((0, 1500, 0), (900, 1100, 600))
    assert timeline.n_steps == 1503 + 1103


def test_melody_has_no_cross_attention_to_capture(settings):
    settings["model"]["name"] = "facebook/musicgen-melody"
    settings["capture"] = {"sites": ["cross_attention"]}
    with pytest.raises(InputError, match=r"no site 'cross_attention'.*; its sites are residual"):
        Study.from_settings(settings, SCHEMA)


def test_a_local_checkpoint_is_built_like_a_known_model_or_has_its_own_numbers():
    assert architecture_of("checkpoints/mine", "facebook/musicgen-large").n_layers == 48
    assert architecture_of("checkpoints/mine", {"n_layers": 2, "d_model": 8}).n_codebooks == 4
    with pytest.raises(InputError, match=r"model\.architecture"):
        architecture_of("checkpoints/mine")


def test_layers_are_a_range_a_list_or_all():
    assert resolve_layers("all", 3) == [0, 1, 2]
    assert resolve_layers("1-2", 3) == [1, 2]
    assert resolve_layers([2, 0], 3) == [0, 2]


def test_the_estimate_agrees_with_the_arithmetic_of_the_largest_model(settings):
    settings["model"] = {"name": "facebook/musicgen-large"}
    settings["generation"] = {"duration": 30}
    settings["gram"] = {"max_gib": 1000}
    size = Study.from_settings(settings, SCHEMA).estimate
    # MiB a branch: 48 × 1503 × 2048 × 2 B, and a little for chunks of equal size
    assert size.stack_bytes / 2 / 2**20 == pytest.approx(282, rel=0.01)
    assert size.disk["stacks"] == size.n_samples * size.stack_bytes
    assert "80 = 40 prompts × 2 seeds, 30 s each" in str(size)


def test_a_gram_that_cannot_fit_is_refused_with_settings_that_make_it_fit(settings):
    settings["seeds"] = list(range(30))  # 1,200 samples
    Study.from_settings(settings, SCHEMA)
    with pytest.raises(InputError, match=r"gram\.pairs: false fits"):
        Study.from_settings(settings | {"gram": {"pairs": True}}, SCHEMA)
    settings |= {"seeds": [0, 1], "counterfactual": {"enabled": False}}
    limit = 0.8 * Study.from_settings(settings, SCHEMA).estimate.gram_bytes / 2**30
    with pytest.raises(InputError, match=r"gram\.steps_per_matrix: (\d+) fits") as refused:
        Study.from_settings(settings | {"gram": {"max_gib": limit}}, SCHEMA)
    size = int(re.search(r"steps_per_matrix: (\d+)", str(refused.value))[1])
    smaller = {"max_gib": limit, "steps_per_matrix": size}
    assert Study.from_settings(settings | {"gram": smaller}, SCHEMA).estimate.gram_bytes <= limit * 2**30
    with pytest.raises(InputError, match="fits"):
        Study.from_settings(settings | {"gram": smaller | {"steps_per_matrix": size - 1}}, SCHEMA)
    with pytest.raises(InputError, match=r"even gram\.steps_per_matrix: 21 does not fit"):
        Study.from_settings(settings | {"gram": {"max_gib": 0.001}}, SCHEMA)


def test_half_precision_on_a_cpu_is_refused_before_any_work(settings):
    settings["model"] = {"name": "nano", "device": "cpu", "dtype": "float16"}
    with pytest.raises(InputError, match="float16 is for GPUs"):
        Study.from_settings(settings, SCHEMA)


def test_the_nearest_key_is_named_within_an_architecture(settings):
    settings["model"] = {"name": "checkpoints/mine", "architecture": {"n_layer": 4, "d_model": 8}}
    with pytest.raises(InputError, match=r"architecture\.n_layer: unknown key \(did you mean 'n_layers'\?\)"):
        Study.from_settings(settings, SCHEMA)


def test_the_estimate_of_the_swapped_texts_states_passes_disk_and_memory(settings):
    settings["model"] = {"name": "facebook/musicgen-large"}
    settings["generation"] = {"duration": 8}
    cells = Study.from_settings(settings, SCHEMA).estimate.cells
    assert cells.n_passes == 80 * 6 * cells.n_groups
    # 4 emotions × 2 seeds × (6 texts and none); beside them a batch of 8 clips, both branches, three times.
    assert cells.state_bytes == 4 * 403 * 2048 * (56 + 6 * 8)
    assert cells.gram_bytes == 4 * (403 + 13) * 56**2
    assert cells.layers_at_once * cells.state_bytes <= 8 * 2**30
    assert cells.n_groups == 2
    settings["counterfactual"] = {"control": True, "max_gib": 0.1}
    alone = Study.from_settings(settings, SCHEMA).estimate.cells
    assert alone.layers_at_once == 1
    assert alone.n_passes == 2 * 48 * 80 * 6
    assert alone.disk_bytes == 2 * cells.disk_bytes


@pytest.mark.parametrize(("model", "jobs"), [("nano", "4 jobs"), ("facebook/musicgen-large", "20 jobs")])
def test_a_job_replays_several_templates_of_a_small_model(settings, model, jobs):
    """Ten templates of 8 clips, by the model and its random twin."""
    settings["model"], settings["counterfactual"] = {"name": model}, {"control": True}
    assert f"template × 2 models, in {jobs}\n" in Study.from_settings(settings, SCHEMA).announcement


def test_a_counterfactual_gram_beyond_its_limit_is_refused(settings):
    settings["seeds"] = list(range(200))
    settings["gram"] = {"max_gib": 1e3}
    Study.from_settings(settings, SCHEMA)
    settings["prompts"] = {
        "templates": settings["prompts"]["templates"][:1],
        "emotions": settings["prompts"]["emotions"],
    }
    settings["gram"] = {"max_gib": 20}
    with pytest.raises(InputError, match=r"5,600 cells × 203 steps .* counterfactual\.enabled: false"):
        Study.from_settings(settings, SCHEMA)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "audiogen-medium"}, "the transformers library has no facebook/audiogen-medium"),
        ({"name": "facebook/musicgen-small", "witness": True}, r"model\.witness: audiocraft does not read"),
    ],
)
def test_what_the_transformers_backend_cannot_do_is_refused(settings, model, message):
    settings["model"] = {"backend": "transformers", **model}
    with pytest.raises(InputError, match=message):
        Study.from_settings(settings, SCHEMA)


@pytest.mark.parametrize(
    ("model", "decoder"),
    [
        ({"name": "nano", "backend": "transformers"}, "static"),
        ({"name": "nano", "backend": "transformers"}, "audiocraft"),
        ({"name": "facebook/musicgen-melody"}, "static"),
    ],
)
def test_a_decoder_that_the_model_cannot_have_is_refused(settings, model, decoder):
    settings["model"] = model
    settings["generation"] = {"decoder": decoder}
    with pytest.raises(InputError, match=f"generation.decoder: {decoder}"):
        Study.from_settings(settings, SCHEMA)


def test_nano_has_a_witness_in_either_backend(settings):
    for backend in ("audiocraft", "transformers"):
        settings["model"] = {"name": "nano", "backend": backend, "witness": True}
        assert Study.from_settings(settings, SCHEMA).witness


def test_a_random_study_has_no_random_twin(settings):
    settings["counterfactual"] = {"control": True}
    assert Study.from_settings(settings, SCHEMA).replayed_by == ["trained", "random_init"]
    settings["model"]["random_init"] = True
    assert Study.from_settings(settings, SCHEMA).replayed_by == ["trained"]


def test_what_is_not_swapped_is_announced(settings):
    for template in settings["prompts"]["templates"]:
        template.pop("paraphrase")
    said = Study.from_settings(settings, SCHEMA).announcement
    assert "not swapped paraphrase control of piano: none is given; " in said
    assert "and 8 more" in said
    settings["counterfactual"] = {"enabled": False}
    assert "swapped" not in Study.from_settings(settings, SCHEMA).announcement


def test_without_guidance_the_cond_branch_is_the_study(settings):
    settings["generation"] = {"guidance": None}
    study = Study.from_settings(settings, SCHEMA)
    assert study.capture["branches"] == ["cond"]
    assert "cond alone" in study.announcement
    settings["generation"] = {}
    assert study.estimate.stack_bytes < Study.from_settings(settings, SCHEMA).estimate.stack_bytes
    for section, value in (("capture", {"branches": ["uncond"]}), ("replication", True)):
        with pytest.raises(InputError, match=r"give a (generation\.)?guidance"):
            Study.from_settings({**settings, "generation": {"guidance": None}, section: value}, SCHEMA)


def test_whole_numbers_of_a_config_become_integers(settings):
    settings["generation"] = {"top_k": 250.0}
    top_k = Study.from_settings(settings, SCHEMA).settings["generation"]["top_k"]
    assert (top_k, type(top_k)) == (250, int)
