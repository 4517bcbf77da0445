"""Write the lock files from pyproject.toml: `python tools/lock.py [--upgrade]`; needs the command uv.

Pins that still fit are kept unless ``--upgrade`` is given. ``requirements-cluster.lock`` holds only what the
executor plugins add to ``requirements.lock``, so that it installs on top of it. ``requirements-client.lock`` is an
environment of its own, without PyTorch: the Makefile installs that, since its builds differ by machine.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet")


#: nobody's Python: whoever requires these gets a lock without them
WITHOUT_TORCH = "".join(f"{name}; python_version < '3'\n" for name in ("torch", "torchvision"))


def compile_lock(out: Path, *options: str, source: tuple[str, ...] = ("pyproject.toml",)) -> None:
    """Resolve the project's dependencies for all its Pythons and platforms into ``out``."""
    subprocess.run(["uv", "pip", "compile", *OPTIONS, *options, "-o", out, *source], cwd=ROOT, check=True)


def entries(text: str) -> list[str]:
    """The packages of a lock file, each with its hashes."""
    return re.split(r"\n(?=\S)", text.strip()) if text.strip() else []


def main() -> None:
    """Write all four."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="to the newest versions pyproject.toml allows")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    run, dev, cluster, client = (ROOT / f"requirements{kind}.lock" for kind in ("", "-dev", "-cluster", "-client"))
    compile_lock(run, *upgrade)
    compile_lock(dev, "--extra", "dev", "--constraint", str(run), *upgrade)
    with tempfile.TemporaryDirectory() as folder:
        overrides, full = Path(folder) / "overrides.txt", Path(folder) / "cluster.lock"
        overrides.write_text(WITHOUT_TORCH)
        words = ["--constraint", str(run), "--override", str(overrides), *upgrade]
        compile_lock(client, *words, source=("--group", "client"))
        full.write_text(run.read_text() + (cluster.read_text() if cluster.exists() else ""))
        compile_lock(full, "--extra", "cluster", "--constraint", str(run), *upgrade)
        base = set(entries(run.read_text()))
        cluster.write_text("".join(f"{one}\n" for one in entries(full.read_text()) if one not in base))


if __name__ == "__main__":
    main()
