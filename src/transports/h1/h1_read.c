/* SPDX-License-Identifier: MIT
 *
 * The reading half of HTTP/1.1: received bytes become exchanges and their bodies.  Takes
 * what it can and says how much; keeping the rest is h1.c's.
 */
#include "core/head.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/h1/h1.h"
#include "transports/h1/h1_head.h"

static struct tako__h1_limits limits_of(const struct tako__worker *w)
{
	const tako_server_config *cfg = &w->srv->cfg;

	return (struct tako__h1_limits){.max_head_bytes = cfg->max_head_bytes,
	                                .max_line_bytes = cfg->max_line_bytes,
	                                .max_fields = cfg->max_header_count};
}

/* ---- From a head to an exchange ------------------------------------------------------ */

static void copy_fields(struct tako__field *to, ptrdiff_t shift, const struct tako__field *from,
                        unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		to[i].name = from[i].name + shift;
		to[i].value = from[i].value + shift;
		to[i].name_n = from[i].name_n;
		to[i].value_n = from[i].value_n;
	}
}

/* Does the request last longer than the delivery that its head came in, whatever its handler does? */
static bool lasts(const struct tako__conn *c, const struct tako__exchange *x,
                  const struct tako__h1_head *head)
{
	/* What came early gets a field that was not received (RFC 8470 section 5.1). */
	return !(x->flags & TAKO__X_BODY_DONE) || head->switching || (c->flags & TAKO__CONN_EARLY);
}

/* The head belongs into the exchange, which lives longer than received bytes do: user code may then
 * keep what getters return, whatever it does next.  It is lent until then. */
static bool take_text(struct tako__exchange *x, const struct tako__h1_head *head, const char *p,
                      size_t n)
{
	size_t fields_n = head->field_count * sizeof(struct tako__field);
	struct tako__field *room = tako__exchange_head_room(x, fields_n + n);

	if (TAKO__UNLIKELY(!room))
		return false;
	x->method = head->method;
	x->target = head->target;
	x->raw_path = head->path;
	x->query = head->query;
	x->host = head->host;
	if (TAKO__UNLIKELY(head->switching))
		x->upgrade = head->upgrade;
	x->fields = head->fields;
	x->field_count = head->field_count;
	x->lent = (tako_str){p, n};
	x->lent_room = room;
	return true;
}

static bool take_framing(struct tako__h1 *h, struct tako__exchange *x,
                         const struct tako__h1_head *head)
{
	h->body_left = 0;
	h->chunked = NULL;
	h->trailers = false;
	h->discarded = 0;
	if (TAKO__LIKELY(head->framing == TAKO__H1_NO_BODY ||
	                 (head->framing == TAKO__H1_LENGTH && !head->content_length))) {
		x->flags |= TAKO__X_BODY_DONE;
		return true;
	}
	if (head->expect_continue)
		x->flags |= TAKO__X_EXPECTS;
	h->body_ns = tako__now_ns(x->worker);
	h->since_ns = h->body_ns;
	h->untaken_ns = 0;
	if (head->framing == TAKO__H1_LENGTH) {
		x->content_length = head->content_length;
		h->body_left = head->content_length;
		return true;
	}
	x->content_length = TAKO_OFF64;
	h->chunked = tako__arena_alloc(&x->arena, sizeof *h->chunked);
	if (h->chunked)
		tako__h1_chunked_init(h->chunked, TAKO__H1_EXTENSION_BYTES);
	return h->chunked;
}

static bool last_request(const struct tako__conn *c)
{
	uint32_t max = c->worker->srv->cfg.keepalive_request_count;

	return (max && c->request_count >= max) || (c->flags & TAKO__CONN_DRAINING);
}

