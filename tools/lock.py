"""Write the lock files from pyproject.toml: `python tools/lock.py [--upgrade]`; needs the command uv.

Pins that still fit are kept unless ``--upgrade`` is given. ``requirements-cluster.lock`` holds only what the
executor plugins add to ``requirements.lock``, so that it installs on top of it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet")


def compile_lock(out: Path, *options: str) -> None:
    """Resolve the project's dependencies for all its Pythons and platforms into ``out``."""
    subprocess.run(["uv", "pip", "compile", *OPTIONS, *options, "-o", out, "pyproject.toml"], cwd=ROOT, check=True)


def entries(text: str) -> list[str]:
    """The packages of a lock file, each with its hashes."""
    return re.split(r"\n(?=\S)", text.strip()) if text.strip() else []


def main() -> None:
    """Write all three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="to the newest versions pyproject.toml allows")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    run, dev, cluster = (ROOT / f"requirements{kind}.lock" for kind in ("", "-dev", "-cluster"))
    compile_lock(run, *upgrade)
    compile_lock(dev, "--extra", "dev", "--constraint", str(run), *upgrade)
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "cluster.lock"
        full.write_text(run.read_text() + (cluster.read_text() if cluster.exists() else ""))
        compile_lock(full, "--extra", "cluster", "--constraint", str(run), *upgrade)
        base = set(entries(run.read_text()))
        cluster.write_text("".join(f"{one}\n" for one in entries(full.read_text()) if one not in base))


if __name__ == "__main__":
    main()
