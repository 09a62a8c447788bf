"""Train nano from nothing: compose its music, train its codec, then its language model, and write it.

python resources/nano/training/train.py --output resources/nano

A phase whose result is already in the working folder is not repeated, so a run that was stopped goes
on where it was.
"""

import argparse
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import audiocraft_import  # noqa: F401
import codec
import language_model
import numpy as np
import text_encoder
import torch
from export import export
from prompts import draw_prompt
from synthesis import EMOTIONS, INSTRUMENTS, compose

CLIPS_PER_PAIR = 110  # clips of an emotion × instrument: 2,200 of 8 s in all
CODEC_CLIPS_PER_PAIR = 30  # of these, the codec learns from
PROMPTS_PER_CLIP = 8


def main() -> None:
    """Run all phases, each logged with its wall and CPU time."""
    arguments = _arguments()
    torch.set_flush_denormal(True)  # decaying tones and moments otherwise reach slow, tiny numbers
    torch.set_num_threads(arguments.threads)
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.StreamHandler(), logging.FileHandler(work / "log")],
    )
    torch.manual_seed(arguments.seed)

    clips = max(1, round(CLIPS_PER_PAIR * arguments.scale))
    with _phase("music"):
        waves, starts, prompts = _music(clips, arguments.seed)
        learnt_from = np.arange(len(waves)) % clips < CODEC_CLIPS_PER_PAIR
    with _phase("codec"):
        trained = _once(
            work / "codec.pt",
            lambda: codec.train(
                waves[learnt_from], round(codec.STEPS * arguments.scale), arguments.seed
            ).state_dict(),
        )
        compression = codec.build().eval()
        compression.load_state_dict(trained)
    with _phase("codes"):
        codes = _once(work / "codes.pt", lambda: codec.encode(compression, waves))
    with _phase("language model"):
        t5 = work / "t5"
        text_encoder.write(t5, [text for texts in prompts for text in texts], arguments.seed)
        corpus = language_model.Corpus(codes, starts, prompts)
        torch.manual_seed(arguments.seed)
        model = language_model.build(t5)
        for number, stage in enumerate(language_model.STAGES):
            stage = replace(stage, steps=round(stage.steps * arguments.scale))
            model.load_state_dict(
                _once(
                    work / f"language_model_{number}.pt",
                    partial(_stage, model, corpus, stage, arguments.seed + number),
                )
            )
    export(arguments.output, compression, model.eval())
    logging.info("wrote %s", arguments.output)


_AsWritten = argparse.RawDescriptionHelpFormatter


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_AsWritten)
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights")
    parser.add_argument(
        "--work", type=Path, default="results/nano-training", help="folder for log and phases"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of data and steps; 0.01 tries it out")
    # More threads than one wait for each other more than they help, above all on a busy machine.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _music(clips: int, seed: int) -> tuple[np.ndarray, list[tuple[int, ...]], list[list[str]]]:
    """Compose `clips` pieces of each emotion × instrument: waves [clip, sample], harmony starts, prompts."""
    rng = np.random.default_rng(seed)
    waves, starts, prompts = [], [], []
    for emotion in EMOTIONS:
        for instrument in INSTRUMENTS:
            for _ in range(clips):
                clip = compose(emotion, instrument, rng)
                waves.append(clip.wave)
                starts.append(clip.chord_starts)
                prompts.append([draw_prompt(emotion, instrument, rng) for _ in range(PROMPTS_PER_CLIP)])
    return np.stack(waves), starts, prompts


def _stage(model, corpus: language_model.Corpus, stage: language_model.Stage, seed: int) -> dict:
    return language_model.train(model, corpus, stage, seed).state_dict()


def _once(path: Path, make):
    """Return what `path` holds; if it does not exist, make it and save it first."""
    if not path.exists():
        temporary = path.with_suffix(".partial")
        torch.save(make(), temporary)
        os.replace(temporary, path)
    return torch.load(path, weights_only=True)


@contextmanager
def _phase(name: str) -> Iterator[None]:
    """Log how long a phase took: wall time, and CPU time, which a busy machine leaves alone."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    logging.info("%s: %.1f min wall, %.1f min CPU", name, wall / 60, cpu / 60)


if __name__ == "__main__":
    main()
