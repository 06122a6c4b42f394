/* SPDX-License-Identifier: MIT
 *
 * Raw connections that we make: settings checked, a tako__dial begun, and what comes of it told by the same
 * callbacks as of one that was accepted.
 */
#include <stdio.h>
#include <tako/connect.h>

#include "core/dial.h"
#include "core/exchange.h"
#include "core/secured.h"
#include "core/server.h"
#include "core/target.h"
#include "transports/raw/raw_int.h"

enum { ALPN_BYTES = 64 };

struct tako_connecting {
	struct tako__dial *dial;
	struct tako__raw_rule *rule;
	/* From another thread: on its way to the worker, with what it has to do there. */
	struct tako__mail mail;
	struct tako__worker *worker;
	struct tako__target target;
	struct tako_tls_client *tls;
	uint32_t timeout_ms;
	char name[TAKO__TARGET_HOST_BYTES]; /* "": the target's */
	char alpn[ALPN_BYTES];              /* "": what tls has */
};

/* ---- Settings ---------------------------------------------------------------------------------- */

static int copy_text(char *to, size_t room, const char *text, const char *what)
{
	size_t n = text ? strlen(text) : 0;

	if (text && (!n || n >= room))
		return tako__fail(TAKO_EINVAL, "connect: %s has %zu bytes, not 1 to %zu", what, n,
		                  room - 1);
	if (n)
		memcpy(to, text, n + 1);
	return 0;
}

static int check(const tako_connect_config *c)
{
	if (!c->raw)
		return tako__fail(TAKO_EINVAL, "connect: raw is not set");
	if (!c->tls && (c->server_name || c->alpn))
		return tako__fail(TAKO_EINVAL,
		                  "connect: server_name or alpn is set, but tls is not");
	if (c->timeout_ms > INT32_MAX)
		return tako__fail(TAKO_EINVAL, "connect: timeout_ms is over %d", INT32_MAX);
	if (c->reserved)
		return tako__fail(TAKO_EINVAL, "connect: reserved is not 0");
	return 0;
}

static void connecting_free(struct tako_connecting *k)
{
	tako__secured_unref(k->tls);
	tako__raw_rule_free(k->rule);
	tako__free(k, sizeof *k);
}

static int take_settings(struct tako_connecting *k, const char *addr, const tako_connect_config *c)
{
	int rc = tako__target_parse(&k->target, tako_str_z(addr));

	if (rc == 0)
		rc = copy_text(k->name, sizeof k->name, c->server_name, "server_name");
	if (rc == 0)
		rc = copy_text(k->alpn, sizeof k->alpn, c->alpn, "alpn");
	if (rc == 0)
		rc = tako__raw_rule_import(&k->rule, c->raw, false,
		                           "tako_connect_config has one of its own");
	if (rc == 0 && k->rule->cfg.max_connections)
		rc = tako__fail(TAKO_ENOTSUP, "raw: max_connections is set, but there is no "
		                              "listener");
	if (rc == 0 && k->rule->cfg.records)
		rc = tako__fail(TAKO_ENOTSUP, "raw: records is set, but what is connected to is a "
		                              "stream of bytes");
	k->tls = tako__secured_ref(c->tls);
	k->timeout_ms = c->timeout_ms;
	return rc;
}

static int connecting_new(struct tako_connecting **ret, const char *addr,
                          const tako_connect_config *cfg)
{
	tako_connect_config c = {.size = sizeof c};
	struct tako_connecting *k;
	int rc = cfg ? tako__import(&c, sizeof c, cfg, sizeof c, "tako_connect_config") : 0;

	if (rc == 0)
		rc = check(&c);
	if (rc < 0)
		return rc;
	k = tako__zalloc(sizeof *k);
	if (!k)
		return tako__fail(TAKO_ENOMEM, "connect: out of memory");
	rc = take_settings(k, addr, &c);
	if (rc < 0)
		connecting_free(k);
	else
		*ret = k;
	return rc;
}

/* ---- What comes of it -------------------------------------------------------------------------------- */

static void tell_none(struct tako_connecting *k, int why)
{
	tako_raw_config cfg = k->rule->cfg;
	char text[400];

	/* What is freed on the way may have words of its own. */
	snprintf(text, sizeof text, "%s", tako_last_error());
	connecting_free(k);
	tako__note("%s", text);
	if (cfg.on_close)
		cfg.on_close(NULL, why, cfg.arg);
}

static void on_dialed(const struct tako__dialed *r, void *arg)
{
	struct tako_connecting *k = arg;
	struct tako__raw_rule *rule = k->rule;
	tako_raw_config cfg = rule->cfg;
	bool opened;
	int rc;

	if (r->err < 0) {
		tell_none(k, r->err);
		return;
	}
	k->rule = NULL;
	connecting_free(k);
	rc = tako__raw_adopt(r->conn, rule, &opened);
	if (rc == 0)
		return;
	tako__conn_close(r->conn);
	/* Otherwise it is told at its end, as ever. */
	if (!opened && cfg.on_close)
		cfg.on_close(NULL, rc, cfg.arg);
}

static int begin(struct tako_connecting *k, struct tako__worker *w)
{
	struct tako__dial_options o = {
		.tls = k->tls,
		.server_name = k->name[0] ? k->name : NULL,
		.alpn = k->alpn[0] ? k->alpn : NULL,
		.timeout_ms = k->timeout_ms,
	};

	return tako__dial(&k->dial, w, &k->target, &o, on_dialed, k);
}

static int connect_on(tako_connecting **out, struct tako__worker *w, const char *addr,
                      const tako_connect_config *cfg)
{
	struct tako_connecting *k;
	int rc = connecting_new(&k, addr, cfg);

	if (rc < 0)
		return rc;
	rc = begin(k, w);
	if (rc < 0)
		connecting_free(k);
	else if (out)
		*out = k;
	return rc;
}

/* ---- Asking for it -------------------------------------------------------------------------------------- */

int tako_connect(tako_connecting **out, tako_res *res, const char *addr,
                 const tako_connect_config *cfg)
{
	if (!res || !addr)
		return tako__fail(TAKO_EINVAL, "tako_connect: no response or address");
	return connect_on(out, tako__x(res)->worker, addr, cfg);
}

int tako_raw_connect(tako_connecting **out, tako_raw *c, const char *addr,
                     const tako_connect_config *cfg)
{
	if (!c || !addr)
		return tako__fail(TAKO_EINVAL, "tako_raw_connect: no connection or address");
	return connect_on(out, tako__raw_conn(c)->worker, addr, cfg);
}

static void on_called(struct tako__mail *m)
{
	struct tako_connecting *k = TAKO__CONTAINER(m, struct tako_connecting, mail);
	int rc;

	tako__worker_called(k->worker);
	rc = begin(k, k->worker);
	if (rc < 0)
		tell_none(k, rc);
}

int tako_server_connect(tako_server *srv, const char *addr, const tako_connect_config *cfg)
{
	struct tako_connecting *k;
	int rc;

	if (!srv || !addr)
		return tako__fail(TAKO_EINVAL, "tako_server_connect: no server or address");
	rc = connecting_new(&k, addr, cfg);
	if (rc < 0)
		return rc;
	k->mail.fn = on_called;
	k->worker = tako__worker_call(srv);
	if (!k->worker) {
		connecting_free(k);
		return tako__fail(TAKO_ESTATE, "the server does not run");
	}
	tako__worker_post(k->worker, &k->mail);
	return 0;
}

void tako_connect_cancel(tako_connecting *k)
{
	tako__dial_cancel(k->dial);
	connecting_free(k);
}
