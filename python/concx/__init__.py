"""Concurrency tools for CPython with a C core and the standard library's interfaces.

Import the module you need: ``from concx.queue import Queue``. This package itself imports nothing
else, starts no thread, reads no environment variable and patches nothing.
"""

import os

__all__ = ["__version__", "get_include"]

__version__ = "0.1.0"


def get_include() -> str:
    """Return the folder of ``concx.h``, for extensions that push into concx queues from C.

    Returns
    -------
    str
        An absolute path, to be given to the C compiler as an include folder.

    Notes
    -----
    Thread safety: reentrant.
    """
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")
