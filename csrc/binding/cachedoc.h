// SPDX-License-Identifier: MIT
/* binding/cachedoc.h - the docstrings of Cache; binding/cache.c alone includes it. */
#ifndef CX_BINDING_CACHEDOC_H
#define CX_BINDING_CACHEDOC_H

#include "binding/compat.h"

PyDoc_STRVAR(cache_doc, "\
Cache(maxsize, *, policy='s3fifo', ttl=None, tti=None, jitter=0.0, weigher=None, max_weight=None,\n\
      timer=time.monotonic, on_evict=None, shared=False, items=(), expire_every=None)\n--\n\n\
A bounded dict that forgets by use, age and weight.\n\
\n\
Parameters\n\
----------\n\
maxsize : int or None\n\
    The most entries. None: no bound but `max_weight` and time. 0 stores nothing.\n\
policy : str, default 's3fifo'\n\
    Which entry goes when the cache is full: 's3fifo', 'lru', 'tinylfu', 'sieve', 'lfu' or 'fifo'.\n\
ttl, tti : float or timedelta, optional\n\
    Seconds after which an entry expires: since it was stored; since it was last used.\n\
jitter : float, default 0.0\n\
    Every ttl is made longer or shorter by up to this share, at random, so that entries that were\n\
    stored together do not expire together.\n\
weigher : callable, optional\n\
    ``weigher(key, value)``, an int: what an entry weighs; 1 without it. What weighs 0 is pinned: it\n\
    goes by time or when it is removed, never for its size.\n\
max_weight : int, optional\n\
    The most that all entries may weigh. What weighs more by itself is refused, and counted in\n\
    ``stats().refused``.\n\
timer : callable, default time.monotonic\n\
    The clock, in seconds.\n\
on_evict : callable, optional\n\
    ``on_evict(key, value, cause)`` for every value that leaves, after it has left and outside of all\n\
    locks; cause is 'size', 'expired', 'replaced', 'explicit' or 'cleared'. What it raises goes to\n\
    `sys.unraisablehook`.\n\
shared : bool, default False\n\
    For a cache that threads of a free-threaded build use all the time: its references are not counted.\n\
    On 3.13 it is never freed then. Without effect where there is a GIL.\n\
items : mapping or iterable of pairs, optional\n\
    What to store first.\n\
expire_every : float or timedelta, optional\n\
    Seconds after which a thread of concx's calls `expire`, again and again: one thread for all caches\n\
    of the process. Without it no thread is started, and what has expired leaves with later calls.\n\
\n\
Raises\n\
------\n\
ValueError\n\
    A negative bound, a ttl or tti that is not more than 0, a jitter outside [0, 1), an unknown policy.\n\
\n\
Notes\n\
-----\n\
A MutableMapping: a missing key raises KeyError, None is a value like any other, iteration never fails\n\
because the cache changes meanwhile. ``len()`` counts what has expired and was not yet removed; no\n\
method ever returns it.\n\
\n\
Thread safety: every method is atomic, but those that call your code, `update`, `set_many`,\n\
`get_many` and `invalidate_if` are so for each entry.");

