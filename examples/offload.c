/* SPDX-License-Identifier: MIT
 *
 * Work that takes long or blocks does not belong into a handler, where it would hold up every other
 * connection of that worker.  A pool of threads does it; the answer is given back on the loop.
 *
 *   curl http://127.0.0.1:8080/primes/5000000
 */
#include <inttypes.h>
#include <tako/tako.h>

enum { BELOW_MAX = 20000000 };

struct job {
	uint64_t below;
	uint64_t found;
};

static bool is_prime(uint64_t n)
{
	for (uint64_t d = 2; d * d <= n; d++) {
		if (n % d == 0)
			return false;
	}
	return n >= 2;
}

/* On a thread of the pool: the exchange must not be touched here, what is in `arg` may. */
static void count_primes(void *arg)
{
	struct job *job = arg;

	for (uint64_t n = 2; n < job->below; n++)
		job->found += is_prime(n);
}

/* On the exchange's loop again. */
static void answer(tako_res *res, void *arg)
{
	const struct job *job = arg;

	tako_res_text(res, 200, "%" PRIu64 " primes below %" PRIu64 "\n", job->found, job->below);
}

static int primes(tako_req *req, tako_res *res, void *arg)
{
	struct job *job = tako_req_alloc(req, sizeof *job);
	int rc = job ? tako_req_param_u64(req, "below", &job->below) : TAKO_ENOMEM;

	(void)arg;
	if (rc == 0 && job->below > BELOW_MAX)
		return tako_res_text(res, 400, "at most %d\n", BELOW_MAX);
	if (rc == 0)
		rc = tako_offload(res, count_primes, answer, job);
	return rc; /* the queue is bounded: TAKO_EBUSY, so 503, better than to let everyone wait */
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();

	tako_get(router, "/primes/{below:u64}", primes, NULL);

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}
