"""A Slurm of one machine, for tests: munge, database, accounting, controller and a node with pretended GPUs.

Everything runs on loopback, in the foreground of this process and under one folder; nothing of the system's
own Slurm is touched. Needs Debian's slurm-wlm, munge, slurmdbd, mariadb-server-core, mariadb-client-core.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scancel", "sinfo", "scontrol", "sacctmgr", "sshare")


class Slurm:
    """The running cluster; a context manager that ends every daemon it started.

    Parameters
    ----------
    folder : for configuration, logs and state; short, since sockets lie in it.
    account : that jobs are submitted under.
    partitions : names; every one holds the one node, the first is the default.
    gpus : GPUs that the node pretends to have; each is a link to /dev/null, so nothing isolates them.
    """

    def __init__(self, folder: Path, account: str, partitions: Sequence[str], gpus: int) -> None:
        self.folder, self.account, self.partitions, self.gpus = folder, account, partitions, gpus
        self.daemons: dict[str, subprocess.Popen] = {}
        self.user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.ports = dict(zip(("ctld", "d", "dbd", "sql"), _free_ports(4), strict=True))

    def __enter__(self) -> "Slurm":
        for name in ("state", "spool", "log", "bin", "sql", "dev"):
            (self.folder / name).mkdir(parents=True)
        self._configure()
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if "slurmctld" in self.daemons:
            subprocess.run([self.folder / "bin/scancel", "--user", self.user], check=False, timeout=20)
            time.sleep(2)
        for daemon in reversed(list(self.daemons.values())):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        self.daemons.clear()

    @property
    def environment(self) -> dict[str, str]:
        """Variables under which commands talk to this cluster: its own come first on PATH."""
        outer = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        return outer | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def run(self, *command: str) -> str:
        """Return what a Slurm command prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def jobs(self, *fields: str) -> list[dict[str, str]]:
        """Every job of the cluster's life, from the accounting, without its steps."""
        fields = ("JobID", "Comment", "State", *fields)
        lines = self.run("sacct", "-X", "-n", "-P", "-S", "2020-01-01", f"--format={','.join(fields)}")
        return [dict(zip(fields, line.split("|"), strict=True)) for line in lines.splitlines()]

    def queued(self, state: str = "all") -> list[tuple[str, str]]:
        """(id, comment) of the jobs that the queue holds; a state such as R narrows it."""
        states = [] if state == "all" else [f"--states={state}"]
        lines = self.run("squeue", "--noheader", "--format=%i|%k", *states).splitlines()
        return [(job, comment) for job, _, comment in (line.partition("|") for line in lines)]

    def at_work(self) -> bool:
        """Whether jobs run, and every one of them has begun the step in which Snakemake works."""
        steps = self.run("squeue", "--steps", "--noheader", "--format=%i").split()
        running = [job for job, _ in self.queued("R")]
        return bool(running) and all(f"{job}.0" in steps for job in running)

    def drain(self, timeout: float = 300) -> None:
        """Wait until no job is waiting, running or completing."""
        wait_for(lambda: not self.queued(), timeout, "an empty queue")

    def interrupt_controller(self, seconds: float) -> None:
        """Stop slurmctld, and start it from its saved state after so many seconds; jobs run on meanwhile.

        It is asked to end and not killed. A killed one forgets up to its last five seconds, and nothing can
        tell: a job that ended in them counts as running until its time limit, one submitted in them is gone.
        The node takes no new job until it has reported what it has: to a job that begins earlier Slurm 22.05
        gives GPUs without noting which, so that its steps fail and the GPUs are never free again.
        """
        node = ("scontrol", "update", "NodeName=ear1")
        self.run(*node, "State=DRAIN", "Reason=outage")
        self.daemons["slurmctld"].terminate()
        self.daemons.pop("slurmctld").wait(60)
        time.sleep(seconds)
        self._start_controller()
        wait_for(
            lambda: "SlurmdStartTime=None" not in self.run("scontrol", "show", "node", "ear1"),
            120,
            "report of the node",
        )
        self.run(*node, "State=RESUME")

    def state(self) -> str:
        """What to read when something hangs: the queue, the node and the end of the controller's log."""
        shown = []
        for command in (
            ("squeue", "--states=all", "--format=%i %T %r %S %k"),
            ("scontrol", "-d", "show", "node"),
        ):
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
            shown.append(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
        log = (self.folder / "log/slurmctld").read_text().splitlines()
        return "\n".join([*shown, "slurmctld's log:", *log[-30:]])

    def _start_all(self) -> None:
        munge, sql = self.folder / "munge", self.folder / "sql"
        self._start(
            "munged",
            "munged",
            "--foreground",
            "--force",
            f"--socket={munge}.socket",
            f"--key-file={munge}.key",
            f"--pid-file={munge}.pid",
            f"--seed-file={munge}.seed",
            f"--log-file={self.folder}/log/munged",
        )
        base = ["--no-defaults", f"--user={self.user}", f"--datadir={sql}"]
        subprocess.run(
            ["mariadb-install-db", *base, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
        )
        self._start(
            "mariadbd",
            "mariadbd",
            *base,
            f"--socket={sql}/socket",
            f"--port={self.ports['sql']}",
            "--bind-address=127.0.0.1",
            f"--pid-file={sql}/pid",
            "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=900",
        )
        wait_for(lambda: (sql / "socket").exists(), 120, "mariadbd")
        client = ["mariadb", "--no-defaults", f"--socket={sql}/socket", "--user=root"]
        grant = "create user 'slurm'@'%' identified by 'slurm'; grant all on *.* to 'slurm'@'%';"
        wait_for(
            lambda: not subprocess.run([*client, "-e", "select 1"], capture_output=True).returncode,
            120,
            "mariadbd",
        )
        subprocess.run([*client, "-e", grant], check=True, capture_output=True)
        self._start("slurmdbd", "slurmdbd", "-D")
        wait_for(lambda: self._answers("sacctmgr", "-n", "show", "cluster"), 120, "slurmdbd")
        add = ("sacctmgr", "-i", "add")
        self.run(*add, "cluster", "ear")
        self.run(*add, "account", self.account, "cluster=ear", "description=test", "organization=test")
        self.run(*add, "user", self.user, f"account={self.account}")
        self._start_controller()
        self._start("slurmd", "slurmd", "-D", "-N", "ear1")
        wait_for(lambda: self.run("sinfo", "-h", "-o", "%T").split()[:1] == ["idle"], 120, "an idle node")

    def _start_controller(self) -> None:
        self._start("slurmctld", "slurmctld", "-D")
        wait_for(lambda: self._answers("scontrol", "ping"), 120, "slurmctld")

    def _start(self, name: str, program: str, *options: str) -> None:
        log = (self.folder / "log" / f"{name}.out").open("a")
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}
        self.daemons[name] = subprocess.Popen(
            [_found(program), *options], env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def _answers(self, *command: str) -> bool:
        for name, daemon in self.daemons.items():
            if daemon.poll() is not None:
                raise RuntimeError(
                    f"{name} ended: {(self.folder / 'log' / f'{name}.out').read_text()[-2000:]}"
                )
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.returncode == 0 and "DOWN" not in done.stdout

    def _configure(self) -> None:
        folder, munge = self.folder, self.folder / "munge.socket"
        (folder / "munge.key").touch(0o600)
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        for number in range(self.gpus):
            (folder / "dev" / f"gpu{number}").symlink_to("/dev/null")
        # The executor's inner srun gets no SLURM_CONF, so that each command brings it.
        for name in COMMANDS:
            wrapper = folder / "bin" / name
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_found(name)} "$@"\n')
            wrapper.chmod(0o755)
        (folder / "slurm.conf").write_text(self._slurm_conf())
        (folder / "gres.conf").write_text(
            f"NodeName=ear1 Name=gpu Type=test File={folder}/dev/gpu[0-{self.gpus - 1}]\n"
        )
        dbd = folder / "slurmdbd.conf"
        dbd.touch(0o600)
        dbd.write_text(
            f"""DbdHost=localhost
DbdPort={self.ports["dbd"]}
AuthType=auth/munge
AuthInfo=socket={munge}
SlurmUser={self.user}
LogFile={folder}/log/slurmdbd
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={self.ports["sql"]}
StorageUser=slurm
StoragePass=slurm
"""
        )

    def _slurm_conf(self) -> str:
        folder, munge = self.folder, self.folder / "munge.socket"
        partitions = "".join(
            f"PartitionName={name} Nodes=ear1 Default={'NO' if number else 'YES'} MaxTime=INFINITE State=UP\n"
            for number, name in enumerate(self.partitions)
        )
        # The node claims more CPUs than there are, so that GPUs are what jobs wait for.
        # A step that a controller just back refuses is asked for again after SlurmctldTimeout, or 60 s.
        return f"""ClusterName=ear
SlurmctldHost=localhost
SlurmctldPort={self.ports["ctld"]}
SlurmdPort={self.ports["d"]}
SlurmUser={self.user}
SlurmdUser={self.user}
AuthType=auth/munge
AuthInfo=socket={munge}
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
MinJobAge=3600
SlurmctldTimeout=10
KillWait=5
DefMemPerCPU=500
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=2
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={self.ports["dbd"]}
AccountingStoragePass={munge}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd.%n
NodeName=ear1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={self.ports["d"]} CPUs=8 RealMemory=64000 \
Gres=gpu:test:{self.gpus} State=UNKNOWN
{partitions}"""


def wait_for(reached: Callable[[], bool], timeout: float, what: str) -> None:
    """Wait until `reached` is true.

    Raises
    ------
    TimeoutError: it is not after `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {timeout:g} s")
        time.sleep(0.2)


def _found(program: str) -> str:
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(
            f"{program} is not installed: apt-get install slurm-wlm munge slurmdbd mariadb-server-core "
            "mariadb-client-core"
        )
    return path


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports
