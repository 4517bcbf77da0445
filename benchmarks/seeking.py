"""What seek points save in a large tar.gz: `python -m benchmarks.seeking --gigabytes 2`.

An archive of PNGs of 1024x1024, as those of ChestX-ray14, is listed (which reads all of it), its last quarter is read
as a shard does that begins there, and 20 members spread over it are read as the check does: each without a memory of
the archive and with one, one after the other. CPU seconds; the ratio is that with a memory over that without.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import made
from benchmarks.render import cpu
from preprocess.reading import seeking
from preprocess.reading.archives import Raw

NAME = "images_01.tar.gz"
#: different pictures; they come again further on than deflate looks back
PICTURES = 40


def write(folder: Path, size: int) -> int:
    """Write an archive of about ``size`` bytes; return how many members it has."""
    folder.mkdir()
    bodies = [made.encoded(made.picture(number, 1024, 1024, 1)[..., 0], "PNG") for number in range(PICTURES)]
    count = total = 0
    with tarfile.open(folder / NAME, "w:gz", compresslevel=1) as archive:
        while total < size:
            body = bodies[count % PICTURES]
            info = tarfile.TarInfo(f"images/{count:08}_000.png")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
            count, total = count + 1, total + len(body)
    return count


def read(folder: Path, members: range) -> None:
    """Read some members, as a job does."""
    with Raw(folder) as raw:
        for number in members:
            raw.read(f"{NAME}!/images/{number:08}_000.png")


def listed(folder: Path) -> None:
    """List the archive, which checks all of it."""
    with Raw(folder) as raw:
        raw.files()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary folder if left out")
    options = parser.parse_args()
    seeking.MIN_PACKED = 0  # small ones too
    with tempfile.TemporaryDirectory(dir=options.folder) as text:
        folder, memory = Path(text) / "raw", Path(text) / "memory"
        count = write(folder, int(options.gigabytes * 1e9))
        works: dict[str, Callable[[], None]] = {
            "list and check the whole archive": lambda: listed(folder),
            "a shard: its last quarter": lambda: read(folder, range(count * 3 // 4, count)),
            "20 members of all": lambda: read(folder, range(count // 40, count, count // 20)),
        }
        print("| work | without: CPU s | with seek points: CPU s | ratio |\n|---|---|---|---|")
        for name, work in works.items():
            without = cpu(work)
            with seeking.remembered(memory):
                points = cpu(work)
            print(f"| {name} | {without:.2f} | {points:.2f} | {points / without:.2f} |", flush=True)
        kept = next(path for path in memory.rglob("*") if path.is_file())
        print(f"\n{count:,} members, {(folder / NAME).stat().st_size / 1e9:.2f} GB; the memory takes "
              f"{kept.stat().st_size / 1e6:.1f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
