/* SPDX-License-Identifier: MIT
 *
 * See tls_early.h.  wolfSSL is told by its wolfSSL_read_early_data(), called before there is anything to
 * read, that early data is welcome.  From then on wolfSSL_accept() returns when our half of the handshake
 * is through, with or without early data to come, and the client's half is read here.
 *
 * Whoever sees a first flight can send it again.  Of such copies a listener takes one (tls_once.h); which
 * one, it cannot tell.  That and no more is what handlers must live with.
 */
#include "transports/tls/tls_early.h"

#include <string.h>

#include "core/clock.h"
#include "core/conn.h"
#include "core/hash.h"
#include "transports/tls/tls_once.h"

/* Beyond what was promised: heads, tags and types of the records of early data that is skipped,
 * which wolfSSL counts with it. */
enum { SKIPPED_EXTRA_BYTES = 16384 };

enum verdict { UNKNOWN, ALLOWED, REFUSED };

struct tako__tls_early {
	struct tako__timer late; /* the protocol's timer does not know that there is a handshake */
	struct tako__tls_layer *t;
	enum verdict verdict;
	bool heard;
	bool speaking; /* the protocol has begun */
};

/* ---- May it come? ------------------------------------------------------------------------- */

static void on_late(struct tako__timer *timer, uint64_t now_ns)
{
	struct tako__tls_early *e = TAKO__CONTAINER(timer, struct tako__tls_early, late);

	(void)now_ns;
	tako__add(&e->t->l.conn->worker->stats.timeouts, 1);
	tako__tls_over(e->t, false);
}

bool tako__tls_early_offer(struct tako__tls_layer *t)
{
	const char *in = t->in;
	size_t in_n = t->in_n;
	int n = 0;

	t->early = tako__zalloc(sizeof *t->early);
	if (!t->early)
		return false;
	t->early->t = t;
	tako__timer_init(&t->early->late, on_late);
	/* wolfSSL asks itself for what it then does not see. */
	if (t->tls->options->no_records)
		return true;
	t->in_n = 0;
	(void)wolfSSL_read_early_data(t->ssl, t->tls->plain, TAKO__TLS_PLAIN_BYTES, &n);
	t->in = in;
	t->in_n = in_n;
	return wolfSSL_set_max_early_data(t->ssl,
	                                  t->tls->options->early_bytes + SKIPPED_EXTRA_BYTES) >= 0;
}

void tako__tls_early_heard(struct tako__tls_layer *t)
{
	if (t->early)
		t->early->heard = true;
}

/* What the tickets to come promise is what may come. */
static void promise(struct tako__tls_layer *t)
{
	(void)wolfSSL_set_max_early_data(t->ssl, t->tls->options->early_bytes);
}

void tako__tls_early_wait(struct tako__tls_layer *t)
{
	if (t->early && t->early->heard)
		promise(t);
}

/* 0: none. */
static uint32_t mark_of(const char *p, size_t n)
{
	return n ? tako__hash(TAKO__HASH_START, p, n) : 0;
}

static bool is_listed(const char *list, const char *name, size_t n)
{
	while (*list) {
		size_t step = strcspn(list, ",");

		if (step == n && memcmp(list, name, n) == 0)
			return true;
		list += step + (list[step] == ',');
	}
	return false;
}

/* What wolfSSL will agree on, of which it does not tell before: the first of the client's that is one of
 * ours too. */
static uint32_t coming_mark(struct tako__tls_layer *t)
{
	unsigned short n = 0;
	char *list = NULL;
	uint32_t mark = 0;

	if (wolfSSL_ALPN_GetPeerProtocol(t->ssl, &list, &n) != WOLFSSL_SUCCESS)
		return 0;
	for (const char *at = list; *at && !mark;) {
		size_t step = strcspn(at, ",");

		if (is_listed(t->tls->options->alpn, at, step))
			mark = mark_of(at, step);
		at += step + (at[step] == ',');
	}
	wolfSSL_ALPN_FreePeerProtocol(t->ssl, &list);
	return mark;
}

static struct tako__tls_early *early_of(WOLFSSL *ssl)
{
	struct tako__tls_layer *t = wolfSSL_GetIOReadCtx(ssl);

	return t ? t->early : NULL;
}

uint32_t tako__tls_early_mark(WOLFSSL *ssl)
{
	unsigned short n = 0;
	char *name = NULL;

	if (!early_of(ssl) || wolfSSL_ALPN_GetProtocol(ssl, &name, &n) != WOLFSSL_SUCCESS)
		return 0;
	return mark_of(name, n);
}

/* wolfSSL asks once for each suite: the first answer stands. */
bool tako__tls_early_may(WOLFSSL *ssl, const unsigned char *mark, const unsigned char *tag)
{
	struct tako__tls_early *e = early_of(ssl);
	uint32_t was;
	uint64_t id;

	if (!e || wolfSSL_get_early_data_status(ssl) != WOLFSSL_EARLY_DATA_ACCEPTED)
		return true;
	if (e->verdict == UNKNOWN) {
		memcpy(&was, mark, sizeof was);
		memcpy(&id, tag, sizeof id);
		/* RFC 8446 section 4.2.10: the protocol must be the one of that time. */
		e->verdict = was == coming_mark(e->t) &&
		                             tako__tls_once_take(e->t->tls->options->once, id,
		                                                 tako__clock_ns())
		                     ? ALLOWED
		                     : REFUSED;
	}
	return e->verdict == ALLOWED;
}

/* ---- It comes -------------------------------------------------------------------------------- */

static bool begin(struct tako__tls_layer *t)
{
	struct tako__conn *c = t->l.conn;
	uint64_t deadline_ns = c->deadline_ns;

	t->early->speaking = true;
	tako__timer_set(&c->worker->wheel, &t->early->late, deadline_ns);
	c->flags |= TAKO__CONN_EARLY;
	return tako__tls_speak(t);
}

void tako__tls_early_read(struct tako__tls_layer *t)
{
	struct tako__conn *c = t->l.conn;

	while (t->state == TAKO__TLS_EARLY && !(c->flags & TAKO__CONN_CLOSING)) {
		int n = 0;
		int rc = wolfSSL_read_early_data(t->ssl, t->tls->plain, TAKO__TLS_PLAIN_BYTES, &n);

		if (TAKO__UNLIKELY(tako__tls_lib_short())) {
			tako__tls_over(t, false);
		} else if (rc > 0) {
			if (t->early->speaking || begin(t))
				tako__layer_up(c, &t->l, t->tls->plain, rc);
		} else if (wolfSSL_is_init_finished(t->ssl)) {
			promise(t);
			tako__tls_shake(t);
		} else if (rc == 0 || wolfSSL_get_error(t->ssl, rc) != WOLFSSL_ERROR_WANT_READ) {
			tako__tls_over(t, !t->no_memory);
		} else {
			return;
		}
	}
}

void tako__tls_early_drop(struct tako__tls_layer *t)
{
	struct tako__tls_early *e = t->early;

	if (!e)
		return;
	t->l.conn->flags &= ~TAKO__CONN_EARLY;
	tako__timer_clear(&t->l.conn->worker->wheel, &e->late);
	tako__free(e, sizeof *e);
	t->early = NULL;
}

bool tako__tls_early_end(struct tako__tls_layer *t)
{
	bool spoke = t->early && t->early->speaking;

	/* For a client of TLS 1.2 wolfSSL goes on to count until something is written. */
	if (t->early && t->state == TAKO__TLS_READY)
		(void)wolfSSL_write(t->ssl, "", 0);
	tako__tls_early_drop(t);
	return spoke;
}
