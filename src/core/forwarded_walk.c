/* SPDX-License-Identifier: MIT
 *
 * Whom to believe about a request's client: from whoever connected back through proxies that are trusted.
 * Looks at nothing unless asked, and never at what somebody has written who is not trusted.
 */
#include <stdlib.h>
#include <string.h>
#include <tako/forwarded.h>
#include <tako/proxy.h>

#include "core/cidr.h"
#include "core/conn.h"
#include "core/exchange.h"
#include "core/forwarded.h"
#include "core/mem.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"

enum { MAX_HOPS = 16, MAX_HOPS_MAX = 100, ADDR_BYTES = 80 };

/* ---- Settings ---------------------------------------------------------------------------------- */

static int check_name(const tako_listen_config *cfg)
{
	size_t n = cfg->forwarded_name ? strlen(cfg->forwarded_name) : 0;

	if (cfg->forwarded != TAKO_FORWARDED_NAMED)
		return cfg->forwarded_name
		               ? tako__fail(TAKO_EINVAL, "forwarded_name is set, but forwarded is "
		                                         "not TAKO_FORWARDED_NAMED")
		               : 0;
	if (!n || n > 128 || !tako__all(cfg->forwarded_name, n, TAKO__C_TOKEN))
		return tako__fail(TAKO_EINVAL, "forwarded_name is not the name of a field");
	return 0;
}

static int check(const tako_transport *t, const tako_listen_config *cfg)
{
	if (t->udp || (t->sessions && !t->alt_svc))
		return tako__fail(TAKO_ENOTSUP, "forwarded is set, but %s has no requests",
		                  t->name);
	if (cfg->forwarded > TAKO_FORWARDED_NAMED)
		return tako__fail(TAKO_EINVAL, "forwarded is %u, not in 0 to 3", cfg->forwarded);
	/* Otherwise anybody could be anybody, and nobody would notice. */
	if (!cfg->forwarded_trusted)
		return tako__fail(TAKO_EINVAL, "forwarded is set: forwarded_trusted must say whose "
		                               "word is believed");
	if (cfg->forwarded_max_hops > MAX_HOPS_MAX)
		return tako__fail(TAKO_EINVAL, "forwarded_max_hops is %u, not in 1 to %d",
		                  cfg->forwarded_max_hops, MAX_HOPS_MAX);
	if (cfg->forwarded_log > 1)
		return tako__fail(TAKO_EINVAL, "forwarded_log is %u, not 0 or 1",
		                  cfg->forwarded_log);
	return check_name(cfg);
}

/* Knobs of what is not on. */
static int refuse_idle(const tako_listen_config *cfg)
{
	const struct {
		const char *name;
		bool set;
	} fields[] = {
		{"forwarded_trusted", cfg->forwarded_trusted != NULL},
		{"forwarded_name", cfg->forwarded_name != NULL},
		{"forwarded_max_hops", cfg->forwarded_max_hops != 0},
		{"forwarded_log", cfg->forwarded_log != 0},
	};

	for (size_t i = 0; i < TAKO__COUNT(fields); i++) {
		if (fields[i].set)
			return tako__fail(TAKO_EINVAL, "%s is set, but forwarded is not",
			                  fields[i].name);
	}
	return 0;
}

static int fill(struct tako__forward_rule *rule, const tako_listen_config *cfg)
{
	rule->family = cfg->forwarded;
	rule->max_hops = cfg->forwarded_max_hops ? cfg->forwarded_max_hops : MAX_HOPS;
	rule->log = cfg->forwarded_log != 0;
	if (cfg->forwarded_name) {
		rule->name = tako__strndup(cfg->forwarded_name, strlen(cfg->forwarded_name));
		if (!rule->name)
			return tako__fail(TAKO_ENOMEM, "listener: out of memory");
	}
	return tako__cidrs_parse(&rule->trusted, cfg->forwarded_trusted, "forwarded_trusted");
}

