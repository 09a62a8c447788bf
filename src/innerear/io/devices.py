"""Lease a free GPU to each job on a machine without a scheduler."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from innerear.io.locks import lock


def lease_gpu(device: str = "auto", folder: str | os.PathLike | None = None) -> str | None:
    """Lease a free GPU until this process ends, and hide the others from CUDA; wait if all are taken.

    Call it before anything initialises CUDA. Under Slurm it does nothing: the job keeps what Slurm gave it.
    Jobs that name one device in two ways (number and UUID) do not see each other's leases.

    Parameters
    ----------
    device : the setting ``model.device``; ``"cpu"`` needs no GPU.
    folder : of the lock files; by default ``/tmp``, which all users share, whatever their TMPDIR.

    Returns
    -------
    The device as CUDA_VISIBLE_DEVICES names it, or None if there is nothing to lease.
    """
    if device == "cpu" or "SLURM_JOB_ID" in os.environ:
        return None
    devices = _visible_devices()
    locks = _common(folder or ("/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir()), devices)
    waiting = False
    while devices:
        for name in devices:
            if lock(_file(locks, name)):
                os.environ["CUDA_VISIBLE_DEVICES"] = name
                return name
        if not waiting:
            print(
                f"all GPUs ({', '.join(devices)}) are taken by other jobs: waiting for one. "
                f"snakemake --resources gpu={len(devices)} starts no more jobs than that",
                file=sys.stderr,
            )
        waiting = True
        time.sleep(random.uniform(0.3, 0.7))  # two that refuse each other do not do so for ever
    return None


def _common(folder: str | os.PathLike, devices: list[str]) -> Path:
    """Return the folder of the lock files, or one of this user's where another user's is closed."""
    folder = Path(folder)
    for path in (_file(folder, name) for name in devices):
        if path.exists() and not os.access(path, os.R_OK):
            own = folder / f"innerear-{os.getuid()}"
            print(
                f"warning: {path} is another user's and closed to you, so their jobs and yours do not see "
                f"each other's GPUs (yours lock files in {own}); let them run: chmod 666 {path}",
                file=sys.stderr,
            )
            return own
    return folder


def _file(folder: Path, device: str) -> Path:
    return folder / f"innerear-gpu-{device}.lock"


def _visible_devices() -> list[str]:
    """Return the GPUs that this process may use. As in CUDA, the list ends at the first invalid name."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(_count())]
    names = [name.strip() for name in given.split(",")]
    end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:end]


def _count() -> int:
    """Count the machine's GPUs without CUDA, which would fix the visible devices."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
