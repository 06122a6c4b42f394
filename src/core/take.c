/* SPDX-License-Identifier: MIT
 *
 * When an exchange's bytes become a stream of their own: what HTTP/1.1 calls Upgrade (RFC 9110
 * section 7.8) and later versions an extended CONNECT (RFC 8441, RFC 9220).  Decides whether it
 * may; how it is said on the wire is the protocol's.
 */
#include "core/conn.h"
#include "core/exchange.h"
#include "core/forwarded.h"
#include "core/head.h"
#include "core/res.h"
#include "core/server.h"
#include "core/value.h"
#include "core/worker.h"

static bool was_asked_for(const struct tako__exchange *x, const char *protocol)
{
	tako_str list = x->upgrade;
	tako_str item;

	while (tako__element_next(&list, &item)) {
		/* Names of protocols compare without case (RFC 9110 section 7.8). */
		if (tako_str_ieq(item, tako_str_z(protocol)))
			return true;
	}
	return false;
}

/* Runs as user code does: whoever calls it settles the exchange, once. */
static void stop_late(tako_res *res, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	tako_res_fn fn = x->stop_fn;

	(void)arg;
	if (!fn || (x->flags & (TAKO__X_ENDED | TAKO__X_GONE)))
		return;
	x->stop_fn = NULL;
	fn(res, x->stop_arg);
}

/* ---- Its head --------------------------------------------------------------------------- */

enum { SHOWN_FIELDS = 2 };

/* What is kept of the head. */
struct kept {
	tako_str *views[6];
	struct tako__field fields[SHOWN_FIELDS];
	unsigned field_count;
};

static void find_kept(struct tako__exchange *x, struct kept *k)
{
	static const char *const shown[SHOWN_FIELDS] = {"user-agent", "referer"};
	tako_str *const views[] = {&x->method, &x->target, &x->raw_path,
	                           &x->query,  &x->host,   &x->request_id};

	memcpy(k->views, views, sizeof views);
	k->field_count = 0;
	if (!x->worker->log && !x->worker->srv->cfg.access_fn)
		return;
	for (size_t i = 0; i < SHOWN_FIELDS; i++) {
		const struct tako__field *f = tako__field_find(x->fields, x->field_count, shown[i],
		                                               strlen(shown[i]));

		if (!f)
			continue;
		k->fields[k->field_count] = *f;
		k->fields[k->field_count++].name = shown[i];
	}
}

static size_t kept_bytes(const struct kept *k)
{
	size_t bytes = k->field_count * sizeof k->fields[0];

	for (size_t i = 0; i < TAKO__COUNT(k->views); i++)
		bytes += k->views[i]->n;
	for (unsigned i = 0; i < k->field_count; i++)
		bytes += k->fields[i].value_n;
	return bytes;
}

static const char *put(char **at, const char *p, size_t n)
{
	char *to = *at;

	if (!p)
		return NULL;
	if (n)
		memcpy(to, p, n);
	*at += n;
	return to;
}

/* Fields first, as in the head that it replaces. */
static void move(struct tako__exchange *x, struct kept *k, struct tako__field *to)
{
	bool as_received = x->path.p == x->raw_path.p;
	char *text = (char *)(to + k->field_count);

	for (size_t i = 0; i < TAKO__COUNT(k->views); i++)
		k->views[i]->p = put(&text, k->views[i]->p, k->views[i]->n);
	for (unsigned i = 0; i < k->field_count; i++)
		k->fields[i].value = put(&text, k->fields[i].value, k->fields[i].value_n);
	memcpy(to, k->fields, k->field_count * sizeof *to);
	if (as_received)
		x->path.p = x->raw_path.p;
	x->fields = to;
	x->field_count = k->field_count;
	x->upgrade = (tako_str){NULL, 0};
}

void tako__exchange_shed(struct tako__exchange *x)
{
	void *old;
	struct kept k;
	const struct tako_client_info *client;
	void *to;

	if (!x->own_bytes)
		return;
	tako__head_keep(x);
	old = (void *)(uintptr_t)x->fields;
	/* Afterwards there are no fields to find it in.  Without memory it is as large as it was, then. */
	if (x->conn && x->conn->listener->forward && tako__exchange_client(&client, x) < 0)
		return;
	find_kept(x, &k);
	to = tako__arena_own(&x->arena, kept_bytes(&k));
	if (!to)
		return; /* as large as it was, then */
	move(x, &k, to);
	tako__arena_give_back(&x->arena, old);
}

/* ---- Taking --------------------------------------------------------------------------------- */

int tako__exchange_take(struct tako__exchange *x, const char *protocol, tako_res_fn stop_fn,
                        void *stop_arg)
{
	int rc = tako__res_answerable(x);

	if (rc < 0)
		return rc;
	if (!x->proto->take || !was_asked_for(x, protocol))
		return tako__fail(TAKO_ENOTSUP, "the request does not ask for %s", protocol);
	/* What follows it belongs to the request first. */
	if (!(x->flags & TAKO__X_BODY_DONE) || (x->flags & TAKO__X_BODY_WANTED))
		return tako__fail(TAKO_ESTATE, "a request with a body cannot be taken over");
	x->flags |= TAKO__X_TAKEN;
	x->flags &= ~TAKO__X_BODY_DONE;
	x->content_length = TAKO_OFF64;
	x->body_limit = TAKO_OFF64;
	x->res_length = TAKO_OFF64;
	x->stop_fn = stop_fn;
	x->stop_arg = stop_arg;
	rc = x->proto->take(x, protocol);
	/* Its connection was told of that before, and will not be again. */
	if (rc == 0 && x->worker->state != TAKO__SERVING)
		rc = tako_res_after(tako__res(x), 0, stop_late, NULL);
	if (rc < 0)
		tako__exchange_stop(x, rc);
	return rc;
}
