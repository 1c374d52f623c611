// SPDX-License-Identifier: MIT
/* tests/core/subject.h - the tests that ring, SPSC ring and stack have in common.
 *
 * A program names the structure that it is about, and includes this file after harness.h:
 *
 *     #define SUBJECT struct cx_ring
 *     #define subject_init cx_ring_init        // (subject, capacity); a stack ignores the capacity
 *     #define subject_fini cx_ring_fini
 *     #define subject_push cx_ring_try_push
 *     #define subject_pop cx_ring_try_pop
 *     #define subject_len cx_ring_len
 *     #define subject_close cx_ring_close
 *
 * and if it is bounded also SUBJECT_MAX, subject_item_ready and subject_room_ready.
 */
#ifndef CX_TESTS_SUBJECT_H
#define CX_TESTS_SUBJECT_H

static inline enum cx_status
push(SUBJECT *subject, uint64_t word)
{
    enum cx_status why = CX_OK;
    return subject_push(subject, &word, 1, &why) == 1 ? CX_OK : why;
}

static inline enum cx_status
pop(SUBJECT *subject, uint64_t *word)
{
    enum cx_status why = CX_OK;
    return subject_pop(subject, word, 1, &why) == 1 ? CX_OK : why;
}

#ifdef SUBJECT_MAX

static inline void
test_smoke(void)
{
    SUBJECT subject;
    uint64_t word = 0;
    CHECK_EQ(subject_init(&subject, 2), CX_OK);
    CHECK_EQ(pop(&subject, &word), CX_EMPTY);
    CHECK(!subject_item_ready(&subject));
    CHECK(subject_room_ready(&subject));
    CHECK_EQ(push(&subject, 7), CX_OK);
    CHECK_EQ(push(&subject, UINT64_MAX), CX_OK);
    CHECK_EQ(push(&subject, 9), CX_FULL);
    CHECK(subject_item_ready(&subject));
    CHECK(!subject_room_ready(&subject));
    CHECK_EQ(pop(&subject, &word), CX_OK);
    CHECK_EQ(word, 7);
    CHECK_EQ(pop(&subject, &word), CX_OK);
    CHECK(word == UINT64_MAX);
    CHECK_EQ(pop(&subject, &word), CX_EMPTY);
    subject_fini(&subject);
}

/* Exact whatever it is, in every lap, from every place in the storage. */
static inline void
test_capacity(void)
{
    SUBJECT subject;
    uint64_t word = 0;
    CHECK_EQ(subject_init(&subject, 0), CX_NOMEM);
    CHECK_EQ(subject_init(&subject, SUBJECT_MAX + 1), CX_NOMEM);
    for (uint64_t capacity = 1; capacity <= 9; capacity++) {
        uint64_t next_in = 0, next_out = 0;
        CHECK_EQ(subject_init(&subject, capacity), CX_OK);
        for (int lap = 0; lap < 40; lap++) {
            while (push(&subject, next_in) == CX_OK) {
                next_in++;
            }
            CHECK_EQ(next_in - next_out, capacity);
            CHECK_EQ(subject_len(&subject), capacity);
            for (uint64_t i = 0; i < 1 + (uint64_t)lap % capacity; i++) {
                CHECK_EQ(pop(&subject, &word), CX_OK);
                CHECK_EQ(word, next_out);
                next_out++;
            }
        }
        subject_fini(&subject);
    }
}

#endif

struct closing {
    SUBJECT subject;
    uint64_t pushed, popped;
};

/* Pushes race with the close; what was pushed comes out, and nothing after CX_CLOSED. */
static inline void
race_close(struct worker *self)
{
    struct closing *c = self->shared;
    uint64_t word = 1;
    enum cx_status status;
    if (self->id == 0) {
        for (uint32_t i = rng_below(&self->rng, 200); i > 0; i--) {
            cx_pause();
        }
        CHECK(subject_close(&c->subject));
    }
    else if (self->id == 1) {
        while ((status = push(&c->subject, 1)) != CX_CLOSED) {
            c->pushed += status == CX_OK;
        }
    }
    else {
        while ((status = pop(&c->subject, &word)) != CX_CLOSED) {
            c->popped += status == CX_OK;
        }
    }
}

static inline void
test_shutdown_race(void)
{
    for (int i = 0; i < 100; i++) {
        struct closing c = {.pushed = 0};
        CHECK_EQ(subject_init(&c.subject, 1 + (uint64_t)i % 4), CX_OK);
        run_threads(3, race_close, &c);
        CHECK_EQ(c.pushed, c.popped);
        CHECK_EQ(subject_len(&c.subject), 0);
        subject_fini(&c.subject);
    }
}

#endif
