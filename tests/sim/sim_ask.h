/* SPDX-License-Identifier: MIT
 *
 * A request before any protocol has written it down.
 */
#ifndef TESTS_SIM_ASK_H
#define TESTS_SIM_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_PATH_BYTES = 96, SIM_VALUE_BYTES = 96, SIM_FIELDS_MAX = 4 };

struct sim_ask_field {
	const char *name; /* in small letters; outlives the request */
	char value[SIM_VALUE_BYTES];
};

struct sim_ask {
	const char *method;
	char path[SIM_PATH_BYTES];
	size_t filler_n; /* of a field that only takes room; 0: none */
	struct sim_ask_field fields[SIM_FIELDS_MAX];
	unsigned field_count;
	/* What the exchange shall become; the body is then what is said on it, and stops_at one that does
	 * not end with it.  NULL: nothing. */
	const char *protocol;
	const char *body; /* outlives the request; NULL: none */
	size_t body_n;
	size_t stops_at; /* … and is said up to here, for ever; 0: all of it */
	bool waits;      /* nothing of it is said before sim_script_go_on() */
	bool counted;    /* the length of the body is said before it */
	bool expects;    /* Expect: 100-continue, without waiting for it */
	bool trailer;    /* X-Sum: <sum>, after the body */
	uint64_t sum;
	bool old;   /* HTTP/1.0 */
	bool close; /* the last one on its connection */
};

#endif /* TESTS_SIM_ASK_H */
