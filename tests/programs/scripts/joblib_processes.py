"""joblib on concx's pool of processes."""

from __future__ import annotations

import math
import os

from joblib import Parallel, delayed, parallel_config

import concx.contrib.joblib

assert concx.contrib.joblib.ConcxBackend.uses_threads is False


def pids(_: int) -> int:
    return os.getpid()


def main() -> None:
    with parallel_config("concx", n_jobs=2):
        with Parallel() as parallel:
            assert parallel(delayed(math.sqrt)(i * i) for i in range(500)) == [*range(500)]
            assert os.getpid() not in parallel(delayed(pids)(i) for i in range(20))
            try:
                parallel(delayed(divmod)(1, i) for i in range(3))
            except ZeroDivisionError:
                pass
            else:
                raise AssertionError("no ZeroDivisionError")
            assert parallel(delayed(abs)(-i) for i in range(9)) == [*range(9)]
        assert Parallel()(delayed(lambda k: k + 1)(k) for k in range(5)) == [1, 2, 3, 4, 5]
        generated = Parallel(return_as="generator")(delayed(pow)(2, i) for i in range(64))
        assert [*generated] == [2**i for i in range(64)]
    assert Parallel(n_jobs=1, backend="concx")(delayed(abs)(-i) for i in range(3)) == [0, 1, 2]
    print("ok")


if __name__ == "__main__":
    main()
