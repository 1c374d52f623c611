"""Uses the queues in interpreters with a GIL of their own, one after the other and at once.

Exit status 77: this interpreter's build cannot make any.
"""

from __future__ import annotations

import sys
import threading
import warnings

warnings.simplefilter("ignore")

try:
    import _interpreters
except ImportError:
    try:
        import _xxsubinterpreters as _interpreters
    except ImportError:
        sys.exit(77)

CODE = """
import sys
sys.path[:] = {path!r}
import concx.queue as queue
import threading, asyncio
q = queue.Queue(2)
try:
    threads = [threading.Thread(target=lambda: [q.put(i) for i in range(100)]) for _ in range(2)]
    for t in threads: t.start()
    got = [q.get(timeout=20) for _ in range(200)]
    for t in threads: t.join()
    assert sorted(got) == sorted(list(range(100)) * 2)
except RuntimeError as error:  # interpreters that may not start threads
    assert "thread" in str(error), error
async def main():
    task = asyncio.create_task(q.get_async())
    await asyncio.sleep(0)
    q.put(5)
    assert await task == 5
asyncio.run(main())
try:
    q.get_nowait()
except queue.Empty:
    pass
heap = queue.PriorityQueue()
heap.put_many([3, 1, 2])
assert heap.get_many(5) == [1, 2, 3]
with heap.mutex:
    heap.queue.append(4)
assert heap.get() == 4
assert issubclass(queue.Queue, __import__("queue").Queue)
from concx.futures import ThreadPoolExecutor
try:
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(abs, range(-50, 0))) == list(range(50, 0, -1))
        async def awaits():
            return [await pool.submit(abs, -n) for n in range(20)]
        assert asyncio.run(awaits()) == list(range(20))
        assert pool.submit(lambda: pool.submit(abs, -3).result()).result() == 3
except RuntimeError as error:  # as above
    assert "thread" in str(error), error
from concx import _core
assert not hasattr(_core, "_C_API"), "native threads know the main interpreter alone"
"""


def run_once() -> str | None:
    create = _interpreters.create
    interpreter = create()
    try:
        code = CODE.format(path=sys.path)
        if hasattr(_interpreters, "exec"):
            failure = _interpreters.exec(interpreter, code)
        else:
            failure = _interpreters.run_string(interpreter, code)
        return str(failure) if failure else None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        _interpreters.destroy(interpreter)


import concx.queue  # noqa: E402  (the main interpreter has it too)

q = concx.queue.Queue()
q.put(1)
failures = [run_once() for _ in range(3)]
refusals = [f for f in failures if f and "does not support loading in subinterpreters" in f]
if refusals:
    print("refused with a clear error:", refusals[0])
    sys.exit(78)
results: list[str | None] = []
threads = [threading.Thread(target=lambda: results.append(run_once())) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
bad = [failure for failure in failures + results if failure]
for failure in bad:
    print(failure)
assert q.get() == 1
assert len(results) == 3
sys.exit(1 if bad else 0)