int tako__forward_rule_new(struct tako__forward_rule **ret, const tako_transport *t,
                           const tako_listen_config *cfg)
{
	struct tako__forward_rule *rule;
	int rc;

	*ret = NULL;
	if (!cfg->forwarded)
		return refuse_idle(cfg);
	rc = check(t, cfg);
	if (rc < 0)
		return rc;
	rule = tako__zalloc(sizeof *rule);
	if (!rule)
		return tako__fail(TAKO_ENOMEM, "listener: out of memory");
	rc = fill(rule, cfg);
	if (rc < 0)
		tako__forward_rule_free(rule);
	else
		*ret = rule;
	return rc;
}

void tako__forward_rule_free(struct tako__forward_rule *rule)
{
	if (!rule)
		return;
	tako__cidrs_free(rule->trusted);
	if (rule->name)
		tako__free(rule->name, strlen(rule->name) + 1);
	tako__free(rule, sizeof *rule);
}

/* ---- Elements of a request's fields, from the last one ------------------------------------------------ */

void tako__hop_lines_init(struct tako__hop_lines *l, const struct tako__exchange *x,
                          const char *name, bool quoted)
{
	*l = (struct tako__hop_lines){.x = x,
	                              .name = name,
	                              .name_n = strlen(name),
	                              .left = x->field_count,
	                              .quoted = quoted};
}

bool tako__hop_line_before(struct tako__hop_lines *l)
{
	while (l->left > 0) {
		const struct tako__field *f = &l->x->fields[--l->left];

		if (f->name_n != l->name_n || !tako__str_ieq(f->name, l->name, l->name_n))
			continue;
		l->rest = (tako_str){f->value, f->value_n};
		return true;
	}
	return false;
}

int tako__hop_before(struct tako__hop_lines *l, tako_str *ret)
{
	int rc;

	do {
		rc = tako__hop_take(&l->rest, l->quoted, ret);
	} while (rc == 0 && tako__hop_line_before(l));
	return rc;
}

/* ---- The walk ------------------------------------------------------------------------------------------- */

/* What is found out so far, text in the exchange's arena. */
struct found {
	union tako__node_addr addr; /* of whoever connected, or was named last */
	const char *hidden;         /* … instead of an address */
	uint32_t hops;
	uint32_t why;
	tako_str proto;
	tako_str host;
	tako_str by;
};

/* Copied, if it was said; else what was said farther from the client goes on counting. */
static int keep_word(struct tako__arena *arena, tako_str *to, tako_str said)
{
	if (!said.p)
		return 0;
	to->p = tako__arena_strndup(arena, said.p, said.n);
	to->n = said.n;
	return to->p ? 0 : TAKO_ENOMEM;
}

/* A proxy is believed. */
static int believe(struct tako__arena *arena, struct found *f, const struct tako__hop *hop)
{
	int rc = keep_word(arena, &f->proto, hop->proto);

	if (rc == 0)
		rc = keep_word(arena, &f->host, hop->host);
	if (rc == 0)
		rc = keep_word(arena, &f->by, hop->by);
	f->hops++;
	f->why = hop->kind == TAKO__NODE_ADDRESS ? TAKO_CLIENT_FOUND : TAKO_CLIENT_HIDDEN;
	if (hop->kind == TAKO__NODE_ADDRESS) {
		memcpy(&f->addr, &hop->addr, sizeof f->addr);
		return rc;
	}
	f->hidden = hop->node.p ? tako__arena_strndup(arena, hop->node.p, hop->node.n) : "unknown";
	return f->hidden ? rc : TAKO_ENOMEM;
}

static int parse(uint32_t family, struct tako__hop *hop, tako_str element)
{
	return family == TAKO_FORWARDED_STANDARD ? tako__hop_parse(hop, element)
	                                         : tako__hop_parse_plain(hop, element);
}

