/* SPDX-License-Identifier: MIT
 *
 * What a server behind is told of a request's origin.  Passes on nothing that a reader could misunderstand.
 */
#include <string.h>
#include <tako/forwarded.h>

#include "core/conn.h"
#include "core/exchange.h"
#include "core/forwarded.h"
#include "core/str.h"
#include "core/value.h"

/* A buffer that says at the end whether all had room. */
struct writer {
	char *p;
	size_t n;
	size_t room;
};

static void put(struct writer *w, tako_str s)
{
	if (s.n && w->n <= w->room && s.n <= w->room - w->n)
		memcpy(w->p + w->n, s.p, s.n);
	w->n += s.n;
}

/* token or quoted-string; hosts and nodes have nothing that would have to be escaped in one. */
static void put_value(struct writer *w, tako_str s)
{
	if (s.n && tako__all(s.p, s.n, TAKO__C_TOKEN)) {
		put(w, s);
		return;
	}
	put(w, TAKO_STR("\""));
	put(w, s);
	put(w, TAKO_STR("\""));
}

static void put_param(struct writer *w, tako_str name, tako_str value)
{
	if (w->n)
		put(w, TAKO_STR(";"));
	put(w, name);
	put_value(w, value);
}

/* ---- What came along -------------------------------------------------------------------------------- */

/* Where what is well-formed begins: at line `first`, from `from` on.  Of what stands before that a walk from
 * the end would see nothing, and a reader from the beginning perhaps something else. */
struct good {
	uint32_t first;
	const char *from;
};

static void find_good(struct good *g, const struct tako__exchange *x, const char *name, bool quoted)
{
	struct tako__hop_lines l;
	struct tako__hop hop;
	tako_str element;

	*g = (struct good){.first = x->field_count, .from = NULL};
	tako__hop_lines_init(&l, x, name, quoted);
	while (tako__hop_before(&l, &element) > 0) {
		if ((quoted ? tako__hop_parse(&hop, element)
		            : tako__hop_parse_plain(&hop, element)) < 0)
			return;
		g->first = l.left;
		g->from = element.p;
	}
}

static void put_good(struct writer *w, const struct tako__exchange *x, tako_str name, bool quoted)
{
	struct good g;

	find_good(&g, x, name.p, quoted);
	for (uint32_t i = g.first; i < x->field_count; i++) {
		const struct tako__field *f = &x->fields[i];
		size_t skip = i == g.first ? (size_t)(g.from - f->value) : 0;
		tako_str rest = {f->value + skip, f->value_n - skip};
		tako_str element;

		if (f->name_n != name.n || !tako__str_ieq(f->name, name.p, name.n))
			continue;
		while (tako__element_next(&rest, &element)) {
			put(w, element);
			put(w, TAKO_STR(", "));
		}
	}
}

/* ---- Our own element ------------------------------------------------------------------------------- */

enum { NODE_BYTES = 80 };

/* Whoever connected, as he may be called: by the address, IPv6 in brackets where `brackets` or a port ask
 * for them. */
static tako_str own_node(char buf[NODE_BYTES], const struct tako__exchange *x,
                         const tako_forward_config *cfg, bool brackets)
{
	const struct sockaddr *sa = &x->conn->peer.any;
	tako_str s = {buf, 0};

	if (cfg->node)
		return tako_str_z(cfg->node);
	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return TAKO_STR("unknown");
	s.n = tako__addr_format(sa, buf, NODE_BYTES);
	if (cfg->with_port)
		return s;
	s.n = (size_t)(strrchr(buf, ':') - buf);
	return buf[0] == '[' && !brackets ? (tako_str){buf + 1, s.n - 2} : s;
}

static void put_forwarded(struct writer *w, struct tako__exchange *x,
                          const tako_forward_config *cfg)
{
	struct writer own = {.p = w->p};
	char node[NODE_BYTES];

	if (!cfg->replace)
		put_good(w, x, TAKO_STR("forwarded"), true);
	own.p = w->p + (w->n < w->room ? w->n : w->room);
	own.room = w->n < w->room ? w->room - w->n : 0;
	put_param(&own, TAKO_STR("for="), own_node(node, x, cfg, true));
	if (cfg->by)
		put_param(&own, TAKO_STR("by="), tako_str_z(cfg->by));
	if (tako__hop_host_ok(x->host))
		put_param(&own, TAKO_STR("host="), x->host);
	put_param(&own, TAKO_STR("proto="), tako_str_z(tako__exchange_scheme(x)));
	w->n += own.n;
}

static void put_for(struct writer *w, struct tako__exchange *x, const tako_forward_config *cfg)
{
	char node[NODE_BYTES];

	if (!cfg->replace)
		put_good(w, x, TAKO_STR("x-forwarded-for"), false);
	put(w, own_node(node, x, cfg, false));
}

/* ---- Public ------------------------------------------------------------------------------------------ */

static int check(const tako_forward_config *cfg, uint32_t field)
{
	struct tako__hop hop;
	int kind;

	if (field > TAKO_FORWARD_HOST)
		return tako__fail(TAKO_EINVAL, "tako_req_forward: there is no field %u", field);
	kind = cfg->node ? tako__hop_node(&hop, tako_str_z(cfg->node)) : TAKO__NODE_UNKNOWN;
	if (kind != TAKO__NODE_UNKNOWN && kind != TAKO__NODE_HIDDEN)
		return tako__fail(TAKO_EINVAL,
		                  "tako_forward_config: node is neither \"unknown\" nor "
		                  "\"_\" and a name");
	if (cfg->by && tako__hop_node(&hop, tako_str_z(cfg->by)) < 0)
		return tako__fail(TAKO_EINVAL,
		                  "tako_forward_config: by is neither an address nor a name");
	return 0;
}

static int write_field(struct writer *w, struct tako__exchange *x, uint32_t field,
                       const tako_forward_config *cfg)
{
	const tako_client_info *client;
	int rc;

	if (field == TAKO_FORWARD_STANDARD) {
		put_forwarded(w, x, cfg);
		return 0;
	}
	if (field == TAKO_FORWARD_FOR) {
		put_for(w, x, cfg);
		return 0;
	}
	rc = tako__exchange_client(&client, x);
	if (rc < 0)
		return rc;
	if (field == TAKO_FORWARD_HOST && !client->host.n)
		return tako__fail(TAKO_ENOENT, "the request has no host");
	put(w, field == TAKO_FORWARD_HOST ? client->host : tako_str_z(client->scheme));
	return 0;
}

int tako_req_forward(tako_req *req, uint32_t field, const tako_forward_config *cfg, char *buf,
                     size_t buf_bytes)
{
	struct tako__exchange *x = tako__x(req);
	struct writer w = {.p = buf, .room = buf_bytes < INT32_MAX ? buf_bytes : INT32_MAX};
	tako_forward_config c = {.size = sizeof c};
	int rc = cfg ? tako__import(&c, sizeof c, cfg, sizeof c, "tako_forward_config") : 0;

	if (rc == 0)
		rc = check(&c, field);
	if (rc == 0 && !x->conn)
		rc = tako__fail(TAKO_ECLOSED, "the connection is gone");
	if (rc == 0)
		rc = write_field(&w, x, field, &c);
	if (rc < 0)
		return rc;
	if (w.n > w.room)
		return tako__fail(TAKO_ETOOBIG, "the field needs %zu bytes", w.n);
	return (int)w.n;
}
