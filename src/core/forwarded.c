/* SPDX-License-Identifier: MIT
 *
 * See forwarded.h.  As strict as the grammar: what two readers could understand differently decides who a
 * client is taken for.
 */
#include "core/forwarded.h"

#include <arpa/inet.h>

#include "core/base.h"
#include "core/str.h"

/* ---- Elements of a line, from the right ------------------------------------------------------ */

/* Where the quoted string begins whose last quote is at `close`; `close` if it does nowhere.  One behind an
 * odd number of backslashes is a character of it. */
static size_t quote_begin(tako_str s, size_t close)
{
	size_t i = close;

	while (i-- > 0) {
		size_t from = i;

		if (s.p[i] != '"')
			continue;
		while (from > 0 && s.p[from - 1] == '\\')
			from--;
		if ((i - from) % 2 == 0)
			return i;
		i = from;
	}
	return close;
}

/* Where the last element begins; s.n + 1: a quote in it has no other. */
static size_t last_begin(tako_str s, bool quoted)
{
	size_t i = s.n;

	while (i > 0 && s.p[i - 1] != ',') {
		i--;
		if (quoted && s.p[i] == '"') {
			size_t from = quote_begin(s, i);

			if (from == i)
				return s.n + 1;
			i = from;
		}
	}
	return i;
}

int tako__hop_take(tako_str *rest, bool quoted, tako_str *ret)
{
	while (rest->n) {
		size_t at = last_begin(*rest, quoted);

		if (at > rest->n)
			return TAKO_EINVAL;
		*ret = tako__str_trim((tako_str){rest->p + at, rest->n - at});
		rest->n = at ? at - 1 : 0;
		if (ret->n)
			return 1;
	}
	return 0;
}

/* ---- Nodes: section 6 ------------------------------------------------------------------------- */

static bool all_of(tako_str s, unsigned classes, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!tako__is(s.p[i], classes) && (!s.p[i] || !strchr(more, s.p[i])))
			return false;
	}
	return s.n > 0;
}

/* obfnode and obfport: "_" 1*( ALPHA / DIGIT / "." / "_" / "-") */
static bool is_obfuscated(tako_str s)
{
	return s.n > 1 && s.p[0] == '_' &&
	       all_of((tako_str){s.p + 1, s.n - 1}, TAKO__C_ALPHA | TAKO__C_DIGIT, "._-");
}

/* 1*5DIGIT, or a name for it, which leaves *ret 0. */
static bool parse_port(tako_str s, uint16_t *ret)
{
	uint64_t value;

	if (is_obfuscated(s))
		return true;
	if (!s.n || s.n > 5 || tako__parse_u64(s.p, s.n, &value) < 0 || value > UINT16_MAX)
		return false;
	*ret = (uint16_t)value;
	return true;
}

static bool parse_ip(int family, tako_str s, void *ret)
{
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof text || !all_of(s, TAKO__C_DIGIT | TAKO__C_ALPHA, ".:"))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, ret) == 1;
}

static int set_in6(struct tako__hop *ret, tako_str ip, uint16_t port)
{
	ret->addr.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
	return parse_ip(AF_INET6, ip, &ret->addr.in6.sin6_addr) ? TAKO__NODE_ADDRESS : TAKO_EINVAL;
}

static int set_in(struct tako__hop *ret, tako_str ip, uint16_t port)
{
	ret->addr.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	return parse_ip(AF_INET, ip, &ret->addr.in.sin_addr) ? TAKO__NODE_ADDRESS : TAKO_EINVAL;
}

/* Up to the port's colon, which in brackets is none. */
static size_t name_length(tako_str s)
{
	const char *from = s.n && s.p[0] == '[' ? memchr(s.p, ']', s.n) : s.p;
	const char *colon = from ? memchr(from, ':', s.n - (size_t)(from - s.p)) : NULL;

	return colon ? (size_t)(colon - s.p) : s.n;
}

int tako__hop_node(struct tako__hop *ret, tako_str text)
{
	tako_str name = {text.p, text.n ? name_length(text) : 0};
	uint16_t port = 0;

	if (!name.n || (name.n < text.n &&
	                !parse_port((tako_str){name.p + name.n + 1, text.n - name.n - 1}, &port)))
		return TAKO_EINVAL;
	if (name.p[0] == '[' && name.p[name.n - 1] == ']' && name.n > 2)
		return set_in6(ret, (tako_str){name.p + 1, name.n - 2}, port);
	if (tako_str_ieq(name, TAKO_STR("unknown")))
		return TAKO__NODE_UNKNOWN;
	return is_obfuscated(name) ? TAKO__NODE_HIDDEN : set_in(ret, name, port);
}

/* ---- Other values ------------------------------------------------------------------------------ */

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) */
bool tako__hop_proto_ok(tako_str text)
{
	return text.n && tako__is(text.p[0], TAKO__C_ALPHA) &&
	       all_of(text, TAKO__C_ALPHA | TAKO__C_DIGIT, "+-.");
}