/* One step, from an address that is trusted.  1: to another one; 0: there is no more; TAKO_ENOMEM. */
static int step(struct tako__exchange *x, struct tako__hop_lines *l, struct found *f)
{
	const struct tako__forward_rule *rule = x->conn->listener->forward;
	struct tako__hop hop;
	tako_str element;
	int rc = tako__hop_before(l, &element);

	f->why = TAKO_CLIENT_MALFORMED;
	if (rc == 0)
		f->why = TAKO_CLIENT_NO_MORE;
	else if (f->hops == rule->max_hops)
		f->why = TAKO_CLIENT_TOO_MANY;
	else if (rc > 0 && parse(rule->family, &hop, element) == 0)
		rc = believe(&x->arena, f, &hop);
	else
		rc = 0;
	return rc < 0 ? rc : f->why == TAKO_CLIENT_FOUND;
}

/* A list, from its end. */
static int walk_list(struct tako__exchange *x, struct found *f, const char *name, bool quoted)
{
	const struct tako__forward_rule *rule = x->conn->listener->forward;
	struct tako__hop_lines l;
	int rc = 1;

	tako__hop_lines_init(&l, x, name, quoted);
	while (rc > 0 && tako__cidrs_have(rule->trusted, &f->addr.any))
		rc = step(x, &l, f);
	return rc < 0 ? rc : 0;
}

/* A field that must be there once, with one address, which is then the client's whoever that is. */
static int take_named(struct tako__exchange *x, struct found *f)
{
	const struct tako__forward_rule *rule = x->conn->listener->forward;
	struct tako__hop_lines l;
	struct tako__hop hop;

	if (!tako__cidrs_have(rule->trusted, &f->addr.any))
		return 0;
	tako__hop_lines_init(&l, x, rule->name, false);
	f->why = TAKO_CLIENT_NO_MORE;
	if (!tako__hop_line_before(&l))
		return 0;
	f->why = TAKO_CLIENT_MALFORMED;
	if (tako__hop_parse_plain(&hop, tako__str_trim(l.rest)) < 0 || tako__hop_line_before(&l))
		return 0;
	return believe(&x->arena, f, &hop);
}

/* Of a list beside X-Forwarded-For: what the last believed proxy has put there, which is as far from the
 * end as proxies have been believed, unless those before it replaced the field instead. */
static tako_str beside(const struct tako__exchange *x, const char *name, uint32_t hops)
{
	tako_str found = {NULL, 0};
	struct tako__hop_lines l;
	tako_str element;

	tako__hop_lines_init(&l, x, name, false);
	while (hops-- > 0 && tako__hop_before(&l, &element) > 0)
		found = element;
	return found;
}

static int take_beside(struct tako__exchange *x, struct found *f)
{
	tako_str proto = beside(x, "x-forwarded-proto", f->hops);
	tako_str host = beside(x, "x-forwarded-host", f->hops);
	int rc = 0;

	if (tako__hop_proto_ok(proto))
		rc = keep_word(&x->arena, &f->proto, proto);
	if (rc == 0 && tako__hop_host_ok(host))
		rc = keep_word(&x->arena, &f->host, host);
	return rc;
}

static int walk(struct tako__exchange *x, struct found *f)
{
	uint32_t family = x->conn->listener->forward->family;
	int rc;

	if (family == TAKO_FORWARDED_NAMED)
		return take_named(x, f);
	if (family == TAKO_FORWARDED_STANDARD)
		return walk_list(x, f, "forwarded", true);
	rc = walk_list(x, f, "x-forwarded-for", false);
	return rc < 0 ? rc : take_beside(x, f);
}

/* ---- What is kept of it ------------------------------------------------------------------------------ */

/* "192.0.2.1:80" without the port, and without the brackets that are there for its sake. */
static void set_addr(struct tako__arena *arena, tako_client_info *c, const struct sockaddr *sa)
{
	char node[ADDR_BYTES];
	size_t n = tako__addr_format(sa, node, sizeof node);
	size_t begin = node[0] == '[';
	size_t end = n;

	if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6) {
		end = (size_t)(strrchr(node, ':') - node);
		c->port = (uint32_t)strtoul(node + end + 1, NULL, 10);
		c->node = tako__arena_strndup(arena, node, c->port ? n : end);
	}
	c->addr = tako__arena_strndup(arena, node + begin, end - 2 * begin);
	if (!c->node)
		c->node = c->addr;
}

