/* SPDX-License-Identifier: MIT
 *
 * A request, written (RFC 9112 section 3).  What is written here was checked when it was asked for.
 */
#include "core/base.h"
#include "core/str.h"
#include "transports/client/client_h1.h"

/* ---- Head ------------------------------------------------------------------------------- */

/* The first failure sticks. */
struct writer {
	struct tako__conn *c;
	int rc;
};

static void put(struct writer *w, tako_str s)
{
	if (w->rc == 0 && s.n)
		w->rc = tako__conn_write(w->c, s.p, s.n);
}

static void put_fields(struct writer *w, const struct tako_fetch *f)
{
	for (uint32_t i = 0; i < f->field_count; i++) {
		put(w, (tako_str){f->fields[i].name, f->fields[i].name_n});
		put(w, TAKO_STR(": "));
		put(w, (tako_str){f->fields[i].value, f->fields[i].value_n});
		put(w, TAKO_STR("\r\n"));
	}
}

static void put_framing(struct writer *w, const struct tako_fetch *f)
{
	char digits[TAKO__U64_CHARS];

	if (f->chunked) {
		put(w, TAKO_STR("Transfer-Encoding: chunked\r\n"));
	} else if (tako__fetch_says_length(f)) {
		put(w, TAKO_STR("Content-Length: "));
		put(w, (tako_str){digits, tako__format_u64(digits, tako__fetch_length(f))});
		put(w, TAKO_STR("\r\n"));
	}
	if (f->cfg.expect_continue)
		put(w, TAKO_STR("Expect: 100-continue\r\n"));
}

static int write_head(struct tako__conn *c, const struct tako_fetch *f)
{
	struct writer w = {c, 0};

	put(&w, f->method_text);
	put(&w, TAKO_STR(" "));
	put(&w, f->path);
	put(&w, f->query);
	put(&w, TAKO_STR(" HTTP/1.1\r\nHost: "));
	put(&w, f->authority);
	put(&w, TAKO_STR("\r\n"));
	put_fields(&w, f);
	put_framing(&w, f);
	put(&w, TAKO_STR("\r\n"));
	return w.rc;
}

int tako__client_h1_begin(struct tako__conn *c, struct tako_fetch *f)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);
	int rc;

	h->f = f;
	h->base_ns = tako__now_ns(c->worker);
	h->base.resumed = false;
	f->heard = false;
	c->request_count++;
	rc = write_head(c, f);
	f->awaits_continue = f->cfg.expect_continue;
	if (rc == 0 && !f->awaits_continue)
		rc = tako__fetch_flow(f);
	if (f->paused)
		tako__conn_pause(c);
	/* Its end is told to f. */
	if (rc < 0)
		tako__conn_close(c);
	tako__conn_touch(c);
	tako__client_h1_watch(c);
	return 0;
}

/* ---- Body --------------------------------------------------------------------------------- */

static int write_chunk(struct tako__conn *c, const char *p, size_t n)
{
	char head[TAKO__H1_CHUNK_HEAD_BYTES];
	struct writer w = {c, 0};

	put(&w, (tako_str){head, tako__h1_chunk_head(head, n)});
	put(&w, (tako_str){p, n});
	put(&w, TAKO_STR("\r\n"));
	return w.rc;
}

int tako__client_h1_data(struct tako_fetch *f, const char *p, size_t n)
{
	struct tako__conn *c = f->conn;

	/* What it has to take it has to take from now on. */
	if (!tako__conn_unsent(c))
		tako__client_h1_of(c)->base_ns = tako__now_ns(c->worker);
	tako__conn_touch(c);
	tako__client_h1_watch(c);
	return f->chunked ? write_chunk(c, p, n) : tako__conn_write(c, p, n);
}

int tako__client_h1_finish(struct tako_fetch *f)
{
	struct tako__conn *c = f->conn;

	f->since_ns = tako__now_ns(c->worker);
	tako__conn_touch(c);
	tako__client_h1_watch(c);
	return f->chunked ? tako__conn_write(c, "0\r\n\r\n", 5) : 0;
}
