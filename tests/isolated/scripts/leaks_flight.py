"""As leaks.py, for SingleFlight, loads and cached functions.

python leaks_flight.py OPERATIONS
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

from leaks import TOKEN, fails, report

from concx.cache import Cache, SingleFlight, cached


class Killed(BaseException): ...


def killed() -> Any:
    raise Killed


def dies(call: Callable[[], object]) -> None:
    try:
        call()
    except Killed:
        return
    raise AssertionError("not killed")


def flights(rounds: int) -> None:
    table = SingleFlight()
    for number in range(rounds // 10 + 1):
        key = (number, TOKEN)
        table.do(key, lambda: TOKEN)
        table.do(key, lambda: table.do(key, lambda: TOKEN))  # noqa: B023
        fails(ZeroDivisionError, lambda: table.do(key, lambda: 1 / 0))  # noqa: B023
        dies(lambda: table.do(key, killed))  # noqa: B023
        fails(TypeError, lambda: table.do([], int))
        table.do(key, lambda: table.forget(key))  # noqa: B023
        coroutine = table.do_async(key, lambda: asyncio.sleep(0, TOKEN))
        coroutine.send(None)
        coroutine.close()
        repr(table)
        table.stats()


def loads(rounds: int) -> None:
    cache: Cache[Any, Any] = Cache(16)
    for number in range(rounds // 10 + 1):
        key = (number % 50, "key")
        cache.get_or_load(key, lambda key: TOKEN)
        cache.get_or_load_async(key, lambda key: TOKEN).close()
        cache.get_or_load((1, key), lambda key: cache.clear())
        fails(ZeroDivisionError, lambda: cache.get_or_load((2, key), lambda key: 1 / 0))  # noqa: B023


class Own:
    @cached(4, per_instance=True)
    def method(self, x: Any) -> Any:
        return TOKEN

    @cached(4, per_instance=True)
    def itself(self) -> Any:
        return self


def functions(rounds: int) -> None:
    @cached(16, ignore=["z"], copy=lambda value: value)
    def plain(x: Any, y: Any = 0, z: Any = 0) -> Any:
        return [TOKEN] if x != -7 else 1 / 0

    @cached(16, ttl=60, refresh_after=0.00001, negative=KeyError, stale_if_error=1)
    def timed(x: Any) -> Any:
        if x % 3:
            raise KeyError(x)
        return [TOKEN]

    for number in range(rounds // 10 + 1):
        plain(number % 40)
        plain(number, y=TOKEN, z=[])
        plain.cache_put(TOKEN, (number, TOKEN))
        plain.cache_peek((number, TOKEN))
        plain.cache_contains(number, y=TOKEN)
        plain.cache_invalidate((number, TOKEN))
        plain.cache_refresh(number, y=TOKEN)
        fails(ZeroDivisionError, lambda: plain(-7))
        fails(TypeError, lambda: plain([]))
        own = Own()
        own.method(number)
        Own.method(own, number)
        own.method.cache_refresh(number)
        if number % 10 == 0:
            own.itself()
            cached(ttl=1)(lambda x: x)(1)
        try:
            timed(number % 30)
        except KeyError:
            pass


async def tasks(rounds: int) -> None:
    @cached(16, ttl=60)
    async def fn(x: Any) -> Any:
        await asyncio.sleep(0)
        if x % 5 == 4:
            raise KeyError(x)
        return [TOKEN]

    for number in range(rounds // 100 + 1):
        await asyncio.gather(*(fn(number) for _ in range(5)), return_exceptions=True)
        await fn(1)
        fn(1).close()
        task = asyncio.create_task(fn(-number))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


def main(operations: int) -> int:
    logging.getLogger("concx.cache").disabled = True
    cases: dict[str, Callable[[int], None]] = {
        "flights": flights,
        "loads": loads,
        "functions": functions,
        "tasks": lambda rounds: asyncio.run(tasks(rounds)),
    }
    return report(cases, operations)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
