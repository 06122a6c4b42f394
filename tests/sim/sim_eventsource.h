/* SPDX-License-Identifier: MIT
 *
 * What a browser's EventSource makes of a stream (the HTML standard, section 9.2.6), for simulated
 * tests.  Written anew from the standard, so that it can disagree; stricter in one thing, that it
 * takes no line which the standard has clients pass over.
 */
#ifndef TESTS_SIM_EVENTSOURCE_H
#define TESTS_SIM_EVENTSOURCE_H

#include <stdbool.h>
#include <stddef.h>

enum { SIM_EVENT_FIELD_BYTES = 64 };

struct sim_event {
	char type[SIM_EVENT_FIELD_BYTES]; /* "": message */
	char id[SIM_EVENT_FIELD_BYTES];   /* of this one, not the last */
	bool has_id;
	const char *data; /* lines with LF between them, NUL behind */
	size_t data_n;
};

/* Every whole event of a stream, in order.  Returns what was wrong with it, or NULL.  `on_comment`
 * may be NULL. */
const char *sim_events_each(const char *p, size_t n,
                            void (*on_event)(void *arg, const struct sim_event *e),
                            void (*on_comment)(void *arg), void *arg);

#endif /* TESTS_SIM_EVENTSOURCE_H */