static void begin(struct tako__conn *c, struct tako__h1_head *head, const char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	struct tako__exchange *x = TAKO__UNLIKELY(head->switching) ? tako__exchange_new_lasting(c)
	                                                           : tako__exchange_new(c);

	c->request_count++;
	if (!x) {
		tako__conn_close(c);
		return;
	}
	h->x = x;
	h->minor = head->minor;
	h->close = !head->keep_alive;
	/* A client that did not ask for it may have sent its next request already. */
	if (!h->close && last_request(c)) {
		h->close = true;
		h->unread = true;
	}
	x->method_id = head->method_id;
	x->version = (uint8_t)(10 + head->minor);
	x->path_flags = head->path_flags;
	if (!take_text(x, head, p, n) || !take_framing(h, x, head)) {
		h->close = true;
		h->unread = true;
		tako__head_keep(x);
		tako__exchange_refuse(x, 500);
		return;
	}
	if (TAKO__UNLIKELY(lasts(c, x, head)))
		tako__head_keep(x);
	tako__exchange_run(x);
}

/* What the parser understood before it gave up is shown to error handlers and the log. */
static void refuse(struct tako__conn *c, struct tako__h1_head *head, const char *p, size_t n,
                   int status)
{
	struct tako__h1 *h = tako__h1_of(c);
	struct tako__exchange *x = tako__exchange_new(c);

	h->close = true;
	h->unread = true;
	h->minor = 1;
	c->request_count++;
	if (!x) {
		tako__conn_close(c);
		return;
	}
	h->x = x;
	x->method_id = TAKO__METHOD_OTHER;
	if (head && head->got_line) {
		head->field_count = 0;
		x->method_id = head->method_id;
		x->version = (uint8_t)(10 + head->minor);
		if (take_text(x, head, p, n))
			tako__head_keep(x);
	}
	/* No body follows a HEAD, whatever else was wrong with its line. */
	if (head && head->method.p && head->method_id == TAKO__HEAD)
		x->flags |= TAKO__X_HEAD_ONLY;
	tako__exchange_refuse(x, status);
}

void tako__h1_refuse(struct tako__conn *c, int status)
{
	refuse(c, NULL, NULL, 0, status);
}

static size_t feed_head(struct tako__conn *c, const char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	struct tako__worker *w = c->worker;
	struct tako__h1_limits lim = limits_of(w);
	struct tako__h1_head head;
	int used;

	/* Not cleared: the parser sets what it understood, and 250 bytes are not free. */
	head.fields = w->fields;
	used = tako__h1_head_parse(&head, p, n, h->scanned, &lim);

	if (TAKO__LIKELY(used > 0)) {
		h->scanned = 0;
		begin(c, &head, p, (size_t)used);
		return (size_t)used;
	}
	if (used == 0) {
		if (!h->scanned)
			h->since_ns = tako__now_ns(w);
		h->scanned = (uint32_t)n;
		return 0;
	}
	refuse(c, &head, p, n < lim.max_head_bytes ? n : lim.max_head_bytes, -used);
	return n;
}

/* ---- Bodies ---------------------------------------------------------------------------- */

/* A body that nobody wants is read for the sake of the connection, up to a bound. */
static bool discards_too_much(struct tako__conn *c, struct tako__exchange *x, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);

	if (!(x->flags & TAKO__X_BODY_DROPPED))
		return false;
	if (n <= TAKO__H1_DISCARD_BYTES - h->discarded) {
		h->discarded += (uint32_t)n;
		return false;
	}
	h->close = true;
	h->unread = true;
	tako__exchange_data(x, NULL, 0, true);
	return true;
}

static size_t feed_length(struct tako__conn *c, struct tako__exchange *x, const char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	size_t step = n < h->body_left ? n : (size_t)h->body_left;

	h->body_left -= step;
	if (!discards_too_much(c, x, step))
		tako__exchange_data(x, p, step, h->body_left == 0);
	return step;
}

static void malformed(struct tako__conn *c, int status)
{
	struct tako__h1 *h = tako__h1_of(c);

	h->close = true;
	h->unread = true;
	tako__exchange_break(h->x, status, TAKO_EPROTO);
}

/* Without memory for them they are as if not sent, which a sender must expect anyway (RFC
 * 9110 section 6.5). */
