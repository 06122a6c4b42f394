/* SPDX-License-Identifier: MIT
 *
 * What a request carries in its path and its query.
 *
 *   curl http://127.0.0.1:8080/users/17
 *   curl http://127.0.0.1:8080/users/seventeen        404: the route asks for a number
 *   curl http://127.0.0.1:8080/thumbs/cat.png?width=64
 *   curl http://127.0.0.1:8080/docs/a/b/c
 */
#include <inttypes.h>
#include <tako/tako.h>

/* The constraint has been checked already, so the number is always there. */
static int show_user(tako_req *req, tako_res *res, void *arg)
{
	uint64_t id;
	int rc = tako_req_param_u64(req, "id", &id);

	(void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "user %" PRIu64 "\n", id);
}

static int show_thumb(tako_req *req, tako_res *res, void *arg)
{
	tako_str name = tako_req_param(req, "name");
	tako_str width = tako_req_query_value(req, "width");

	(void)arg;
	if (!width.p)
		width = TAKO_STR("128");
	return tako_res_text(res, 200, "%.*s, %.*s pixels wide\n", TAKO_FMT(name), TAKO_FMT(width));
}

static int show_doc(tako_req *req, tako_res *res, void *arg)
{
	tako_str rest = tako_req_param(req, "rest");

	(void)arg;
	return tako_res_text(res, 200, "document \"%.*s\"\n", TAKO_FMT(rest));
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();

	tako_get(router, "/users/{id:u64}", show_user, NULL);
	tako_get(router, "/thumbs/{name}.png", show_thumb, NULL);
	tako_get(router, "/docs/{*rest}", show_doc, NULL);

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}
