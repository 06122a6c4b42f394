/* SPDX-License-Identifier: MIT
 *
 * A listener asked for: what was set is checked against what the transport can do, made into rules, and
 * bound (bind.c).  All of it before the server starts; a setting that cannot apply is refused here.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/forwarded.h"
#include "core/proxied.h"
#include "core/rawed.h"
#include "core/server.h"

/* ---- Settings ---------------------------------------------------------------------------------------- */

/* Settings of layers where there are none. */
static int refuse_layered(const struct tako_transport *t, const tako_listen_config *c)
{
	const struct {
		const char *name;
		bool set;
	} fields[] = {
		{"cert_file", c->cert_file != NULL},
		{"key_file", c->key_file != NULL},
		{"cert", c->cert != NULL},
		{"cert_fn", c->cert_fn != NULL},
		{"cert_arg", c->cert_arg != NULL},
		{"client_ca_file", c->client_ca_file != NULL},
		{"client_ca_dir", c->client_ca_dir != NULL},
		{"client_ca", c->client_ca.n != 0},
		{"client_crl_file", c->client_crl_file != NULL},
		{"ticket_keys", c->ticket_keys != NULL},
		{"client_auth", c->client_auth != 0},
		{"tls_min_version", c->tls_min_version != 0},
		{"tls_tickets", c->tls_tickets != 0},
		{"no_h2", c->no_h2 != 0},
		{"tls_max_early_data_bytes", c->tls_max_early_data_bytes != 0},
	};

	for (size_t i = 0; i < TAKO__COUNT(fields); i++) {
		if (fields[i].set)
			return tako__fail(TAKO_ENOTSUP, "%s is set, but %s is without TLS",
			                  fields[i].name, t->name);
	}
	return 0;
}

/* Settings of what the transport is not. */
static int refuse_foreign(const struct tako_transport *t, const tako_listen_config *c)
{
	const bool quic = t->dgram && !t->udp;
	const struct {
		const char *name;
		bool set;
		bool here;
		const char *why;
	} fields[] = {
		{"wt", c->wt != NULL, t->sessions, "has no use for it"},
		{"wt_arg", c->wt_arg != NULL, t->sessions, "has no use for it"},
		{"quic_alpn", c->quic_alpn != NULL, t->sessions, "has no use for it"},
		{"backlog", c->backlog != 0, !t->dgram, "has none"},
		{"h3_qlog_dir", c->h3_qlog_dir != NULL, quic, "is without QUIC"},
		{"h3_qlog_max_files", c->h3_qlog_max_files != 0, quic, "is without QUIC"},
		{"h3_qlog_max_bytes", c->h3_qlog_max_bytes != 0, quic, "is without QUIC"},
		{"udp", c->udp != NULL, t->udp, "has no use for it"},
		{"proxy_protocol", c->proxy_protocol != 0, !t->dgram,
	         "has no connections to begin with a header"},
	};

	for (size_t i = 0; i < TAKO__COUNT(fields); i++) {
		if (fields[i].set && !fields[i].here)
			return tako__fail(TAKO_ENOTSUP, "%s is set, but %s %s", fields[i].name,
			                  t->name, fields[i].why);
	}
	return 0;
}

/* What a callback would get that is not there. */
static int refuse_idle(const tako_listen_config *c)
{
	if (c->cert_arg && !c->cert_fn)
		return tako__fail(TAKO_EINVAL, "cert_arg is set, but cert_fn is not");
	if (c->wt_arg && !c->wt)
		return tako__fail(TAKO_EINVAL, "wt_arg is set, but wt is not");
	return 0;
}

static int import_listen(tako_listen_config *out, const struct tako_transport *t,
                         const tako_listen_config *cfg)
{
	tako_listen_config c = {.size = sizeof c};
	int rc = cfg ? tako__import(&c, sizeof c, cfg, offsetof(tako_listen_config, backlog),
	                            "tako_listen_config")
	             : 0;

	if (rc == 0 && (!t->prepare || t->udp))
		rc = refuse_layered(t, &c);
	if (rc == 0)
		rc = refuse_foreign(t, &c);
	if (rc == 0)
		rc = refuse_idle(&c);
	if (rc < 0)
		return rc;
	if (c.backlog > INT32_MAX)
		return tako__fail(TAKO_EINVAL, "backlog is %u, not in 1 to %d", c.backlog,
		                  INT32_MAX);
	if (c.reserved)
		return tako__fail(TAKO_EINVAL, "reserved is %u, not 0", c.reserved);
	if (!c.backlog)
		c.backlog = 1024;
	*out = c;
	return 0;
}

/* ---- Rules -------------------------------------------------------------------------------------------- */

