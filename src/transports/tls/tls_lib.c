/* SPDX-License-Identifier: MIT
 *
 * See tls_lib.h.  Knows nothing of connections or certificates.
 */
#include "transports/tls/tls_lib.h"

#include <pthread.h>
#include <string.h>

#include "core/mem.h"

/* ---- Memory ----------------------------------------------------------------- */

/* wolfSSL frees without telling sizes, which our allocator wants back: they stand before the block.
 * Sixteen bytes, so that what follows is aligned as malloc() aligns. */
struct block {
	size_t bytes;
	uint64_t reserved;
};

_Static_assert(sizeof(struct block) == 16, "blocks stay aligned");

static void *give(size_t n)
{
	struct block *b = n > SIZE_MAX - sizeof *b ? NULL : tako__alloc(n + sizeof *b);

	if (!b)
		return NULL;
	b->bytes = n + sizeof *b;
	return b + 1;
}

static void take(void *p)
{
	struct block *b = (struct block *)p - 1;

	if (p)
		tako__free(b, b->bytes);
}

static void *change(void *p, size_t n)
{
	struct block *b = (struct block *)p - 1;

	if (!p)
		return give(n);
	if (n > SIZE_MAX - sizeof *b)
		return NULL;
	b = tako__resize(b, b->bytes, n + sizeof *b);
	if (!b)
		return NULL;
	b->bytes = n + sizeof *b;
	return b + 1;
}

/* ---- Life --------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;

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

int tako__tls_lib_enter(void)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (users == 0 && (!set_memory() || wolfSSL_Init() != WOLFSSL_SUCCESS))
		rc = tako__fail(TAKO_ETLS, "wolfSSL does not start");
	else
		users++;
	pthread_mutex_unlock(&lock);
	return rc;
}

void tako__tls_lib_leave(void)
{
	pthread_mutex_lock(&lock);
	if (--users == 0)
		wolfSSL_Cleanup();
	pthread_mutex_unlock(&lock);
}

/* ---- Errors ---------------------------------------------------------------------- */

int tako__tls_fail(int code, const char *what)
{
	if (code == MEMORY_E || code == MEMORY_ERROR)
		return tako__fail(TAKO_ENOMEM, "%s: out of memory", what);
	/* Some calls fail without saying why. */
	if (code >= 0 || code == WOLFSSL_FATAL_ERROR)
		return tako__fail(TAKO_ETLS, "%s", what);
	return tako__fail(TAKO_ETLS, "%s: %s", what,
	                  wolfSSL_ERR_reason_error_string((unsigned long)code));
}
