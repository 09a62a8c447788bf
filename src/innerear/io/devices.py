"""Who has which GPU: on one machine nothing hands them out, so each job leases one that is free."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Open files whose locks are this process's leases; the kernel closes them however the process ends.
_LEASES: list[int] = []


def lease_gpu(device: str = "auto", folder: str | os.PathLike | None = None) -> str | None:
    """Take a free GPU for the life of this process, and let CUDA see no other.

    To be called before anything initialises CUDA. Where all are taken, wait for one. Under Slurm the job
    has what Slurm gave it, and this does nothing.

    Parameters
    ----------
    device : the setting ``model.device``; ``"cpu"`` needs no GPU.
    folder : of the lock files; the machine's own temporary folder, as all jobs of the machine must share it.

    Returns
    -------
    The device as CUDA_VISIBLE_DEVICES names it, or None where there is nothing to lease.

    Notes
    -----
    A device is known by its name in CUDA_VISIBLE_DEVICES: jobs that name one device in two ways, by number
    and by UUID, do not see each other.
    """
    if device == "cpu" or "SLURM_JOB_ID" in os.environ:
        return None
    devices = _visible_devices()
    locks = Path(folder or tempfile.gettempdir())
    waiting = False
    while devices:
        for name in devices:
            if _lock(locks / f"innerear-gpu-{name}.lock"):
                os.environ["CUDA_VISIBLE_DEVICES"] = name
                return name
        if not waiting:
            print(
                f"all GPUs ({', '.join(devices)}) are taken by other jobs: waiting for one. "
                f"snakemake --resources gpu={len(devices)} starts no more jobs than that",
                file=sys.stderr,
            )
        waiting = True
        time.sleep(0.5)
    return None


def _visible_devices() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA reads them: up to the first that is not one."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(_count())]
    names = [name.strip() for name in given.split(",")]
    end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:end]


def _count() -> int:
    """Count the machine's GPUs without CUDA, which would hold on to what it sees first."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _lock(path: Path) -> bool:
    """Take the lock if it is free. Reading is enough to lock, so that users share a machine."""
    if not path.exists():
        path.touch(0o644)
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _LEASES.append(lock)
    return True
