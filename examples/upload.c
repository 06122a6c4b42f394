/* SPDX-License-Identifier: MIT
 *
 * A body taken as it arrives: its length does not matter, as none of it is kept.
 *
 *   curl -T some-large-file -X POST http://127.0.0.1:8080/upload
 */
#include <inttypes.h>
#include <tako/tako.h>

static int on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	uint64_t *total = arg;

	(void)req;
	*total += data.n;
	return end ? tako_res_text(res, 200, "%" PRIu64 " bytes\n", *total) : 0;
}

static int upload(tako_req *req, tako_res *res, void *arg)
{
	uint64_t *total = tako_req_alloc(req, sizeof *total); /* zeroed; freed with the request */

	(void)res, (void)arg;
	return total ? tako_req_on_body(req, on_body, total) : TAKO_ENOMEM;
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();

	tako_post(router, "/upload", upload, NULL);
	tako_body_limit(router, UINT64_C(1) << 30); /* a gibibyte, then 413 */

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}
