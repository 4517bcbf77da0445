"""Entry of ``python -m preprocess``."""

import atexit
import gc
import os
import sys
import threading
from typing import NoReturn

#: objects that are made before Python looks for circles among them: with its own 700 a small job mostly looks
CIRCLES = 10_000


def _end(code: int) -> NoReturn:
    """End this process without taking down all that it loaded: that takes as long as a small job.

    What was written is closed and has its name by now. Where a thread is still at work, or the other end of a pipe is
    gone, Python ends as ever.
    """
    try:
        if threading.active_count() == 1:
            atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # closed by who started it
                    stream.flush()
            os._exit(code)
    except (OSError, ValueError):
        pass
    sys.exit(code)


if __name__ == "__main__":  # a spawned worker imports this module too
    gc.set_threshold(CIRCLES)
    try:
        from preprocess.cli import main

        _end(main())
    except KeyboardInterrupt:  # Ctrl-C reaches every process of a run; what was half made has no final name
        sys.exit(130)
