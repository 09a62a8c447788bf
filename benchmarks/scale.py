"""A study of ten thousand samples without a model: what each stage takes, and by the laws of docs/scaling.md.

    python benchmarks/scale.py [--templates 63 188 625] [--folder /tmp/scale]

Stacks of one layer at MusicGen-small's width and of a few steps are made up by the writer that generation
uses, for templates × 4 emotions × 4 seeds of each template's own. Index, quality checks and gate (with
replays that passed), design, Gram pass and statistics then do what their rules do, each in a process of its
own. A stage's numbers at one size, and its law, give what it should take at the next.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
from options import count

from innerear.analyses.layer import analyse
from innerear.capture.checks import check_samples, judged
from innerear.capture.gate import require_passed
from innerear.gram.layer_pass import stacks_gram
from innerear.gram.prompt_sums import Prompts
from innerear.io.clips import write_clip
from innerear.io.tables import read_table, write_table
from innerear.stacks import GramFile, StackWriter, stacks_hash
from innerear.stacks.index import sample_table
from innerear.statistics.design import Design
from innerear.statistics.design.file import read_design, write_design
from innerear.timeline import Timeline

EMOTIONS = ("happy", "sad", "calm", "energetic")
SEEDS, LAYER, RATE = 4, 12, 32000
TIMELINE = Timeline(n_frames=6, n_codebooks=4, frame_rate=50)
PERMUTATIONS, BINS = 200, 3


@dataclass(frozen=True)
class Size:
    """A study's size: templates, prompts and samples; the width of its states."""

    templates: int
    width: int

    @property
    def prompts(self) -> int:
        """Number of prompts, P."""
        return self.templates * len(EMOTIONS)

    @property
    def samples(self) -> int:
        """Number of samples, N."""
        return self.prompts * SEEDS


def write_stacks(folder: Path, size: Size) -> None:
    """Write the stacks and clips of all samples, as a model without a mistake would leave them."""
    rng = np.random.default_rng(0)
    shape = (2, TIMELINE.n_steps, size.width)
    start, of_emotion = rng.normal(size=(2, size.width)), 0.2 * rng.normal(size=(len(EMOTIONS), *shape))
    for template in range(size.templates):
        of_template = rng.normal(size=shape)
        for emotion, effect in zip(EMOTIONS, of_emotion, strict=True):
            of_prompt = of_template + effect + 0.5 * rng.normal(size=shape)
            # Before any token is read, uncond is one state, and cond that of the prompt.
            of_prompt[1, 0] = start[1]
            prompt = f"t{template}-{emotion}"
            for seed in range(SEEDS * template, SEEDS * (template + 1)):
                states = of_prompt + 0.5 * rng.normal(size=shape)
                states[:, 0] = of_prompt[:, 0]
                write_sample(folder, (prompt, f"t{template}", emotion, seed), states, rng)


