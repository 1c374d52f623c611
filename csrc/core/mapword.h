// SPDX-License-Identifier: MIT
/* core/mapword.h - values of a map that change without its guard: counters.
 *
 * A value with its lowest bit set is a word: no object, owned by nobody, never given to a hook.  In a
 * section it may be exchanged for another word in place.  So under the guard, too, a word only changes by compare and exchange,
 * while an object stays what it is; and a node that is removed loses its value first, so that no word
 * is exchanged in a node that nobody finds any more.
 *
 * A snapshot is an instant, so words stand still for it: it says so, and waits until those who may not
 * have heard are out of their sections.  Where a stripe never had a word it does not wait: whoever puts
 * in the first one says so, then looks.
 *
 *               swap     replace, remove   snapshot
 *   swap         CAS          CAS          [1] release/acquire of the word, then a fence against a fence:
 *   snapshot     RCU         guard             the word is seen by one, or the snapshot by the other
 */
#ifndef CX_CORE_MAPWORD_H
#define CX_CORE_MAPWORD_H

#include "core/mapstripe.h"

/* Inside a section: the word `*there` of a node becomes `word`.  False: it was another value by then,
 * which *there is now; or a snapshot is being taken, and *there is NULL: come under the guard. */
CX_NODISCARD static inline bool
cx_map_swap(const struct cx_map *m, struct cx_map_node *node, void **there, void *word)
{
#if CX_WITH_GIL
    (void)m, (void)there;
    cx_store_relaxed(&node->value, word);
    return true;
#else
    if (CX_UNLIKELY(!CX_BUG(MAP_SWAPS_ON) && cx_load_acquire(&m->snapshots) > 0)) { /* [1] */
        *there = NULL;
        return false;
    }
    return cx_cas_acq_rel(&node->value, there, word); /* LP */
#endif
}

/* Under the guard: the value `there` becomes `value`, NULL for none.  False: it was a word, and has been
 * exchanged. */
CX_NODISCARD static inline bool
cx_map_put(struct cx_map_node *node, void *there, void *value)
{
    if (CX_WITH_GIL || CX_BUG(MAP_STORES_WORDS) || CX_LIKELY(!cx_map_is_word(there))) {
        cx_store_release(&node->value, value); /* LP */
        return true;
    }
    return cx_cas_acq_rel(&node->value, &there, value); /* LP */
}

/* Under the guard, before a word is put in where none was. */
static inline void
cx_map_announce_word(struct cx_map_stripe *s)
{
#if !CX_WITH_GIL
    if (CX_UNLIKELY(!s->has_words && !CX_BUG(MAP_WORDS_UNSAID))) {
        cx_store_relaxed(&s->has_words, true);
        cx_fence_seq_cst(); /* [1] pairs with hold_words in map.c */
    }
#else
    (void)s;
#endif
}

#endif
