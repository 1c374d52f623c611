"""``python -m concx``: the command line, see :mod:`concx.cli`."""

import signal
import sys


def _run() -> int:
    try:
        from concx.cli import main

        status = main()
        # The work is done and printed: a late Ctrl-C must not turn into a traceback while the interpreter shuts down.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        print("concx: interrupted", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(_run())
