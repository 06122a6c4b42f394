/* SPDX-License-Identifier: MIT
 *
 * When an exchange's bytes become a stream of their own: what HTTP/1.1 calls Upgrade (RFC 9110
 * section 7.8) and later versions an extended CONNECT (RFC 8441, RFC 9220).  Decides whether it
 * may; how it is said on the wire is the protocol's.
 */
#include "core/exchange.h"
#include "core/res.h"
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

static void stop_late(tako_res *res, void *arg)
{
	(void)arg;
	tako__exchange_stopping(tako__x(res));
}

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
