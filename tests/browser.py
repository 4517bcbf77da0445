"""A headless Chromium that speaks to nobody, for the tests that look at what is rendered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
#: every name resolves to nothing: what a page needs from elsewhere is missing
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND"
DARK = "--blink-settings=preferredColorScheme=0"


def dom(page: Path, *words: str) -> str:
    """What the browser made of a page, once its scripts have run; a skip where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    profile = f"--user-data-dir={page.parent / 'profile'}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", *QUIET, ALONE, profile, "--allow-file-access-from-files"]
    command = [chromium, *options, "--virtual-time-budget=20000", *words, "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