static void take_trailers(struct tako__exchange *x, const struct tako__h1_trailers *t,
                          const char *p, size_t n)
{
	struct tako__field *fields = tako__arena_alloc(&x->arena, t->field_count * sizeof *fields);
	char *text = tako__arena_strndup(&x->arena, p, n);

	if (!fields || !text)
		return;
	copy_fields(fields, text - p, t->fields, t->field_count);
	x->trailers = fields;
	x->trailer_count = t->field_count;
}

static size_t feed_trailers(struct tako__conn *c, struct tako__exchange *x, const char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	struct tako__h1_limits lim = limits_of(c->worker);
	struct tako__h1_trailers t = {.fields = c->worker->fields};
	int used = tako__h1_trailers_parse(&t, p, n, h->scanned, &lim);

	if (used == 0) {
		h->scanned = (uint32_t)n;
		return 0;
	}
	h->scanned = 0;
	if (used > 0 && t.field_count)
		take_trailers(x, &t, p, (size_t)used);
	if (used > 0)
		tako__exchange_data(x, NULL, 0, true);
	else
		malformed(c, -used);
	return used > 0 ? (size_t)used : n;
}

/* The size line of a chunk is as good as a Content-Length: what is over the limit already is
 * not waited for. */
static bool promises_too_much(struct tako__h1 *h, const struct tako__exchange *x)
{
	uint64_t pending = tako__h1_chunked_pending(h->chunked);

	if ((x->flags & (TAKO__X_BODY_DROPPED | TAKO__X_BODY_DONE)) ||
	    x->body_limit == TAKO_OFF64 || pending <= x->body_limit - x->received_bytes)
		return false;
	h->close = true;
	h->unread = true;
	return true;
}

static size_t feed_chunked(struct tako__conn *c, struct tako__exchange *x, const char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	tako_str data = {NULL, 0};
	size_t used = 0;
	int rc;

	if (h->trailers)
		return feed_trailers(c, x, p, n);
	rc = tako__h1_chunked_feed(h->chunked, p, n, &used, &data);
	if (rc < 0) {
		malformed(c, -rc);
		return n;
	}
	if (rc == TAKO__H1_CHUNK_DATA && !discards_too_much(c, x, data.n))
		tako__exchange_data(x, data.p, data.n, false);
	else if (rc == TAKO__H1_CHUNK_END)
		tako__exchange_data(x, NULL, 0, true);
	else if (rc == TAKO__H1_CHUNK_TRAILERS)
		h->trailers = true;
	if (h->x == x && promises_too_much(h, x))
		tako__exchange_break(x, 413, TAKO_ETOOBIG);
	return used;
}

static size_t feed_body(struct tako__conn *c, const char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	struct tako__exchange *x = h->x;
	size_t used;

	if (!tako__exchange_takes(x))
		return 0;
	/* The reader of an echo must not be flooded by its writer. */
	if (!(x->flags & TAKO__X_BODY_DROPPED) &&
	    tako__conn_unsent(c) > c->worker->srv->cfg.write_high_bytes)
		return 0;
	/* No more: the client did not wait, or was told (RFC 9110 section 10.1.1). */
	x->flags &= ~TAKO__X_EXPECTS;
	used = h->chunked ? feed_chunked(c, x, p, n) : feed_length(c, x, p, n);
	h->since_ns = tako__now_ns(c->worker);
	return used;
}

size_t tako__h1_feed(struct tako__conn *c, char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	size_t used = 0;

	h->feeding = true;
	while (used < n && !(c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_FINISH))) {
		size_t step = 0;

		if (h->x && !(h->x->flags & TAKO__X_BODY_DONE))
			step = feed_body(c, p + used, n - used);
		/* One client that pipelines without reading must not fill our memory. */
		else if (!h->x && tako__conn_unsent(c) <= c->worker->srv->cfg.write_high_bytes)
			step = feed_head(c, p + used, n - used);
		if (step == 0)
			break;
		used += step;
	}
	h->feeding = false;
	return used;
}
