/* SPDX-License-Identifier: MIT
 *
 * tako_request_id(): one name for a request in every log it passes through.  A name that
 * came with it is kept if it can do no harm in a log or a field.
 */
#include <string.h>
#include <sys/random.h>

#include "core/exchange.h"
#include "core/str.h"

enum {
	ID_MAX_BYTES = 256,
	UUID_BYTES = 16,
	UUID_CHARS = 36,
	/* What getrandom(2) returns whole, whatever signals come. */
	POOL_BYTES = 256,
};

/* A system call for every sixteenth id. */
static _Thread_local struct {
	unsigned char bytes[POOL_BYTES];
	unsigned left;
} pool;

static int random_uuid(unsigned char to[UUID_BYTES])
{
	if (pool.left < UUID_BYTES) {
		if (getrandom(pool.bytes, sizeof(pool.bytes), 0) != (ssize_t)sizeof(pool.bytes))
			return tako__fail_errno("random request id");
		pool.left = sizeof(pool.bytes);
	}
	pool.left -= UUID_BYTES;
	memcpy(to, pool.bytes + pool.left, UUID_BYTES);
	/* RFC 9562 section 5.4: version 4 and the variant, the rest is random. */
	to[6] = (unsigned char)((to[6] & 0x0f) | 0x40);
	to[8] = (unsigned char)((to[8] & 0x3f) | 0x80);
	return 0;
}

static void format_uuid(char to[UUID_CHARS], const unsigned char *bytes)
{
	static const unsigned char group_bytes[] = {4, 2, 2, 2, 6};

	for (unsigned i = 0; i < TAKO__COUNT(group_bytes); i++) {
		tako__hex_encode(to, bytes, group_bytes[i]);
		to += group_bytes[i] * 2;
		bytes += group_bytes[i];
		if (i + 1 < TAKO__COUNT(group_bytes))
			*to++ = '-';
	}
}

static int make_id(struct tako__exchange *x, tako_str *ret)
{
	unsigned char bytes[UUID_BYTES];
	char *text = tako__arena_alloc(&x->arena, UUID_CHARS);
	int rc;

	if (!text)
		return tako__fail(TAKO_ENOMEM, "request id: out of memory");
	rc = random_uuid(bytes);
	if (rc < 0)
		return rc;
	format_uuid(text, bytes);
	*ret = (tako_str){text, UUID_CHARS};
	return 0;
}

static bool is_usable(tako_str id)
{
	for (size_t i = 0; i < id.n; i++) {
		if (id.p[i] < 0x20 || id.p[i] > 0x7e)
			return false;
	}
	return id.n > 0 && id.n <= ID_MAX_BYTES;
}

int tako_request_id(tako_req *req, tako_res *res, void *arg)
{
	struct tako__exchange *x = tako__x(req);
	const char *name = arg ? arg : "X-Request-Id";
	tako_str id = tako_req_header(req, name);
	int rc = 0;

	/* Asked for by a router and by its group: once is enough. */
	if (x->request_id.p && tako_res_get_header(res, name).p)
		return TAKO_NEXT;
	if (!is_usable(id))
		rc = make_id(x, &id);
	if (rc == 0)
		rc = tako_res_header_str(res, tako_str_z(name), id);
	if (rc < 0)
		return rc;
	x->request_id = id;
	return TAKO_NEXT;
}
