/* SPDX-License-Identifier: MIT
 *
 * What browsers send: a form, a file in a form, and the cookie that they were given before.
 *
 *   xdg-open http://127.0.0.1:8080/
 *   curl -c jar -b jar -d 'name=Ada' http://127.0.0.1:8080/name; curl -b jar http://127.0.0.1:8080/
 *   curl -F 'file=@Makefile' http://127.0.0.1:8080/file
 */
#include <inttypes.h>
#include <stdio.h>
#include <tako/tako.h>

enum { NAME_MAX_BYTES = 64 };

static const char page[] =
	"<!doctype html><title>Forms</title><h1>Hello%s%s</h1>\n"
	"<form method=post action=/name><label>Your name <input name=name required></label>\n"
	"<button>Remember me</button></form>\n"
	"<form method=post action=/file enctype=multipart/form-data>\n"
	"<label>A file <input type=file name=file></label> <button>Measure it</button></form>\n";

/* Letters and digits only: what ends up in HTML and in a cookie must not be able to do harm. */
static bool name_copy(char out[NAME_MAX_BYTES], tako_str name)
{
	if (name.n == 0 || name.n >= NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			return false;
		out[i] = c;
	}
	out[name.n] = '\0';
	return true;
}

static int index_page(tako_req *req, tako_res *res, void *arg)
{
	char name[NAME_MAX_BYTES];
	char html[sizeof page + NAME_MAX_BYTES];
	bool known = name_copy(name, tako_req_cookie(req, "name"));
	int n = snprintf(html, sizeof html, page, known ? ", " : "", known ? name : "");

	(void)arg;
	return tako_res_send(res, 200, "text/html; charset=utf-8", (tako_str){html, (size_t)n});
}

static int name_sent(tako_req *req, tako_res *res, const tako_form *form, void *arg)
{
	char name[NAME_MAX_BYTES];

	(void)req, (void)arg;
	if (!name_copy(name, tako_form_value(form, "name")))
		return tako_res_text(res, 400, "a name has 1 to 63 letters and digits\n");
	tako_res_cookie(res, TAKO_COOKIE(.name = "name", .value = name, .max_age_s = 86400));
	return tako_res_redirect(res, 303, "/");
}

static int post_name(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_form(req, name_sent, NULL);
}

/* ---- A file: its bytes pass by, none of them stays -------------------------------- */

static int on_part(tako_req *req, const tako_part *part, void *arg)
{
	(void)req, (void)part, (void)arg; /* part->name, part->filename, part->type */
	return 0;
}

static int on_data(tako_req *req, tako_str data, bool end, void *arg)
{
	uint64_t *bytes = arg;

	(void)req, (void)end;
	*bytes += data.n;
	return 0;
}

static int on_done(tako_req *req, tako_res *res, void *arg)
{
	const uint64_t *bytes = arg;

	(void)req;
	return tako_res_text(res, 200, "%" PRIu64 " bytes\n", *bytes);
}

static int post_file(tako_req *req, tako_res *res, void *arg)
{
	uint64_t *bytes = tako_req_alloc(req, sizeof *bytes);

	(void)res, (void)arg;
	if (!bytes)
		return TAKO_ENOMEM;
	return tako_req_multipart(req,
	                          TAKO_MULTIPART_CONFIG(.on_part = on_part, .on_data = on_data,
	                                                .on_done = on_done,
	                                                .max_part_bytes = UINT64_C(64) << 20),
	                          bytes);
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();

	tako_get(router, "/", index_page, NULL);
	tako_post(router, "/name", post_name, NULL);
	tako_post(router, "/file", post_file, NULL);

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}
