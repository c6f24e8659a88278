/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers of one lcore: a hierarchical wheel, 9 levels of 64 slots.
 *
 * Time is cut into ticks of 1024 ns, and a tick into digits of 6 bits. A timer
 * is linked in the level of the highest digit in which its tick differs from
 * the wheel's, in the slot of that digit. So all timers of a level come before
 * those of the levels above, and the lowest bit of the lowest level's bitmap is
 * the next slot to look at, however far away: nothing walks over empty ticks.
 *
 * Invariant: outside of a run, no slot that is linked starts before the wheel's
 * tick, and only level 0 has one that starts at it. The wheel's tick therefore
 * moves only to the start of the next slot, whose timers are then taken out and
 * expire or are linked again, or past all that is due.
 *
 * A timer that is armed for a later time stays where it is (due_ns) and moves
 * when its slot is reached.
 */
#include <string.h>

#include <rte_common.h>

#include "phca_loop.h"

#define TICK_SHIFT 10
#define DIGIT_BITS 6
#define DIGIT_MASK (PHCA_TIMERS_SLOTS - 1)
#define NB_SLOTS (PHCA_TIMERS_LEVELS * PHCA_TIMERS_SLOTS)
/* Behind the slots, two lists that are no slots. */
#define WORK NB_SLOTS       /* taken out of a slot by a run, not looked at yet */
#define LATE (NB_SLOTS + 1) /* armed during a run for a time that is over: for the next run */

_Static_assert(PHCA_TIMERS_SLOTS == 1 << DIGIT_BITS && PHCA_TIMERS_SLOTS == 64, "a bitmap is 64 bits");
_Static_assert(TICK_SHIFT + DIGIT_BITS * PHCA_TIMERS_LEVELS == 64, "the levels hold any time");
_Static_assert(RTE_DIM(((struct phca_timers *)0)->slots) == LATE + 1, "slots and two lists");

static inline uint64_t tick_of(uint64_t ns)
{
	return ns >> TICK_SHIFT;
}

static void link_in(struct phca_timers *w, unsigned int slot, struct phca_timer *t)
{
	struct phca_timer **head = &w->slots[slot];

	t->next = *head;
	t->pprev = head;
	if (t->next != NULL)
		t->next->pprev = &t->next;
	*head = t;
}

/* The bitmaps follow when the last timer of a slot goes. */
static void slot_emptied(struct phca_timers *w, unsigned int slot)
{
	unsigned int level = slot / PHCA_TIMERS_SLOTS;

	if (slot >= NB_SLOTS)
		return;
	w->bits[level] &= ~(UINT64_C(1) << (slot & DIGIT_MASK));
	if (w->bits[level] == 0)
		w->levels &= (uint16_t)~(1u << level);
}

static void unlink_from(struct phca_timers *w, struct phca_timer *t)
{
	uintptr_t offset = (uintptr_t)t->pprev - (uintptr_t)w->slots;

	*t->pprev = t->next;
	if (t->next != NULL)
		t->next->pprev = t->pprev;
	else if (offset < sizeof(w->slots)) /* it was the first too */
		slot_emptied(w, (unsigned int)(offset / sizeof(w->slots[0])));
	t->pprev = NULL;
}

/* Link into the slot of its time; what is over counts as the wheel's tick. */
static void place(struct phca_timers *w, struct phca_timer *t)
{
	uint64_t tick = RTE_MAX(tick_of(t->at_ns), w->tick), differs = tick ^ w->tick;
	unsigned int level, digit;

	level = differs == 0 ? 0 : (63 - (unsigned int)__builtin_clzll(differs)) / DIGIT_BITS;
	digit = tick >> (level * DIGIT_BITS) & DIGIT_MASK;
	t->due_ns = t->at_ns;
	link_in(w, level * PHCA_TIMERS_SLOTS + digit, t);
	w->bits[level] |= UINT64_C(1) << digit;
	w->levels |= (uint16_t)(1u << level);
	w->next_ns = RTE_MIN(w->next_ns, t->at_ns);
}