def write_sample(
    folder: Path, sample: tuple[str, str, str, int], states: np.ndarray, rng: np.random.Generator
) -> None:
    """Write a sample's stack and clip."""
    prompt, template, emotion, seed = sample
    paths = [folder / kind / prompt / f"seed-{seed}.{suffix}" for kind, suffix in KINDS.items()]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * rng.normal(size=RATE * TIMELINE.n_frames // 50)
    attrs = {
        **{"sample_id": f"{prompt}/seed-{seed}", "prompt_id": prompt, "template": template},
        **{"emotion": emotion, "text": f"{emotion} music {template}", "seed": seed, "study": "scale"},
        **{"model": "made up", "model_identity": "made up", "dtype": "float32"},
        "audio_sha256": write_clip(paths[1], wave, RATE),
    }
    codes = rng.integers(0, 2048, (TIMELINE.n_codebooks, TIMELINE.n_frames))
    codes[0, 0] = EMOTIONS.index(emotion)  # from then on, uncond of two prompts may differ
    with StackWriter(paths[0], attrs, codes, TIMELINE) as stack:
        stack.write("residual", LAYER, states.astype(np.float32))
        stack.write_input_gap(np.zeros(TIMELINE.n_steps))


KINDS = {"stacks": "h5", "audio": "wav"}


def index(folder: Path, size: Size) -> None:
    """List all samples, as rule index."""
    stacks = sorted((folder / "stacks").rglob("*.h5"))
    write_table(sample_table(stacks, folder / "audio"), folder / "samples.tsv")


def gate(folder: Path, size: Size) -> None:
    """Check every stack and clip and pass the samples on, as rules qc and gate; replays are made up."""
    samples = read_table(folder / "samples.tsv")
    first = samples.drop_duplicates("prompt_id").to_dict("records")
    replays = [(f"replay_{part}", row) for part in ("cond", "uncond", "delta", "level") for row in first]
    made_up = [judged(name, row, "", 0.0, 1e-3) for name, row in [*replays, ("regenerate", first[0])]]
    checks = check_samples(samples)
    tables = [checks, pd.DataFrame(made_up, columns=checks.columns)]
    paths = [str(folder / "qc" / name) for name in ("checks.tsv", "verification.tsv")]
    for table, path in zip(tables, paths, strict=True):
        write_table(table, path)
    of_study = {"branches": ["cond", "uncond"], "same_input": True, "witness": False}
    require_passed([read_table(path) for path in paths], paths, samples, **of_study)


def design(folder: Path, size: Size) -> None:
    """Draw the permutations, as rule design."""
    write_design(
        Design(read_table(folder / "samples.tsv"), n_permutations=PERMUTATIONS), folder / "design.h5"
    )


def gram(folder: Path, size: Size) -> None:
    """Read the layer of every stack once, as rule gram."""
    samples = read_table(folder / "samples.tsv")
    arrays, coords, attrs = stacks_gram(
        samples["stack"].tolist(),
        samples["sample_id"].tolist(),
        LAYER,
        contents=samples["content_sha256"].tolist(),
        n_bins=BINS,
        prompts=Prompts.of(samples),
        pairs=False,
    )
    GramFile.write(folder / "gram.h5", arrays, coords, attrs | {"stacks_sha256": stacks_hash(samples)})


def gram_bytes(size: Size) -> int:
    """Return the bytes of the Gram file: float32 of three branches and, of so few steps, one window."""
    sums = 12 * size.prompts * (size.prompts + 1) // 2 * (TIMELINE.n_steps + 1)
    return 12 * (sums + size.samples * (size.width * (1 + BINS) + 2 * TIMELINE.n_steps))


def analysis_of(name: str) -> Callable[[Path, Size], None]:
    """Return what analyses the layer, as the rule of that name."""

    def run(folder: Path, size: Size) -> None:
        study = read_design(read_table(folder / "samples.tsv"), folder / "design.h5")
        with GramFile(folder / "gram.h5") as file:
            found = analyse(
                import_module(f"innerear.analyses.{name}"), file, study, model="made up", layer=LAYER
            )
            outputs = {"table": str(folder / name / "table.tsv")}
            if found.null is not None:
                outputs["null"] = str(folder / name / "null.tsv")
            if name in KEPT:
                outputs[KEPT[name]] = str(folder / name / "arrays.h5")
            found.write(outputs, file.attrs)

    return run


#: analysis → what its rule keeps beside tables
KEPT = {"similarity": "matrices", "discriminability": "folds", "components": "scores"}
ANALYSES = ("similarity", "discriminability", "emergence", "generalisation")
#: law → what grows as it says
LAWS: dict[str, Callable[[Size], float]] = {
    "N": lambda size: size.samples,
    "P²": lambda size: size.prompts**2,
    # Reading and averaging a sample takes as long as the sums of 200 pairs of prompts.
    "N + P² ÷ 200": lambda size: size.samples + size.prompts**2 / 200,
    "Gram file": gram_bytes,
    "": lambda size: float("nan"),
}
#: stage → what runs it, the law of its CPU time, and that of its bytes
STAGES: dict[str, tuple[Callable[[Path, Size], None], str, str]] = {
    "stacks": (write_stacks, "N", "N"),
    "index": (index, "N", "N"),
    "gate": (gate, "N", "N"),
    "design": (design, "N", "N"),
    "gram": (gram, "N + P² ÷ 200", "Gram file"),
    **{name: (analysis_of(name), "P²", "") for name in ANALYSES},
    "components": (analysis_of("components"), "N", ""),
}


def bytes_and_files(folder: Path) -> tuple[int, int]:
    """Count what lies in a folder."""
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return sum(sizes), len(sizes)


def measured(stage: str, folder: Path, size: Size) -> dict[str, float]:
    """Run a stage: CPU seconds, peak MiB beyond its imports, and the bytes and files that it added."""
    before = bytes_and_files(folder)
    found = in_own_process(stage, folder, size)
    added = [now - then for now, then in zip(bytes_and_files(folder), before, strict=True)]
    return found | dict(zip(("bytes", "files"), added, strict=True))


def in_own_process(stage: str, folder: Path, size: Size) -> dict[str, float]:
    """Do `once` in a process that has done nothing else."""
    command = [sys.executable, __file__, "--once", stage, "--folder", str(folder), "--width", str(size.width)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command += ["--templates", str(size.templates)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{stage} of {size.samples} samples failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def once(stage: str, folder: Path, size: Size) -> dict[str, float]:
    """Run a stage in this process."""
    start, before = time.process_time(), peak_mib()
    STAGES[stage][0](folder, size)
    return {"cpu": time.process_time() - start, "peak": peak_mib() - before}


def peak_mib() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def study(folder: Path, size: Size, before: dict[str, dict], smaller: Size | None) -> dict[str, dict]:
    """Run all stages of a size and print a row for each, with what was predicted from the size before."""
    print(f"{size.samples:,} samples of {size.prompts:,} prompts, {TIMELINE.n_steps} steps × {size.width}")
    print("  stage                 CPU s  predicted      MiB  MB added  predicted   files")
    found = {}
    for stage, (_, of_cpu, of_bytes) in STAGES.items():
        row = found[stage] = measured(stage, folder, size)
        expected = {}
        for name, law in (("cpu", LAWS[of_cpu]), ("bytes", LAWS[of_bytes])):
            expected[name] = before[stage][name] * law(size) / law(smaller) if smaller else float("nan")
        took = f"{row['cpu']:>9.1f}{expected['cpu']:>11.1f}{row['peak']:>9.0f}"
        added = f"{row['bytes'] / 1e6:>10.1f}{expected['bytes'] / 1e6:>11.1f}{row['files']:>8.0f}"
        print(f"  {stage:<18}{took}{added}", flush=True)
    return found


def run(templates: Sequence[int], width: int, folder: Path) -> list[dict[str, dict]]:
    """Run every size, each in an empty folder that is removed after it."""
    runs: list[dict[str, dict]] = []
    sizes = [Size(n, width) for n in templates]
    for size, smaller in zip(sizes, [None, *sizes[:-1]], strict=True):
        own = folder / str(size.samples)
        own.mkdir(parents=True)
        try:
            runs.append(study(own, size, runs[-1] if runs else {}, smaller))
        finally:
            shutil.rmtree(own)
    return runs


def main() -> None:
    """Run the sizes that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--templates", type=count, nargs="+", default=[63, 188, 625])
    parser.add_argument("--width", type=count, default=1024)
    parser.add_argument("--folder", type=Path, help="where the studies are made, and removed")
    parser.add_argument("--once", choices=list(STAGES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(options.once, options.folder, Size(options.templates[0], options.width))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run(options.templates, options.width, Path(folder))


if __name__ == "__main__":
    main()