static int make_rules(struct tako__rules *r, struct tako_server *srv, const tako_transport *t,
                      const char *addr, const tako_listen_config *c)
{
	int rc = tako__proxy_rule_new(&r->proxy, c);

	if (rc == 0)
		rc = tako__raw_rule_new(&r->raw, t, addr, c);
	if (rc == 0)
		rc = tako__forward_rule_new(&r->forward, t, c);
	if (rc == 0 && t->prepare)
		rc = t->prepare(&r->shared, srv, c);
	return rc;
}

void tako__rules_free(const struct tako__rules *r, const tako_transport *t)
{
	if (r->shared)
		t->release(r->shared);
	tako__proxy_rule_free(r->proxy);
	tako__raw_rule_free(r->raw);
	tako__forward_rule_free(r->forward);
}

/* ---- Listening ---------------------------------------------------------------------------------------- */

static int set_options(struct tako_server *srv, const struct tako__address *a)
{
	int rc = 0;

	if (!a->transport->dgram || !a->transport->dgram->bound)
		return 0;
	for (unsigned i = 0; rc == 0 && i < srv->cfg.worker_count; i++)
		rc = a->transport->dgram->bound(a->fds[i], i, a->rules.shared);
	return rc;
}

/* The first one has the settings of all. */
static void free_all(struct tako_server *srv, struct tako__address *first)
{
	while (first) {
		struct tako__address *next = first->next;

		tako__address_free(srv, first);
		first = next;
	}
}

/* RFC 7838 section 3.  Of more ports than there is room for the first ones are enough. */
static void add_alt_svc(struct tako_server *srv, const char *protocol, const char *addr)
{
	size_t left = sizeof srv->alt_svc - srv->alt_svc_n;
	int n = snprintf(srv->alt_svc + srv->alt_svc_n, left, "%s%s=\":%s\"; ma=86400",
	                 srv->alt_svc_n ? ", " : "", protocol, strrchr(addr, ':') + 1);

	if (n > 0 && (size_t)n < left)
		srv->alt_svc_n += (size_t)n;
}

static int socket_type(const tako_transport *t, const struct tako__rules *r)
{
	if (t->dgram)
		return SOCK_DGRAM;
	return tako__raw_records(r->raw) ? SOCK_SEQPACKET : SOCK_STREAM;
}

static int may_listen(const tako_server *srv, const tako_transport *t, const char *addr)
{
	if (!srv || !t || !addr)
		return tako__fail(TAKO_EINVAL,
		                  "tako_server_listen: no server, transport or address");
	if (srv->started)
		return tako__fail(TAKO_ESTATE, "the server is started already");
	if (srv->listener_count == TAKO__LISTENERS_MAX || srv->address_count == TAKO__ADDRESSES_MAX)
		return tako__fail(TAKO_ETOOBIG, "more than %d listeners", TAKO__LISTENERS_MAX);
	if (!t->proto && !t->udp)
		return tako__fail(TAKO_ENOTSUP, "%s is not in this build", t->name);
	return 0;
}

int tako_server_listen(tako_server *srv, const tako_transport *t, const char *addr,
                       const tako_listen_config *cfg)
{
	tako_listen_config c = {0};
	struct tako__rules rules = {0};
	struct tako__address *a;
	int rc = may_listen(srv, t, addr);

	if (rc == 0)
		rc = import_listen(&c, t, cfg);
	if (rc < 0)
		return rc;
	rc = make_rules(&rules, srv, t, addr, &c);
	if (rc == 0)
		rc = tako__listen_bind(&a, srv, addr, socket_type(t, &rules), &c);
	if (rc < 0) {
		tako__rules_free(&rules, t);
		return rc;
	}
	/* They are the first address's from then on, and go with it. */
	for (struct tako__address *each = a; each; each = each->next) {
		each->transport = t;
		each->rules = rules;
		if (rc == 0)
			rc = set_options(srv, each);
	}
	if (rc < 0) {
		free_all(srv, a);
		return rc;
	}
	for (struct tako__address *each = a; each; each = each->next)
		srv->addresses[srv->address_count++] = each;
	srv->listener_count++;
	if (t->alt_svc && srv->cfg.alt_svc != TAKO_OFF)
		add_alt_svc(srv, t->alt_svc, a->text);
	return 0;
}

const struct tako__address *tako__server_listener(const struct tako_server *srv, size_t index)
{
	for (unsigned i = 0; i < srv->address_count; i++) {
		if (!srv->addresses[i]->extra && index-- == 0)
			return srv->addresses[i];
	}
	return NULL;
}

int tako_server_local_addr(const tako_server *srv, size_t index, char *buf, size_t buf_bytes)
{
	const struct tako__address *a = tako__server_listener(srv, index);
	size_t n;

	if (!a)
		return tako__fail(TAKO_ENOENT, "there is no listener %zu", index);
	n = strlen(a->text);
	if (n >= buf_bytes)
		return tako__fail(TAKO_ETOOBIG, "the address needs %zu bytes", n + 1);
	memcpy(buf, a->text, n + 1);
	return (int)n;
}
