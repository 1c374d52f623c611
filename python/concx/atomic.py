"""Values that threads change without a lock: one step each, whatever another thread does.

>>> hits = AtomicInt()
>>> hits.increment(), hits.add(10), hits.get_and_increment()
(1, 11, 11)
>>> hits.compare_and_set(12, 0), int(hits)
(True, 0)
"""

from concx._core import AtomicFlag, AtomicFloat, AtomicInt, AtomicRef, Counter

__all__ = ["AtomicFlag", "AtomicFloat", "AtomicInt", "AtomicRef", "Counter"]
