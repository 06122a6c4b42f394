/* SPDX-License-Identifier: MIT
 *
 * What proxies say of a request's origin: elements of Forwarded (RFC 7239 section 4) and of the lists
 * that were there before it.  Sans-I/O; knows not whom to believe, which is forwarded_walk.c's.
 */
#ifndef TAKO_CORE_FORWARDED_H
#define TAKO_CORE_FORWARDED_H

#include <netinet/in.h>
#include <tako/server.h>

struct tako__cidrs;
struct tako__exchange;
struct tako_client_info;

/* ---- The grammar ------------------------------------------------------------------------- */

enum tako__node_kind {
	TAKO__NODE_NONE, /* not said */
	TAKO__NODE_ADDRESS,
	TAKO__NODE_UNKNOWN,
	TAKO__NODE_HIDDEN, /* an obfuscated identifier (section 6.3) */
};

union tako__node_addr {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Of an element, all its values together: no name or address is as long. */
enum { TAKO__HOP_TEXT_BYTES = 1024 };

/* One element: what one proxy says.  Text points into it, and is {NULL, 0} if it was not said. */
struct tako__hop {
	enum tako__node_kind kind; /* of "for" */
	uint32_t used;
	union tako__node_addr addr; /* TAKO__NODE_ADDRESS; port 0: not known */
	tako_str node;              /* as it came, without quotes */
	tako_str by;
	tako_str host;
	tako_str proto;
	char text[TAKO__HOP_TEXT_BYTES];
};

/* Take the last element off `rest`, which is one line of the field; empty ones are passed over (RFC 9110
 * section 5.6.1.2).  From the right, so that what somebody sent ahead, quotes that never end included,
 * changes nothing of what a proxy has put behind it; of a well-formed line it takes the elements that a
 * reader from the left sees.  `quoted`: a comma in a quoted string divides nothing.
 *   1  found;  0  the end;  TAKO_EINVAL  not the grammar, `rest` is then of no use */
int tako__hop_take(tako_str *rest, bool quoted, tako_str *ret);

/* Read an element of Forwarded.  TAKO_EINVAL: it is none, or has a parameter of ours twice. */
int tako__hop_parse(struct tako__hop *ret, tako_str element);
/* The same for one of X-Forwarded-For, and for fields with one address: an address, IPv6 with brackets or
 * without, where only the former may have a port; or what else a node may be. */
int tako__hop_parse_plain(struct tako__hop *ret, tako_str element);

/* Read "for" and "by" (section 6): TAKO_EINVAL, or what it is, whose address goes to `ret`. */
int tako__hop_node(struct tako__hop *ret, tako_str text);
/* What "proto" and "host" may have (RFC 3986 sections 3.1 and 3.2.2). */
bool tako__hop_proto_ok(tako_str text);
bool tako__hop_host_ok(tako_str text);

/* ---- Whom to believe --------------------------------------------------------------------- */

/* One address's settings. */
struct tako__forward_rule {
	struct tako__cidrs *trusted;
	char *name; /* TAKO_FORWARDED_NAMED's field */
	uint32_t family;
	uint32_t max_hops;
	bool log; /* the access log names the client */
};

/* Check and keep a listener's settings; *ret is NULL where it has none.  TAKO_EINVAL, TAKO_ENOTSUP,
 * TAKO_ENOMEM. */
int tako__forward_rule_new(struct tako__forward_rule **ret, const tako_transport *t,
                           const tako_listen_config *cfg);
/* NULL is fine. */
void tako__forward_rule_free(struct tako__forward_rule *rule);

/* The exchange's client; found once, then remembered.  TAKO_ECLOSED: the connection is gone, and nobody has
 * asked before; TAKO_ENOMEM. */
int tako__exchange_client(const struct tako_client_info **ret, struct tako__exchange *x);
/* The client for the access log; NULL unless the listener wants it to be named there. */
const struct tako_client_info *tako__exchange_client_logged(struct tako__exchange *x);
/* "https" or "http", of the exchange's connection, which must be there. */
const char *tako__exchange_scheme(struct tako__exchange *x);

/* ---- Elements of a request's fields, from the last one --------------------------------------- */

/* A field's lines are one list (RFC 9110 section 5.3), but a quoted string ends in the line it began in. */
struct tako__hop_lines {
	const struct tako__exchange *x;
	const char *name;
	size_t name_n;
	uint32_t left; /* fields before this one have not been looked at */
	tako_str rest; /* of the line that is */
	bool quoted;
};

void tako__hop_lines_init(struct tako__hop_lines *l, const struct tako__exchange *x,
                          const char *name, bool quoted);
/* Go to the line before; false: there is none. */
bool tako__hop_line_before(struct tako__hop_lines *l);
/* As tako__hop_take(), over all lines. */
int tako__hop_before(struct tako__hop_lines *l, tako_str *ret);

#endif /* TAKO_CORE_FORWARDED_H */
