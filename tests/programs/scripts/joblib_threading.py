"""joblib: its threading backend."""

from __future__ import annotations

import math

from joblib import Parallel, delayed

with Parallel(n_jobs=3, backend="threading") as parallel:
    assert parallel(delayed(math.sqrt)(i * i) for i in range(500)) == [*range(500)]
    try:
        parallel(delayed(divmod)(1, i) for i in range(3))
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("no ZeroDivisionError")

nested = Parallel(n_jobs=2, backend="threading")(
    delayed(
        lambda k: sum(Parallel(n_jobs=2, backend="threading")(delayed(abs)(-i) for i in range(k)))
    )(k)
    for k in range(10)
)
assert nested == [sum(range(k)) for k in range(10)]

generated = Parallel(n_jobs=2, backend="threading", return_as="generator")(
    delayed(pow)(2, i) for i in range(64)
)
assert [*generated] == [2**i for i in range(64)]
print("ok")
