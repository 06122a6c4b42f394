/* SPDX-License-Identifier: MIT
 *
 * See sim_eventsource.h.
 */
#include "sim/sim_eventsource.h"

#include <stdlib.h>
#include <string.h>

struct reader {
	struct sim_event e;
	char *data;
	bool has_data;
	const char *bad;
};

/* To the end of a line; `ret_next` is behind what ends it.  NULL: it has not come. */
static const char *line_end(const char *p, const char *end, const char **ret_next)
{
	const char *at = p;

	while (at < end && *at != '\n' && *at != '\r')
		at++;
	if (at == end)
		return NULL;
	*ret_next = at + 1;
	if (*at == '\r' && *ret_next < end && **ret_next == '\n')
		++*ret_next;
	return at;
}

static void keep(struct reader *r, char to[SIM_EVENT_FIELD_BYTES], const char *p, size_t n)
{
	if (n >= SIM_EVENT_FIELD_BYTES || memchr(p, 0, n)) {
		r->bad = "a field that nobody has sent";
		return;
	}
	memcpy(to, p, n);
	to[n] = '\0';
}

static void on_field(struct reader *r, const char *name, size_t name_n, const char *p, size_t n)
{
	if (name_n == 4 && !memcmp(name, "data", 4)) {
		memcpy(r->data + r->e.data_n, p, n);
		r->e.data_n += n;
		r->data[r->e.data_n++] = '\n';
		r->has_data = true;
	} else if (name_n == 5 && !memcmp(name, "event", 5)) {
		keep(r, r->e.type, p, n);
	} else if (name_n == 2 && !memcmp(name, "id", 2)) {
		keep(r, r->e.id, p, n);
		r->e.has_id = true;
	} else {
		r->bad = "a line of no known field";
	}
}

static void on_line(struct reader *r, const char *p, const char *end)
{
	const char *colon = memchr(p, ':', (size_t)(end - p));
	const char *value = colon ? colon + 1 : end;

	if (value < end && *value == ' ')
		value++;
	on_field(r, p, (size_t)((colon ? colon : end) - p), value, (size_t)(end - value));
}

static void dispatch(struct reader *r, void (*on_event)(void *, const struct sim_event *),
                     void *arg)
{
	if (r->has_data) {
		r->data[--r->e.data_n] = '\0';
		r->e.data = r->data;
		on_event(arg, &r->e);
	}
	r->e = (struct sim_event){.data_n = 0};
	r->has_data = false;
}

const char *sim_events_each(const char *p, size_t n,
                            void (*on_event)(void *arg, const struct sim_event *e),
                            void (*on_comment)(void *arg), void *arg)
{
	struct reader r = {.data = malloc(n + 1)};
	const char *end = p + n;
	const char *next;
	const char *stop;

	if (!r.data)
		abort();
	while (!r.bad && n && (stop = line_end(p, end, &next))) {
		if (stop == p)
			dispatch(&r, on_event, arg);
		else if (*p != ':')
			on_line(&r, p, stop);
		else if (on_comment)
			on_comment(arg);
		p = next;
	}
	free(r.data);
	return r.bad;
}
