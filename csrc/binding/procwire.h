// SPDX-License-Identifier: MIT
/* binding/procwire.h - what the messages between a pool and a worker mean.
 *
 * A task or result is one message.  With CXB_PIECES it is the beginning only, as concx/_payload.py
 * packs it, and the bulk crosses in pieces (core/workpieces.h) under its id:
 *
 *   tasks    nothing of the bulk is sent before the worker has begun the task, so that what can be
 *            taken back is one message.  The worker asks with CXB_RESULT_WANT; the pool takes back all
 *            other tasks that it has put, and puts none before the last piece: the pieces are the
 *            next that the worker finds.  If it answers before it has them all, no more are put, and
 *            it passes those that were.
 *   results  the pieces follow; nothing of another task is between them.  The result is there with
 *            the last one; a worker that dies before has not done its task.
 *
 * So pieces of two tasks are never under way in one lane at a time, and a task that is tried again
 * begins with its first piece, in another lane.
 */
#ifndef CX_BINDING_PROCWIRE_H
#define CX_BINDING_PROCWIRE_H

#include "core/workpieces.h"

/* (fn, *args); (names, fn, *args); a piece of either. */
enum cxb_task_kind { CXB_TASK_CALL = 1, CXB_TASK_NAMED, CXB_TASK_PIECE };

#define CXB_TASK_TIMED 1 /* flag: the worker says when it begins */
#define CXB_TASK_KEPT 2  /* flag: what it lent stays lent, for another try */
#define CXB_PARCEL 4     /* flag, of results too: it lent blocks (concx/futures/_mail.py) */
#define CXB_PLAIN 8      /* flag, of results: reading it runs no Python code */
#define CXB_PIECES 16    /* flag, of a parcel: its bulk follows, so many bytes << CXB_BULK */
#define CXB_BULK 8

enum cxb_result_kind {
    CXB_RESULT_VALUE = 1,
    CXB_RESULT_NONE,
    CXB_RESULT_ERROR,       /* a pickled exception */
    CXB_RESULT_UNREADABLE,  /* likewise: the task could not be unpickled */
    CXB_RESULT_UNREACHABLE, /* the worker has not got the memory that the task lies in */
    CXB_RESULT_LOG,         /* a pickled log record; of no task */
    CXB_RESULT_MAIL,        /* the worker has sent something beside the lane; of no task */
    CXB_RESULT_WANT,        /* the task has begun: its pieces may come */
    CXB_RESULT_PIECE
};

#endif
