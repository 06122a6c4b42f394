/* SPDX-License-Identifier: MIT
 *
 * tako_request_id(): one name for a request in every log it passes through.  A name that
 * came with it is kept if it can do no harm in a log or a field.
 */
#include "core/exchange.h"
#include "core/random.h"

enum { ID_MAX_BYTES = 256 };

static int make_id(struct tako__exchange *x, tako_str *ret)
{
	char *text = tako__arena_alloc(&x->arena, TAKO__UUID_CHARS);
	int rc;

	if (!text)
		return tako__fail(TAKO_ENOMEM, "request id: out of memory");
	rc = tako__uuid(text);
	*ret = (tako_str){text, TAKO__UUID_CHARS};
	return rc;
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