/* A host with or without a port.  That its escapes are ones is for whoever resolves it. */
bool tako__hop_host_ok(tako_str text)
{
	tako_str name = {text.p, text.n ? name_length(text) : 0};
	struct in6_addr in6;
	uint64_t port;

	if (!name.n)
		return false;
	if (name.n < text.n &&
	    (tako__parse_u64(name.p + name.n + 1, text.n - name.n - 1, &port) < 0 ||
	     port > UINT16_MAX))
		return false;
	if (name.p[0] == '[')
		return name.n > 2 && name.p[name.n - 1] == ']' &&
		       parse_ip(AF_INET6, (tako_str){name.p + 1, name.n - 2}, &in6);
	return all_of(name, TAKO__C_UNRESERVED, "%!$&'()*+;=");
}

/* ---- Forwarded: section 4 ------------------------------------------------------------------------ */

/* token or quoted-string, copied without quotes; `rest` moved behind it. */
static int take_quoted(struct tako__hop *h, tako_str *rest, tako_str *ret)
{
	size_t i = 1;

	for (; i < rest->n && rest->p[i] != '"'; i++) {
		i += rest->p[i] == '\\';
		if (i >= rest->n || !tako__is(rest->p[i], TAKO__C_FIELD) ||
		    h->used == sizeof h->text)
			return TAKO_EINVAL;
		h->text[h->used++] = rest->p[i];
		ret->n++;
	}
	if (i >= rest->n)
		return TAKO_EINVAL;
	*rest = (tako_str){rest->p + i + 1, rest->n - i - 1};
	return 0;
}

static int take_token(struct tako__hop *h, tako_str *rest, tako_str *ret)
{
	while (ret->n < rest->n && tako__is(rest->p[ret->n], TAKO__C_TOKEN))
		ret->n++;
	if (!ret->n || ret->n > sizeof h->text - h->used)
		return TAKO_EINVAL;
	memcpy(h->text + h->used, rest->p, ret->n);
	h->used += (uint32_t)ret->n;
	*rest = (tako_str){rest->p + ret->n, rest->n - ret->n};
	return 0;
}

static int take_value(struct tako__hop *h, tako_str *rest, tako_str *ret)
{
	*ret = (tako_str){h->text + h->used, 0};
	return rest->n && rest->p[0] == '"' ? take_quoted(h, rest, ret) : take_token(h, rest, ret);
}

static int set_once(tako_str *field, tako_str value)
{
	if (field->p)
		return TAKO_EINVAL;
	*field = value;
	return 0;
}

/* "Each parameter MUST NOT occur more than once".  Extensions (section 5.5) are somebody else's. */
static int set_param(struct tako__hop *h, tako_str name, tako_str value)
{
	struct tako__hop other;
	int kind;

	if (tako_str_ieq(name, TAKO_STR("for"))) {
		kind = tako__hop_node(h, value);
		if (kind < 0 || set_once(&h->node, value) < 0)
			return TAKO_EINVAL;
		h->kind = (enum tako__node_kind)kind;
	} else if (tako_str_ieq(name, TAKO_STR("by"))) {
		return tako__hop_node(&other, value) < 0 ? TAKO_EINVAL : set_once(&h->by, value);
	} else if (tako_str_ieq(name, TAKO_STR("host"))) {
		return tako__hop_host_ok(value) ? set_once(&h->host, value) : TAKO_EINVAL;
	} else if (tako_str_ieq(name, TAKO_STR("proto"))) {
		return tako__hop_proto_ok(value) ? set_once(&h->proto, value) : TAKO_EINVAL;
	}
	return 0;
}

static void hop_init(struct tako__hop *h)
{
	memset(h, 0, offsetof(struct tako__hop, text));
}

/* forwarded-pair = token "=" value, without white space */
static int take_pair(struct tako__hop *h, tako_str *rest)
{
	tako_str name = {rest->p, 0};
	tako_str value;

	while (name.n < rest->n && tako__is(name.p[name.n], TAKO__C_TOKEN))
		name.n++;
	if (!name.n || name.n == rest->n || rest->p[name.n] != '=')
		return TAKO_EINVAL;
	*rest = (tako_str){rest->p + name.n + 1, rest->n - name.n - 1};
	if (take_value(h, rest, &value) < 0 || (rest->n && rest->p[0] != ';'))
		return TAKO_EINVAL;
	return set_param(h, name, value);
}

/* forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] ) */
int tako__hop_parse(struct tako__hop *ret, tako_str element)
{
	int rc = 0;

	hop_init(ret);
	while (rc == 0 && element.n) {
		if (element.p[0] == ';')
			element = (tako_str){element.p + 1, element.n - 1};
		else
			rc = take_pair(ret, &element);
	}
	return rc;
}

/* ---- X-Forwarded-For -------------------------------------------------------------------------------- */

int tako__hop_parse_plain(struct tako__hop *ret, tako_str element)
{
	const char *colon = element.n ? memchr(element.p, ':', element.n) : NULL;
	int kind;

	hop_init(ret);
	if (!element.n || element.n > sizeof ret->text)
		return TAKO_EINVAL;
	/* Of two colons outside brackets the second is no port's. */
	if (colon && element.p[0] != '[' &&
	    memchr(colon + 1, ':', (size_t)(element.p + element.n - colon) - 1))
		kind = set_in6(ret, element, 0);
	else
		kind = tako__hop_node(ret, element);
	if (kind < 0)
		return kind;
	memcpy(ret->text, element.p, element.n);
	ret->kind = (enum tako__node_kind)kind;
	ret->node = (tako_str){ret->text, element.n};
	return 0;
}
