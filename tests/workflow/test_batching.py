"""All seeds of a prompt, or several prompts, in one job: the same samples from fewer jobs."""

import re

import pandas as pd
import pytest
import yaml

from innerear import ActivationExtractor, load_model
from innerear.stacks import Stack

from .conftest import TINY, Workflow

pytestmark = pytest.mark.long
BY_PROMPT = {"duration": 1, "batch": "prompt", "batch_size": 2}
SEEDS = [0, 1, 7]  # one more than fit a batch


@pytest.fixture(scope="module")
def batched(tmp_path_factory):
    """The samples of the tiny study, made in a job a prompt."""
    workflow = Workflow(tmp_path_factory.mktemp("batched"))
    settings = TINY | {"generation": BY_PROMPT, "seeds": SEEDS}
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(settings))
    done = workflow.snakemake("--cores", "1", "--until", "index")
    assert done.returncode == 0, done.stderr
    return workflow


@pytest.fixture
def changed(batched):
    settings = batched.config
    yield batched
    batched.configure(**settings)


def test_the_samples_are_those_of_single_jobs(batched):
    logs = sorted(path.name for path in (batched.results / "logs/generate").rglob("*.log"))
    assert logs == ["all-seeds.log"] * 4
    samples = pd.read_csv(batched.results / "samples.tsv", sep="\t")
    assert len(samples) == 4 * len(SEEDS)
    with ActivationExtractor(load_model("nano", device="cpu"), layers=[0]) as extractor:
        for row in samples[samples["prompt_id"] == "piano-calm"].itertuples():
            extractor.generate([row.text], seeds=[row.seed], duration=1)
            with Stack(batched.folder / row.stack) as stack:
                assert (stack.codes == extractor.codes[0].numpy()).all()


def test_another_job_size_reruns_nothing(changed):
    changed.configure(generation={"duration": 1, "batch": "pair"})
    assert "generate" not in changed.planned()
    changed.configure(generation=BY_PROMPT | {"batch_size": 1})
    assert "generate" not in changed.planned()


def test_a_seed_added_later_is_made_alone_in_jobs_of_pairs(changed):
    changed.configure(generation={"duration": 1, "batch": "pair"}, seeds=[*SEEDS, 8])
    assert changed.planned()["generate"] == 4


def test_a_prompt_added_later_adds_one_job(changed):
    prompts = changed.config["prompts"]
    prompts["emotions"].append({"id": "angry", "valence": -0.6, "arousal": 0.8})
    prompts["templates"] = prompts["templates"][:1]
    changed.configure(prompts=prompts)
    assert changed.planned()["generate"] == 1


def inodes(workflow):
    return {path: path.stat().st_ino for path in workflow.results.glob("*/*/seed-*")}


def test_jobs_of_several_prompts_keep_what_is_there_and_make_the_rest(changed):
    before = inodes(changed)
    assert len(before) == 2 * 4 * len(SEEDS)
    (changed.results / "audio/band-calm/seed-7.wav").unlink()
    changed.configure(generation={"duration": 1, "batch": 3})
    assert changed.planned("all_samples") == {"generate": 1, "index": 1, "all_samples": 1}
    done = changed.snakemake("--cores", "1", "all_samples")
    assert done.returncode == 0, done.stderr
    after = inodes(changed)
    remade = {str(path.relative_to(changed.results)) for path in after if after[path] != before[path]}
    assert remade == {"audio/band-calm/seed-7.wav", "stacks/band-calm/seed-7.h5"}
    logs = [path.name for path in (changed.results / "logs/generate").glob("*.log")]
    assert logs == ["prompts-1-to-3.log"]
    emotions = changed.config["prompts"]["emotions"]
    prompts = changed.config["prompts"] | {"emotions": [*emotions, {"id": "sad"}]}
    changed.configure(prompts=prompts, contrast="emotion")
    assert {name: n for name, n in changed.planned("all_samples").items() if "generate" in name} == {
        "generate_2": 1
    }
    done = changed.snakemake("--cores", "1", "all_samples")
    assert done.returncode == 0, done.stderr
    assert {path: node for path, node in inodes(changed).items() if path in after} == after
    assert not (changed.results / "unfinished").exists()


def test_each_template_of_own_seeds_has_a_rule_and_the_settings_of_a_profile(fresh):
    more = {"more": {"sites": ["mlp"], "layers": [2]}}
    fresh.configure(seeds={"each_template": 2}, generation=BY_PROMPT, captures=more)
    plan = fresh.planned()
    assert {name: plan[name] for name in plan if name.startswith(("generate", "replay"))} == {
        "generate": 2,
        "generate_2": 2,
        "replay": 2,
        "replay_2": 2,
    }
    said = fresh.snakemake("-n", "--set-resources", "generate:mem_mb=4321", "replay:runtime=77").stdout
    jobs = {
        re.search(r"output: .*/(\S+)/seed-", job)[1]: job
        for job in said.split("\nrule ")
        if job.startswith("generate")
    }
    assert {"piano-calm", "band-calm"} < jobs.keys()
    for prompt, job in jobs.items():
        first = 0 if prompt.startswith("piano") else 2
        assert f"{prompt}/seed-{first}.h5" in job
        assert f"{prompt}/seed-{first + 1}.wav" in job
        assert f"/generate/{prompt}/all-seeds.log" in job
        assert "mem_mb=4321" in job
    assert sum("runtime=77" in job for job in said.split("\nrule ")[1:]) == 4
    fresh.configure(generation={"duration": 1, "batch": "pair"})
    assert fresh.planned()["generate"] == 8


def test_a_job_that_measures_asks_for_what_its_sound_takes(fresh):
    def asked(seconds):
        fresh.configure(generation={"duration": seconds})
        (job,) = re.findall(r"^rule acoustics:.*?^$", fresh.snakemake("-n").stdout, re.DOTALL | re.MULTILINE)
        return [int(re.search(rf"\b{name}=(\d+)", job)[1]) for name in ("runtime", "mem_mb")]

    # Eight clips: a minute a minute, and spectrograms of one clip besides the frames of all.
    (minutes, mb), (more_minutes, more_mb) = asked(1), asked(61)
    assert more_minutes - minutes == 8
    assert more_mb - mb == 5 * 60 + 8 * 60 // 10
