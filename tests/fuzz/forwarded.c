/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a line of Forwarded, cut into elements from the right.  Beside what the sanitizers see: a
 * line whose elements are all well-formed from the left has the same ones from the right, and what an
 * attacker sends ahead changes nothing of what a proxy puts behind it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/forwarded.h"
#include "core/value.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum { MAX_BYTES = 4096, MAX_ELEMENTS = 256 };

static const char own[] = ", for=\"[2001:db8::1]:80\";host=\"a:1\"";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_in(tako_str all, tako_str part)
{
	return part.p >= all.p && part.p + part.n <= all.p + all.n;
}

static void look(tako_str element)
{
	struct tako__hop h;
	tako_str all = {h.text, sizeof(h.text)};

	if (tako__hop_parse(&h, element) == 0) {
		MUST(!h.node.p || is_in(all, h.node));
		MUST(!h.by.p || is_in(all, h.by));
		MUST(!h.host.p || (is_in(all, h.host) && tako__hop_host_ok(h.host)));
		MUST(!h.proto.p || (is_in(all, h.proto) && tako__hop_proto_ok(h.proto)));
		MUST((h.kind == TAKO__NODE_NONE) == !h.node.p);
		MUST(h.kind != TAKO__NODE_ADDRESS || h.addr.any.sa_family == AF_INET ||
		     h.addr.any.sa_family == AF_INET6);
	}
	if (tako__hop_parse_plain(&h, element) == 0)
		MUST(h.kind != TAKO__NODE_NONE && tako_str_eq(h.node, element));
}

/* The elements that a reader from the left sees; -1: one of them is malformed. */
static int from_the_left(tako_str line, tako_str *v)
{
	struct tako__hop h;
	int n = 0;

	while (n < MAX_ELEMENTS && tako__element_next(&line, &v[n])) {
		if (tako__hop_parse(&h, v[n++]) < 0)
			return -1;
	}
	return n == MAX_ELEMENTS ? -1 : n;
}

static void compare(tako_str line)
{
	tako_str left[MAX_ELEMENTS];
	int n = from_the_left(line, left);
	tako_str rest = line;
	tako_str element;
	int rc;

	while ((rc = tako__hop_take(&rest, true, &element)) > 0) {
		MUST(element.n && is_in(line, element));
		look(element);
		if (n >= 0)
			MUST(n > 0 && left[--n].p == element.p && left[n].n == element.n);
	}
	MUST(n <= 0 && (rc == 0 || n < 0));
	for (rest = line; tako__hop_take(&rest, false, &element) > 0;)
		look(element);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buf[MAX_BYTES + sizeof(own)];
	tako_str line = {buf, size};
	tako_str last;

	if (size > MAX_BYTES)
		return 0;
	memcpy(buf, data, size);
	compare(line);
	memcpy(buf + size, own, sizeof(own) - 1);
	line.n += sizeof(own) - 1;
	MUST(tako__hop_take(&line, true, &last) == 1);
	MUST(last.n == sizeof(own) - 3 && memcmp(last.p, own + 2, last.n) == 0);
	return 0;
}
