"""A Slurm of one node on loopback, for as long as a block or a command lasts.

    python -m tests.slurm snakemake --profile profiles/slurm ...

Debian's slurm-wlm and munge, with own configuration, key, ports and state in a temporary folder: nothing of a Slurm
that the machine may have is touched. Jobs that use more memory than they asked for are stopped.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
#: more than the machine may have: what is tested is the way through Slurm, not speed
CPUS = 4
MEMORY = 16000
PATIENCE = 30

CONFIG = """\
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/none
KillWait=2
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# Snakemake's plugin takes SLURM_CONF away from the srun inside a job
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


class NoSlurmError(Exception):
    """Why no Slurm can be run here."""


@contextmanager
def running(base: dict[str, str]) -> Iterator[dict[str, str]]:
    """Start a Slurm and yield ``base``, an environment, with what its commands need to find it.

    Raises:
        NoSlurmError: a program is not installed, or did not come up; the text says which and why.
    """
    # slurmd, slurmctld and munged are in a folder that is not on every user's path
    path = os.pathsep.join([base["PATH"], "/usr/sbin", "/sbin"])
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
        raise NoSlurmError(f"{', '.join(missing)} not installed (Debian: apt-get install slurm-wlm munge)")
    # not pytest's folder: a socket's path must be short
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        environment = base | {
            "PATH": os.pathsep.join([str(folder / "bin"), path]),
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        _configure(folder, str(shutil.which("srun", path=path)))
        for words in (
            ("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={folder}/key",
             f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/seed", f"--log-file={folder}/munge.log"),
            ("slurmctld", "-D", "-c"),
            ("slurmd", "-D", "-N", "localhost"),
        ):  # fmt: skip
            stack.enter_context(_daemon(words, folder, environment))
            if words[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), "munged", folder)
        _wait(lambda: _says(["sinfo", "-h", "-o", "%T"], environment) == "idle", "slurmctld", folder)
        stack.callback(_empty, environment)
        yield environment


def _configure(folder: Path, srun: str) -> None:
    with socket.socket() as one, socket.socket() as other:
        for listener in (one, other):
            listener.bind(("127.0.0.1", 0))
        controller, node = one.getsockname()[1], other.getsockname()[1]
    config = CONFIG.format(
        folder=folder, controller=controller, node=node, user=getpass.getuser(), cpus=CPUS, memory=MEMORY
    )
    (folder / "slurm.conf").write_text(config)
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_bytes(os.urandom(128))
    for place in ("bin", "state", "spool"):
        (folder / place).mkdir()
    (folder / "bin" / "srun").write_text(SRUN.format(folder=folder, srun=srun))
    (folder / "bin" / "srun").chmod(0o755)


@contextmanager
def _daemon(words: tuple[str, ...], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with open(folder / f"{words[0]}.out", "wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, env=environment, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _says(words: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout.strip()


def _wait(done, name: str, folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            said = [line for log in folder.glob("*.[ol][ou][tg]") for line in log.read_text().splitlines()[-3:]]
            raise NoSlurmError(f"{name} did not come up in {PATIENCE} s: {' | '.join(said)}")
        time.sleep(0.1)


def _empty(environment: dict[str, str]) -> None:
    """Cancel what is left, so that no job outlives its Slurm."""
    subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, capture_output=True, check=False)
    end = time.monotonic() + PATIENCE
    while _says(["squeue", "-h"], environment) and time.monotonic() < end:
        time.sleep(0.2)


def main() -> int:
    """Run a command inside a Slurm."""
    try:
        with running(dict(os.environ)) as environment:
            return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    except NoSlurmError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