PyDoc_STRVAR(get_doc, "get($self, /, key, default=None)\n--\n\n\
The value, or `default`; a use.");
PyDoc_STRVAR(set_doc,
             "set($self, /, key, value, *, ttl=None, tti=None, weight=None, tags=())\n--\n\n\
Store a value with a ttl, tti, weight and tags of its own; tell whether it was.\n\
\n\
``float('inf')`` is no ttl, or no tti, where the cache has one. False: it is too heavy, or the cache is\n\
full of pinned entries; what the key had before is gone then. `tags` are str, for\n\
`invalidate_tag`; a value that takes the place of another takes none of its tags over.");
PyDoc_STRVAR(peek_doc, "peek($self, /, key, default=None)\n--\n\n\
The value, or `default`, without a use and not counted.");
PyDoc_STRVAR(touch_doc, "touch($self, /, key, *, ttl=None, tti=None)\n--\n\n\
Begin an entry's time anew, or give it another; a use. False: there is no such key.");
PyDoc_STRVAR(ttl_doc, "ttl($self, key, /)\n--\n\n\
Seconds until the entry expires if it is not used; None: it does not. KeyError for a missing key.");
PyDoc_STRVAR(pop_doc, "pop($self, /, key, default=<unrepresentable>)\n--\n\n\
Remove a key and return its value, or `default`; KeyError without it.");
PyDoc_STRVAR(popitem_doc, "popitem($self, /)\n--\n\n\
Remove and return the pair that `coldest` names first; KeyError if the cache is empty.");
PyDoc_STRVAR(setdefault_doc, "setdefault($self, /, key, default=None)\n--\n\n\
The value; `default`, stored, if there is none. One step.");
PyDoc_STRVAR(compute_doc, "compute($self, /, key, fn, default=None)\n--\n\n\
Replace the value by ``fn(value)``, and store ``fn(default)`` for a missing key; return the new one.\n\
\n\
`fn` runs outside of all locks, and again if another thread has changed the entry meanwhile, so it must\n\
have no other effect.");
PyDoc_STRVAR(get_or_load_doc, "get_or_load($self, /, key, loader, *, timeout=None)\n--\n\n\
The value; if there is none, what ``loader(key)`` returns, which is kept. A use.\n\
\n\
One call for a key, however many threads and tasks ask; the others wait for it. Its Exception reaches\n\
all of them and nothing is kept; if it is killed, one of those who wait calls. Who is inside the load of\n\
a key, or whose wait would close a circle of loads, calls `loader` at once and keeps nothing. A key that\n\
is removed or set while it is loaded is not kept. `timeout`, in seconds, bounds the wait for the call of\n\
another, and raises TimeoutError; that call goes on.");
PyDoc_STRVAR(get_or_load_async_doc,
             "get_or_load_async($self, /, key, loader, *, timeout=None)\n--\n\n\
`get_or_load` for tasks: ``await loader(key)``. Tasks of any loops share one call.");
PyDoc_STRVAR(get_many_doc, "get_many($self, keys, /)\n--\n\n\
A dict of those keys that are there; each a use.");
PyDoc_STRVAR(set_many_doc, "set_many($self, /, items, *, ttl=None, tti=None)\n--\n\n\
Store a mapping or pairs.");
PyDoc_STRVAR(update_doc, "update($self, items=(), /, **kwargs)\n--\n\n\
Store a mapping or pairs, and the keyword arguments.");
PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nRemove everything, in one step.");
PyDoc_STRVAR(coldest_doc, "coldest($self, n, /)\n--\n\n\
A list of up to `n` pairs, those first that would go first if nothing were used any more.\n\
\n\
Exact for 'lru' and 'fifo', a good guess for the others. Pinned entries are not in it.");
PyDoc_STRVAR(hottest_doc, "hottest($self, n, /)\n--\n\n\
A list of up to `n` pairs, those first that `coldest` would name last.");
PyDoc_STRVAR(invalidate_if_doc, "invalidate_if($self, predicate, /)\n--\n\n\
Remove every entry for which ``predicate(key, value)`` is true; return how many.");
PyDoc_STRVAR(invalidate_tag_doc, "invalidate_tag($self, tag, /)\n--\n\n\
Remove every entry that was stored with that tag; return how many.");
PyDoc_STRVAR(expire_doc, "expire($self, /, limit=None)\n--\n\n\
Remove what has expired; return how many entries.\n\
\n\
At most `limit` entries are looked at, which bounds how long the call takes; the next goes on.");
PyDoc_STRVAR(resize_doc,
             "resize($self, /, maxsize=<unrepresentable>, max_weight=<unrepresentable>)\n\
--\n\nSet other bounds, and evict down to them.");
PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\nA `CacheStats`.");
PyDoc_STRVAR(keys_doc, "keys($self, /)\n--\n\nA view of the keys.");
PyDoc_STRVAR(values_doc, "values($self, /)\n--\n\nA view of the values.");
PyDoc_STRVAR(items_doc, "items($self, /)\n--\n\nA view of the pairs.");

#endif
