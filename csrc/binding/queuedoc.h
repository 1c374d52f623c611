// SPDX-License-Identifier: MIT
/* binding/queuedoc.h - the docstrings of the queue family's methods.
 *
 * One text serves Queue, LifoQueue, PriorityQueue and SimpleQueue, so it names what differs.
 */
#ifndef CX_BINDING_QUEUEDOC_H
#define CX_BINDING_QUEUEDOC_H

#define WAITS                                                                                      \
    "timeout : float or datetime.timedelta, optional\n"                                            \
    "    Seconds to wait at most; None waits for ever, 0 not at all.\n"
#define SAFETY "Thread safety: atomic; any number of threads, tasks and signal handlers.\n"
#define CANCELS                                                                                    \
    "Cancelling the awaiting task undoes the call: a granted item goes back to where it came\n"    \
    "from, a granted slot is given up, and another waiter gets it.\n\n"

#define PUT_DOC                                                                                    \
    "put($self, /, item, block=True, timeout=None)\n--\n\n"                                        \
    "Put an item into the queue, waiting for room if it is full.\n\n"                              \
    "Parameters\n----------\nitem : object\nblock : bool\n"                                        \
    "    Whether to wait while the queue is full.\n" WAITS                                         \
    "\nRaises\n------\nqueue.Full\n    There was no room (in time).\n"                             \
    "ShutDown\n    The queue was shut down.\n"                                                     \
    "ValueError\n    The timeout is negative, or the item weighs more than max_weight.\n\n"        \
    "Notes\n-----\nA SimpleQueue is never full; it ignores block and timeout.\n\n" SAFETY

#define GET_DOC                                                                                    \
    "get($self, /, block=True, timeout=None)\n--\n\n"                                              \
    "Remove and return an item, waiting for one if the queue is empty.\n\n"                        \
    "Parameters\n----------\nblock : bool\n    Whether to wait while the queue is empty.\n" WAITS  \
    "\nReturns\n-------\nobject\n    The oldest item; the newest of a LifoQueue; the least of\n"   \
    "    a PriorityQueue, where equal items leave in the order of heapq.\n"                        \
    "\nRaises\n------\nqueue.Empty\n    There was no item (in time).\n"                            \
    "ShutDown\n    The queue was shut down and is empty.\n"                                        \
    "ValueError\n    The timeout is negative.\n\n" SAFETY

#define PUT_NOWAIT_DOC                                                                             \
    "put_nowait($self, /, item)\n--\n\n"                                                           \
    "Put an item into the queue without waiting: put(item, block=False).\n"

#define GET_NOWAIT_DOC                                                                             \
    "get_nowait($self, /)\n--\n\n"                                                                 \
    "Remove and return an item without waiting: get(block=False).\n"

#define PUT_ASYNC_DOC                                                                              \
    "put_async($self, /, item, block=True, timeout=None)\n--\n\n"                                  \
    "Coroutine: put an item into the queue, waiting for room if it is full.\n\n"                   \
    "Arguments and exceptions are those of put().  The task is granted a slot and fills it\n"      \
    "when it resumes.  " CANCELS SAFETY

#define GET_ASYNC_DOC                                                                              \
    "get_async($self, /, block=True, timeout=None)\n--\n\n"                                        \
    "Coroutine: remove and return an item, waiting for one if the queue is empty.\n\n"             \
    "Arguments and exceptions are those of get().  " CANCELS SAFETY

#define PUT_MANY_DOC                                                                               \
    "put_many($self, /, items, block=True, timeout=None)\n--\n\n"                                  \
    "Put items in order and return how many went in.\n\n"                                          \
    "Parameters\n----------\nitems : iterable\nblock : bool\n"                                     \
    "    Whether to wait for room; otherwise what fits goes in.\n" WAITS                           \
    "\nReturns\n-------\nint\n    The first that many of the items are in; fewer than all if\n"    \
    "    there was no room in time or the queue was shut down meanwhile.\n"                        \
    "\nRaises\n------\nShutDown\n    The queue was shut down and nothing went in.\n\n"             \
    "Other threads' items may come between those of one call.\n\n" SAFETY