/* "https" is what its own transport says, or the balancer's of which a PROXY header tells. */
const char *tako__exchange_scheme(struct tako__exchange *x)
{
	tako_proxy_info proxy = {.size = sizeof proxy};

	/* TLS is the only layer that there is, and a connection without a socket is QUIC's. */
	if (x->conn->top || (x->conn->flags & TAKO__CONN_CARRIED))
		return "https";
	if (x->conn->proxied && tako_req_proxy_info(tako__req(x), &proxy) == 0 &&
	    (proxy.ssl_client & TAKO_PROXY_CLIENT_SSL))
		return "https";
	return "http";
}

static char *lower(struct tako__arena *arena, tako_str s)
{
	char *to = tako__arena_strndup(arena, s.p, s.n);

	for (size_t i = 0; to && i < s.n; i++)
		to[i] = (char)(to[i] >= 'A' && to[i] <= 'Z' ? to[i] | 0x20 : to[i]);
	return to;
}

static tako_client_info *keep(struct tako__exchange *x, const struct found *f)
{
	struct tako__arena *arena = &x->arena;
	tako_client_info *c = tako__arena_zalloc(arena, sizeof *c);

	if (!c)
		return NULL;
	c->size = sizeof *c;
	if (f->hidden)
		c->addr = c->node = f->hidden;
	else
		set_addr(arena, c, &f->addr.any);
	c->scheme = f->proto.p ? lower(arena, f->proto) : tako__exchange_scheme(x);
	c->host = f->host;
	c->by = f->by;
	c->hop_count = f->hops;
	c->why = f->why;
	/* The head may go before the exchange does (tako__exchange_shed()). */
	if (!f->host.p && keep_word(arena, &c->host, x->host) < 0)
		return NULL;
	return c->addr && c->node && c->scheme ? c : NULL;
}

static tako_client_info *find(struct tako__exchange *x)
{
	struct found f;

	memset(&f, 0, sizeof f);
	memcpy(&f.addr, &x->conn->peer, sizeof f.addr);
	if (x->conn->listener->forward && walk(x, &f) < 0)
		return NULL;
	return keep(x, &f);
}

/* What the client is remembered by. */
static const char key;

int tako__exchange_client(const tako_client_info **ret, struct tako__exchange *x)
{
	tako_client_info *c = tako_req_get(tako__req(x), &key);

	if (!c && !x->conn)
		return tako__fail(TAKO_ECLOSED, "client: the connection is gone");
	if (!c) {
		c = find(x);
		if (!c || tako_req_set(tako__req(x), &key, c) < 0)
			return tako__fail(TAKO_ENOMEM, "client: out of memory");
	}
	*ret = c;
	return 0;
}

const tako_client_info *tako__exchange_client_logged(struct tako__exchange *x)
{
	const struct tako__forward_rule *rule = x->conn ? x->conn->listener->forward : NULL;
	const tako_client_info *c = NULL;

	/* Of a connection that is gone only what was asked for before is known. */
	if (!x->conn)
		return tako_req_get(tako__req(x), &key);
	if (rule && rule->log && tako__exchange_client(&c, x) < 0)
		return NULL;
	return c;
}

int tako_req_client(tako_req *req, tako_client_info *out)
{
	const tako_client_info *c;
	int rc;

	if (!out || out->size < sizeof(size_t) || out->size > sizeof *out)
		return tako__fail(TAKO_EINVAL, "tako_client_info: size is not set");
	rc = tako__exchange_client(&c, tako__x(req));
	if (rc < 0)
		return rc;
	memcpy((char *)out + sizeof out->size, (const char *)c + sizeof out->size,
	       out->size - sizeof out->size);
	return 0;
}
