/* SPDX-License-Identifier: MIT
 *
 * See tls_lib.h.  Knows nothing of connections or certificates.
 */
#include "transports/tls/tls_lib.h"

#include <pthread.h>
#include <string.h>

#include "core/mem.h"
#include "transports/tls/tls_keylog.h"

enum { RESERVE_BYTES = 128 << 10 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;

/* ---- The reserve ------------------------------------------------------------ */

/* Not every place in wolfSSL survives running out of memory.  So it never hears of it: what the
 * allocator has not comes from here, and who called wolfSSL finds out afterwards, gives up what
 * he was at, and with it the reserve.  Nothing touches it before that, so it costs addresses
 * only. */
static char *reserve;
static size_t reserve_used;
static unsigned reserve_live;
static _Thread_local bool is_short;

bool tako__tls_lib_short(void)
{
	bool was = is_short;

	is_short = false;
	return was;
}

static void *reserve_take(size_t n)
{
	void *p = NULL;

	n = (n + 15) & ~(size_t)15;
	is_short = true;
	pthread_mutex_lock(&lock);
	if (reserve && n <= RESERVE_BYTES - reserve_used) {
		p = reserve + reserve_used;
		reserve_used += n;
		reserve_live++;
	}
	pthread_mutex_unlock(&lock);
	return p;
}

static void reserve_put(void)
{
	pthread_mutex_lock(&lock);
	if (--reserve_live == 0)
		reserve_used = 0;
	pthread_mutex_unlock(&lock);
}

/* ---- Memory ----------------------------------------------------------------- */

/* wolfSSL frees without telling sizes, which our allocator wants back: they stand before the block.
 * Sixteen bytes, so that what follows is aligned as malloc() aligns. */
struct block {
	size_t bytes;
	uint64_t reserved; /* 1: of the reserve */
};

_Static_assert(sizeof(struct block) == 16, "blocks stay aligned");

static void *give(size_t n)
{
	size_t bytes = n + sizeof(struct block);
	struct block *b = n > SIZE_MAX / 2 ? NULL : tako__alloc(bytes);
	bool from_reserve = !b && n <= RESERVE_BYTES;

	if (TAKO__UNLIKELY(from_reserve))
		b = reserve_take(bytes);
	if (!b)
		return NULL;
	b->bytes = bytes;
	b->reserved = from_reserve;
	return b + 1;
}

static void take(void *p)
{
	struct block *b;

	if (!p)
		return;
	b = (struct block *)p - 1;
	if (TAKO__UNLIKELY(b->reserved))
		reserve_put();
	else
		tako__free(b, b->bytes);
}

static void *change(void *p, size_t n)
{
	size_t had = p ? ((struct block *)p - 1)->bytes - sizeof(struct block) : 0;
	void *to = give(n);

	if (!to)
		return NULL;
	if (had)
		memcpy(to, p, had < n ? had : n);
	take(p);
	return to;
}

/* ---- Life --------------------------------------------------------------------- */

/* A wolfSSL that the program may have for itself too keeps its own memory. */
static bool set_memory(void)
{
#ifdef TAKO__TLS_VENDORED
	return wolfSSL_SetAllocators(give, take, change) == 0;
#else
	(void)give;
	(void)take;
	(void)change;
	return true;
#endif
}

static int start(void)
{
	char *space = tako__alloc(RESERVE_BYTES);
	bool ok;

	if (!space)
		return tako__fail(TAKO_ENOMEM, "wolfSSL: out of memory");
	pthread_mutex_lock(&lock);
	reserve = space;
	pthread_mutex_unlock(&lock);
	ok = set_memory() && wolfSSL_Init() == WOLFSSL_SUCCESS;

	if (tako__tls_lib_short())
		return tako__fail(TAKO_ENOMEM, "wolfSSL: out of memory");
	return ok ? tako__tls_keylog_open() : tako__fail(TAKO_ETLS, "wolfSSL does not start");
}

static void end(void)
{
	tako__tls_keylog_close();
	wolfSSL_Cleanup();
	tako__free(reserve, RESERVE_BYTES);
	reserve = NULL;
	reserve_used = 0;
}

/* Beginning and end are as rare as they are slow, and one at a time. */
static pthread_mutex_t life = PTHREAD_MUTEX_INITIALIZER;

int tako__tls_lib_enter(void)
{
	int rc;

	pthread_mutex_lock(&life);
	rc = users ? 0 : start();
	if (rc == 0)
		users++;
	else if (reserve)
		end();
	pthread_mutex_unlock(&life);
	return rc;
}

void tako__tls_lib_leave(void)
{
	pthread_mutex_lock(&life);
	if (--users == 0)
		end();
	pthread_mutex_unlock(&life);
}

/* ---- Errors ---------------------------------------------------------------------- */

int tako__tls_fail(int code, const char *what)
{
	if (code == MEMORY_E || code == MEMORY_ERROR)
		return tako__fail(TAKO_ENOMEM, "%s: out of memory", what);
	/* Some calls fail without saying why. */
	if (code >= 0 || code == WOLFSSL_FATAL_ERROR)
		return tako__fail(TAKO_ETLS, "%s: wolfSSL refuses it and does not say why", what);
	return tako__fail(TAKO_ETLS, "%s: %s", what,
	                  wolfSSL_ERR_reason_error_string((unsigned long)code));
}