#define GET_MANY_DOC                                                                               \
    "get_many($self, /, max_items, block=True, timeout=None)\n--\n\n"                              \
    "Wait for the first item, then take what is there, at most max_items.\n\n"                     \
    "Parameters\n----------\nmax_items : int\nblock : bool\n"                                      \
    "    Whether to wait for the first item.\n" WAITS                                              \
    "\nReturns\n-------\nlist\n    1 to max_items items in the order of get().\n"                  \
    "\nRaises\n------\nqueue.Empty\n    There was no item (in time).\n"                            \
    "ShutDown\n    The queue was shut down and is empty.\n"                                        \
    "ValueError\n    max_items or the timeout is negative.\n\n" SAFETY

#define PUT_MANY_ASYNC_DOC                                                                         \
    "put_many_async($self, /, items, block=True, timeout=None)\n--\n\n"                            \
    "Coroutine: put items in order and return how many went in; see put_many().\n\n"               \
    "Items that are in stay in when the task is cancelled.\n\n" SAFETY

#define GET_MANY_ASYNC_DOC                                                                         \
    "get_many_async($self, /, max_items, block=True, timeout=None)\n--\n\n"                        \
    "Coroutine: wait for the first item, then take what is there; see get_many().\n\n" CANCELS     \
        SAFETY

#define QSIZE_DOC                                                                                  \
    "qsize($self, /)\n--\n\n"                                                                      \
    "Return the number of items in the queue at this instant.\n"

#define EMPTY_DOC                                                                                  \
    "empty($self, /)\n--\n\n"                                                                      \
    "Return whether the queue is empty at this instant.\n"

#define FULL_DOC                                                                                   \
    "full($self, /)\n--\n\n"                                                                       \
    "Return whether the queue holds maxsize items at this instant.\n"

#define PEEK_DOC                                                                                   \
    "peek($self, /)\n--\n\n"                                                                       \
    "Return the item that get() would return, and leave it in the queue.\n\n"                      \
    "Raises\n------\nqueue.Empty\n    There is no item.\n"                                         \
    "ShutDown\n    The queue was shut down and is empty.\n\n" SAFETY

#define CLEAR_DOC                                                                                  \
    "clear($self, /)\n--\n\n"                                                                      \
    "Remove all items and return how many there were; each counts as done.\n\n" SAFETY

#define CONSUME_DOC                                                                                \
    "consume($self, /)\n--\n\n"                                                                    \
    "Return an iterator, sync and async, that takes items until shutdown().\n\n"                   \
    "Several consumers share the items; each item goes to one of them.\n"

#define TASK_DONE_DOC                                                                              \
    "task_done($self, /)\n--\n\n"                                                                  \
    "Say that an item that was taken has been dealt with.\n\n"                                     \
    "Raises\n------\nValueError\n    It was called more often than items were put.\n\n" SAFETY

#define JOIN_DOC                                                                                   \
    "join($self, /)\n--\n\n"                                                                       \
    "Wait until every item that was put has been marked by task_done().\n\n" SAFETY

#define JOIN_ASYNC_DOC                                                                             \
    "join_async($self, /, timeout=None)\n--\n\n"                                                   \
    "Coroutine: wait until every item has been marked by task_done().\n\n"                         \
    "Parameters\n----------\n" WAITS "\nRaises\n------\nTimeoutError\n    The time was up.\n"

#define SHUTDOWN_DOC                                                                               \
    "shutdown($self, /, immediate=False)\n--\n\n"                                                  \
    "Shut the queue down: puts raise ShutDown, gets do so once it is empty.\n\n"                   \
    "Parameters\n----------\nimmediate : bool\n"                                                   \
    "    Also drop what is in the queue; each dropped item counts as done.\n\n" SAFETY

#define STATS_DOC                                                                                  \
    "stats($self, /)\n--\n\n"                                                                      \
    "Return a QueueStats: what happened so far and who waits at this instant.\n"

#endif
