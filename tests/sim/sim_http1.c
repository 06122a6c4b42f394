/* SPDX-License-Identifier: MIT
 *
 * See sim_http1.h.
 */
#include "sim/sim_http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { REPLIES_FIRST = 4 };

/* Room for `n` answers, and one that may come though nobody asked. */
static void make_room(struct sim_http1 *h, unsigned n)
{
	unsigned cap = h->reply_cap ? h->reply_cap : REPLIES_FIRST;

	while (cap <= n)
		cap *= 2;
	if (cap == h->reply_cap)
		return;
	h->replies = realloc(h->replies, cap * sizeof *h->replies);
	if (!h->replies)
		abort();
	while (h->reply_cap < cap)
		sim_reply_init(&h->replies[h->reply_cap++]);
}

void sim_http1_init(struct sim_http1 *h)
{
	*h = (struct sim_http1){0};
	make_room(h, 0);
}

void sim_http1_free(struct sim_http1 *h)
{
	for (unsigned i = 0; i < h->reply_cap; i++)
		free(h->replies[i].body);
	free(h->replies);
	h->replies = NULL;
	h->reply_cap = 0;
}

void sim_http1_expect(struct sim_http1 *h, bool head_only)
{
	if (h->expected_count == SIM_REPLIES_MAX)
		abort();
	h->head_only[h->expected_count++] = head_only;
	make_room(h, h->expected_count);
}

static struct sim_reply *present(struct sim_http1 *h)
{
	return &h->replies[h->reply_count];
}

static void complete(struct sim_http1 *h)
{
	h->reply_count++;
	make_room(h, h->reply_count);
	h->state = SIM_H1_HEAD;
}

/* ---- Heads --------------------------------------------------------------------------- */

static bool status_line(struct sim_http1 *h, struct sim_reply *r)
{
	char space;

	if (strncmp(r->head, "HTTP/1.", 7) != 0 ||
	    sscanf(r->head + 7, "%1d %3d%c", &r->minor, &r->status, &space) != 3 || space != ' ' ||
	    r->status < 100 || r->status > 599) {
		h->bad = "status line";
		return false;
	}
	return true;
}

/* RFC 9112 section 6.3. */
static void framing(struct sim_http1 *h, struct sim_reply *r)
{
	char text[128];
	bool has_length = sim_reply_field(r, "Content-Length", text, sizeof text);
	bool bare = r->head_only || r->status == 204 || r->status == 304;

	h->left = has_length ? strtoul(text, NULL, 10) : 0;
	r->chunked = sim_reply_field(r, "Transfer-Encoding", text, sizeof text);
	if (r->chunked && (has_length || strcasecmp(text, "chunked") != 0))
		h->bad = "two framings, or none we know";
	r->close = sim_reply_field(r, "Connection", text, sizeof text) &&
	           !strcasecmp(text, "close");
	r->keep_alive = !r->close && sim_reply_field(r, "Connection", text, sizeof text) &&
	                !strcasecmp(text, "keep-alive");
	if (bare || (has_length && !h->left))
		complete(h);
	else if (r->chunked)
		h->state = SIM_H1_CHUNK_SIZE;
	else if (has_length)
		h->state = SIM_H1_LENGTH;
	else
		h->state = SIM_H1_UNTIL_END;
	r->until_end = h->state == SIM_H1_UNTIL_END;
}

static void head_done(struct sim_http1 *h, struct sim_reply *r)
{
	if (!status_line(h, r))
		return;
	if (r->status >= 200) {
		r->head_only = h->head_only[h->reply_count];
		framing(h, r);
		return;
	}
	/* The end of the connection is the end of what it has become. */
	if (r->status == 101 && h->upgrade[h->reply_count]) {
		h->state = SIM_H1_UNTIL_END;
		r->until_end = true;
		return;
	}
	if (r->status == 101)
		h->bad = "101 that nobody asked for";
	if (r->status == 100)
		r->continue_count++;
	else
		r->hint_count++;
	r->head_n = 0;
}

static size_t feed_head(struct sim_http1 *h, const char *p, size_t n)
{
	struct sim_reply *r = present(h);

	if (h->reply_count >= h->expected_count) {
		h->bad = "a response nobody asked for";
		return n;
	}
	for (size_t i = 0; i < n; i++) {
		if (r->head_n + 1 == sizeof r->head) {
			h->bad = "head too long";
			return n;
		}
		r->head[r->head_n++] = p[i];
		if (p[i] != '\n' || r->head_n < 4 || memcmp(r->head + r->head_n - 4, "\r\n\r\n", 4))
			continue;
		r->head[r->head_n] = '\0';
		head_done(h, r);
		return i + 1;
	}
	return n;
}

/* ---- Bodies ------------------------------------------------------------------------------ */

static size_t feed_counted(struct sim_http1 *h, const char *p, size_t n)
{
	n = n < h->left ? n : h->left;
	sim_reply_add_body(present(h), p, n);
	h->left -= n;
	if (h->left)
		return n;
	if (h->state == SIM_H1_LENGTH)
		complete(h);
	else
		h->state = SIM_H1_CHUNK_END;
	return n;
}

static void chunk_size(struct sim_http1 *h)
{
	char *end;

	h->left = strtoul(h->line, &end, 16);
	if (end == h->line || *end)
		h->bad = "chunk size";
	h->state = h->left ? SIM_H1_CHUNK_DATA : SIM_H1_TRAILERS;
}

static void trailer(struct sim_http1 *h)
{
	if (!h->line[0])
		complete(h);
	else if (!sim_reply_add_trailer(present(h), h->line, h->line_n))
		h->bad = "trailers too long";
}

static void line_done(struct sim_http1 *h)
{
	if (h->state == SIM_H1_CHUNK_SIZE) {
		chunk_size(h);
	} else if (h->state == SIM_H1_TRAILERS) {
		trailer(h);
	} else {
		if (h->line_n)
			h->bad = "chunk does not end where it should";
		h->state = SIM_H1_CHUNK_SIZE;
	}
}

static size_t feed_line(struct sim_http1 *h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (h->line_n + 1 == sizeof h->line) {
			h->bad = "line too long";
			return n;
		}
		h->line[h->line_n++] = p[i];
		if (p[i] != '\n')
			continue;
		if (h->line_n < 2 || h->line[h->line_n - 2] != '\r') {
			h->bad = "line end";
			return n;
		}
		h->line_n -= 2;
		h->line[h->line_n] = '\0';
		line_done(h);
		h->line_n = 0;
		return i + 1;
	}
	return n;
}

void sim_http1_feed(void *arg, const char *p, size_t n)
{
	struct sim_http1 *h = arg;

	while (n && !h->bad) {
		size_t used;

		if (h->state == SIM_H1_HEAD) {
			used = feed_head(h, p, n);
		} else if (h->state == SIM_H1_LENGTH || h->state == SIM_H1_CHUNK_DATA) {
			used = feed_counted(h, p, n);
		} else if (h->state == SIM_H1_UNTIL_END) {
			sim_reply_add_body(present(h), p, n);
			used = n;
		} else {
			used = feed_line(h, p, n);
		}
		p += used;
		n -= used;
	}
}

void sim_http1_end(struct sim_http1 *h, bool reset)
{
	if (h->state == SIM_H1_UNTIL_END && !reset)
		complete(h);
}

bool sim_http1_partial(const struct sim_http1 *h)
{
	return h->state != SIM_H1_HEAD || h->replies[h->reply_count].head_n;
}
