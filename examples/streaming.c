/* SPDX-License-Identifier: MIT
 *
 * An answer larger than memory should be: write until enough is waiting, then let the client's own
 * pace call for more.
 *
 *   curl http://127.0.0.1:8080/numbers | tail -1
 *   curl --limit-rate 100k http://127.0.0.1:8080/numbers | head -c 0
 */
#include <inttypes.h>
#include <stdio.h>
#include <tako/tako.h>

#define LAST UINT64_C(10000000)
enum { UNSENT_MAX_BYTES = 64 << 10 };

static void more(tako_res *res, void *arg)
{
	uint64_t *next = arg;
	int64_t unsent = 0;
	char line[32];

	while (*next <= LAST && unsent < UNSENT_MAX_BYTES) {
		int n = snprintf(line, sizeof line, "%" PRIu64 "\n", (*next)++);

		unsent = tako_res_write(res, (tako_str){line, (size_t)n}, NULL, NULL);
		if (unsent < 0)
			return; /* the client has left; nothing of ours needs freeing */
	}
	if (*next > LAST)
		tako_res_end(res);
	else if (tako_res_on_drain(res, more, next) < 0)
		tako_res_fail(res, TAKO_ENOMEM);
}

static int numbers(tako_req *req, tako_res *res, void *arg)
{
	uint64_t *next = tako_req_alloc(req, sizeof *next);

	(void)arg;
	if (!next)
		return TAKO_ENOMEM;
	*next = 1;
	tako_res_header(res, "Content-Type", "text/plain");
	more(res, next);
	return 0;
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();

	tako_get(router, "/numbers", numbers, NULL);

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}
