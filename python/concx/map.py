"""A dictionary and a set that threads read without a lock, change at once, and walk while they change.

>>> counts = ConcurrentDict(apples=1)
>>> counts.add("apples", 2), counts.add("pears", 1)
(3, 1)
>>> counts.compute_if_absent("plums", list)
[]
>>> sorted(key for key in counts if counts.pop(key))
['apples', 'pears']
"""

from concx._core import MISSING
from concx._map_dict import ConcurrentDict
from concx._map_set import ConcurrentSet
from concx._map_stats import MapStats

__all__ = ["MISSING", "ConcurrentDict", "ConcurrentSet", "MapStats"]

for _class in (ConcurrentDict, ConcurrentSet, MapStats):
    _class.__module__ = __name__  # where pickle is to find it
