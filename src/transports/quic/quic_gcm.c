/* SPDX-License-Identifier: MIT
 *
 * See quic_gcm.h.  Of the library nothing is used but the functions that encrypt one message at once; they keep
 * nothing anywhere, and may be called by any number of threads.
 */
#include "transports/quic/quic_gcm.h"

#ifdef TAKO__WITH_IPSECMB

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <intel-ipsec-mb.h>

#include "core/mem.h"

enum { ALIGN = 64 };

struct cipher {
	aes_gcm_pre_t prepare;
	aes_gcm_enc_dec_t seal, open;
};

struct tako__gcm {
	struct gcm_key_data key;
	const struct cipher *cipher;
};

static struct cipher aes128, aes256;
static bool there;
static atomic_size_t live;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- Is it there? ---------------------------------------------------------------------------- */

/* What ISO C does not let one cast. */
static bool find(void *lib, const char *name, void *ret_function)
{
	void *found = dlsym(lib, name);

	memcpy(ret_function, &found, sizeof found);
	return found != NULL;
}

/* The library tests itself when it is asked for its best, and says what came of it. */
static bool good(const IMB_MGR *m, IMB_ARCH arch)
{
	const uint64_t need = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_AVX512_SKX |
	                      IMB_FEATURE_SELF_TEST_PASS;

	return arch == IMB_ARCH_AVX512 && (m->features & need) == need;
}

static void take(const IMB_MGR *m)
{
	aes128 = (struct cipher){m->gcm128_pre, m->gcm128_enc, m->gcm128_dec};
	aes256 = (struct cipher){m->gcm256_pre, m->gcm256_enc, m->gcm256_dec};
	there = true;
}

/* It stays loaded: what was taken are its functions.  Of another version than the header is the structure that they
 * are taken from might be another. */
static void look(void)
{
	void *lib = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
	unsigned (*version)(void);
	IMB_MGR *(*alloc)(uint64_t);
	void (*init)(IMB_MGR *, IMB_ARCH *);
	void (*free_mgr)(IMB_MGR *);
	IMB_ARCH arch = IMB_ARCH_NONE;
	IMB_MGR *m;

	if (!lib || !find(lib, "imb_get_version", &version) || version() != IMB_VERSION_NUM ||
	    !find(lib, "alloc_mb_mgr", &alloc) || !find(lib, "init_mb_mgr_auto", &init) ||
	    !find(lib, "free_mb_mgr", &free_mgr))
		return;
	m = alloc(0);
	if (!m)
		return;
	init(m, &arch);
	if (good(m, arch))
		take(m);
	free_mgr(m);
}

bool tako__gcm_there(void)
{
	pthread_once(&once, look);
	return there;
}

/* ---- Keys ---------------------------------------------------------------------------------------- */

/* The byte in front of it is how far it is from the block's beginning. */
struct tako__gcm *tako__gcm_new(const uint8_t *key, size_t n)
{
	uint8_t *block = tako__alloc(sizeof(struct tako__gcm) + ALIGN), *at;
	struct tako__gcm *g;

	if (!block)
		return NULL;
	at = block + ALIGN - (uintptr_t)block % ALIGN;
	at[-1] = (uint8_t)(at - block);
	g = (void *)at;
	g->cipher = n == 16 ? &aes128 : &aes256;
	g->cipher->prepare(key, &g->key);
	atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
	return g;
}

void tako__gcm_free(struct tako__gcm *g)
{
	uint8_t *at = (void *)g;

	if (!g)
		return;
	atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
	explicit_bzero(&g->key, sizeof g->key);
	tako__free(at - at[-1], sizeof *g + ALIGN);
}

size_t tako__gcm_live(void)
{
	return atomic_load_explicit(&live, memory_order_relaxed);
}

/* ---- Messages -------------------------------------------------------------------------------------- */

void tako__gcm_seal(const struct tako__gcm *g, uint8_t *to, const uint8_t *p, size_t n,
                    const uint8_t *nonce, const uint8_t *head, size_t head_n)
{
	struct gcm_context_data context;

	g->cipher->seal(&g->key, &context, to, p, n, nonce, head, head_n, to + n,
	                TAKO__GCM_TAG_BYTES);
}

/* In the same time wherever they differ. */
static bool same_tag(const uint8_t *a, const uint8_t *b)
{
	unsigned differ = 0;

	for (size_t i = 0; i < TAKO__GCM_TAG_BYTES; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

bool tako__gcm_open(const struct tako__gcm *g, uint8_t *to, const uint8_t *p, size_t n,
                    const uint8_t *nonce, const uint8_t *head, size_t head_n)
{
	struct gcm_context_data context;
	uint8_t said[TAKO__GCM_TAG_BYTES], tag[TAKO__GCM_TAG_BYTES];

	if (n < TAKO__GCM_TAG_BYTES)
		return false;
	n -= TAKO__GCM_TAG_BYTES;
	memcpy(said, p + n, sizeof said);
	g->cipher->open(&g->key, &context, to, p, n, nonce, head, head_n, tag, sizeof tag);
	if (same_tag(said, tag))
		return true;
	memset(to, 0, n);
	return false;
}

#else

bool tako__gcm_there(void)
{
	return false;
}

struct tako__gcm *tako__gcm_new(const uint8_t *key, size_t n)
{
	(void)key, (void)n;
	return NULL;
}

void tako__gcm_free(struct tako__gcm *g)
{
	(void)g;
}

size_t tako__gcm_live(void)
{
	return 0;
}

void tako__gcm_seal(const struct tako__gcm *g, uint8_t *to, const uint8_t *p, size_t n,
                    const uint8_t *nonce, const uint8_t *head, size_t head_n)
{
	(void)g, (void)to, (void)p, (void)n, (void)nonce, (void)head, (void)head_n;
}

bool tako__gcm_open(const struct tako__gcm *g, uint8_t *to, const uint8_t *p, size_t n,
                    const uint8_t *nonce, const uint8_t *head, size_t head_n)
{
	(void)g, (void)to, (void)p, (void)n, (void)nonce, (void)head, (void)head_n;
	return false;
}

#endif