/* The next slot that is not empty, and the tick at which it starts. @return false: all are */
static bool next_slot(const struct phca_timers *w, unsigned int *slot, uint64_t *tick)
{
	unsigned int level, digit, shift;

	if (w->levels == 0)
		return false;
	level = (unsigned int)__builtin_ctz(w->levels);
	digit = (unsigned int)__builtin_ctzll(w->bits[level]);
	shift = level * DIGIT_BITS;
	*slot = level * PHCA_TIMERS_SLOTS + digit;
	*tick = ((w->tick >> shift & ~(uint64_t)DIGIT_MASK) | digit) << shift;
	return true;
}

static void slot_take(struct phca_timers *w, unsigned int slot)
{
	struct phca_timer *first = w->slots[slot];

	w->slots[slot] = NULL;
	slot_emptied(w, slot);
	w->slots[WORK] = first;
	first->pprev = &w->slots[WORK];
}

/* Expire what is due of the slot that was taken, link again what is not. */
static unsigned int work(struct phca_timers *w, uint64_t now_ns, phca_timer_fn fn, void *arg,
		unsigned int *budget)
{
	struct phca_timer *t;
	unsigned int n = 0;

	while (*budget > 0 && (t = w->slots[WORK]) != NULL) {
		--*budget;
		unlink_from(w, t);
		if (t->at_ns > now_ns || tick_of(t->at_ns) > w->tick) {
			place(w, t);
			continue;
		}
		fn(arg, t);
		n++;
	}
	return n;
}

/* After a run: when the next one has something to do. */
static void run_end(struct phca_timers *w, uint64_t now_ns)
{
	unsigned int slot;
	uint64_t tick;

	w->running = false;
	if (w->slots[WORK] == NULL)
		w->tick = RTE_MAX(w->tick, tick_of(now_ns));
	while (w->slots[LATE] != NULL) {
		struct phca_timer *t = w->slots[LATE];

		unlink_from(w, t);
		place(w, t);
	}
	/*
	 * Of a slot that starts now, place() has seen all timers in this run and
	 * next_ns is their first. Any other slot is not looked into.
	 */
	if (w->slots[WORK] != NULL)
		w->next_ns = RTE_MIN(w->next_ns, now_ns);
	else if (next_slot(w, &slot, &tick) && tick > tick_of(now_ns))
		w->next_ns = tick << TICK_SHIFT;
}

void phca_timers_init(struct phca_timers *w, uint64_t now_ns)
{
	memset(w, 0, sizeof(*w));
	w->tick = tick_of(now_ns);
	w->next_ns = UINT64_MAX;
}

unsigned int phca_timers_run(struct phca_timers *w, uint64_t now_ns, phca_timer_fn fn, void *arg,
		unsigned int budget)
{
	uint64_t now = tick_of(now_ns), tick;
	unsigned int n, slot;

	if (now_ns < w->next_ns || budget == 0) {
		/* Without timers the wheel just follows, so that the next is near its tick. */
		if (w->levels == 0 && w->slots[WORK] == NULL)
			w->tick = RTE_MAX(w->tick, now);
		return 0;
	}
	w->now_ns = now_ns;
	w->running = true;
	w->next_ns = UINT64_MAX;
	n = work(w, now_ns, fn, arg, &budget);
	while (w->slots[WORK] == NULL && next_slot(w, &slot, &tick) && tick <= now) {
		w->tick = tick;
		slot_take(w, slot);
		n += work(w, now_ns, fn, arg, &budget);
		if (tick == now)
			break; /* what is left of this tick is not due yet */
	}
	run_end(w, now_ns);
	return n;
}

uint64_t phca_timers_next(const struct phca_timers *w)
{
	return w->levels == 0 && w->slots[WORK] == NULL ? UINT64_MAX : w->next_ns;
}

void phca_timer_place(struct phca_timers *w, struct phca_timer *t, uint64_t at_ns)
{
	if (t->pprev != NULL)
		unlink_from(w, t);
	t->at_ns = at_ns;
	t->due_ns = at_ns;
	if (w->running && at_ns <= w->now_ns)
		link_in(w, LATE, t);
	else
		place(w, t);
}

void phca_timer_cancel(struct phca_timers *w, struct phca_timer *t)
{
	if (t->pprev != NULL)
		unlink_from(w, t);
}
