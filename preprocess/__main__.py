"""Entry of ``python -m preprocess``."""

import sys

if __name__ == "__main__":  # a spawned worker imports this module too
    try:
        from preprocess.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # Ctrl-C reaches every process of a run; what was half made has no final name
        sys.exit(130)
