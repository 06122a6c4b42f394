/* SPDX-License-Identifier: MIT
 *
 * See tls_ticket.h.  AES-256-GCM under the key that the ticket names; one that names another is no
 * error, the client then makes a full handshake.
 */
#include "transports/tls/tls_ticket.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "transports/tls/tls_early.h"

enum {
	NAME_BYTES = WOLFSSL_TICKET_NAME_SZ,
	KEY_BYTES = TAKO_TICKET_KEY_BYTES - NAME_BYTES,
	IV_BYTES = 12, /* what is left of the field holds the early data's mark */
	TAG_BYTES = 16,
	LIFETIME_S = 7200,
	ROTATE_S = 12 * 3600,
};

struct key {
	unsigned char name[NAME_BYTES];
	unsigned char key[KEY_BYTES];
};

_Static_assert(WOLFSSL_TICKET_IV_SZ - IV_BYTES == sizeof(uint32_t), "room for a mark");
_Static_assert(sizeof(struct key) == TAKO_TICKET_KEY_BYTES, "as they are given");

struct tako_ticket_keys {
	_Atomic uint32_t refs;
	bool own; /* made here, and exchanged here */
	pthread_mutex_t lock;
	uint64_t rotate_ns;
	unsigned count;
	struct key keys[TAKO_TICKET_KEYS_MAX];
};

/* ---- The keys ------------------------------------------------------------------------------- */

static int check_length(tako_str keys)
{
	size_t count = keys.n / TAKO_TICKET_KEY_BYTES;

	if (keys.n % TAKO_TICKET_KEY_BYTES || count < 1 || count > TAKO_TICKET_KEYS_MAX)
		return tako__fail(TAKO_EINVAL, "ticket keys: %zu bytes, not one to %d times %d",
		                  keys.n, TAKO_TICKET_KEYS_MAX, TAKO_TICKET_KEY_BYTES);
	return 0;
}

static struct tako_ticket_keys *keys_new(void)
{
	struct tako_ticket_keys *k = tako__zalloc(sizeof *k);

	if (!k) {
		tako__fail(TAKO_ENOMEM, "ticket keys: out of memory");
		return NULL;
	}
	atomic_init(&k->refs, 1);
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

int tako_ticket_keys_new(tako_ticket_keys **out, tako_str keys)
{
	struct tako_ticket_keys *k;
	int rc = out ? check_length(keys) : tako__fail(TAKO_EINVAL, "ticket keys: nowhere to put");

	if (rc < 0)
		return rc;
	k = keys_new();
	if (!k)
		return TAKO_ENOMEM;
	memcpy(k->keys, keys.p, keys.n);
	k->count = (unsigned)(keys.n / TAKO_TICKET_KEY_BYTES);
	*out = k;
	return 0;
}

int tako_ticket_keys_set(tako_ticket_keys *k, tako_str keys)
{
	int rc = k ? check_length(keys) : tako__fail(TAKO_EINVAL, "ticket keys: none");

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&k->lock);
	memcpy(k->keys, keys.p, keys.n);
	k->count = (unsigned)(keys.n / TAKO_TICKET_KEY_BYTES);
	pthread_mutex_unlock(&k->lock);
	return 0;
}

struct tako_ticket_keys *tako__ticket_keys_ref(struct tako_ticket_keys *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void tako_ticket_keys_free(tako_ticket_keys *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&k->lock);
	explicit_bzero(k->keys, sizeof k->keys);
	tako__free(k, sizeof *k);
}

int tako__ticket_keys_own(struct tako_ticket_keys **out)
{
	struct tako_ticket_keys *k = keys_new();

	if (!k)
		return TAKO_ENOMEM;
	k->own = true;
	*out = k;
	return 0;
}

/* A stolen key opens what was said in its half day, and no more. */
static void rotate(struct tako_ticket_keys *k)
{
	uint64_t now = tako__clock_ns();
	struct key fresh;

	if (!k->own || (k->count && now < k->rotate_ns))
		return;
	/* Straight from the kernel, as it lives long; there it cannot fail, see random.c. */
	if (getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
		return;
	k->keys[1] = k->keys[0];
	k->keys[0] = fresh;
	k->count = k->count ? 2 : 1;
	k->rotate_ns = now + (uint64_t)ROTATE_S * 1000000000;
}

static void sealing_key(struct tako_ticket_keys *k, struct key *out)
{
	pthread_mutex_lock(&k->lock);
	rotate(k);
	*out = k->keys[0];
	pthread_mutex_unlock(&k->lock);
}

/* Negative: no such key; 1: it is not the newest. */
static int key_named(struct tako_ticket_keys *k, const unsigned char *name, struct key *out)
{
	int found = -1;

	pthread_mutex_lock(&k->lock);
	rotate(k);
	for (unsigned i = 0; i < k->count && found < 0; i++) {
		if (memcmp(k->keys[i].name, name, NAME_BYTES) == 0) {
			*out = k->keys[i];
			found = i > 0;
		}
	}
	pthread_mutex_unlock(&k->lock);
	return found;
}

/* ---- Sealing ------------------------------------------------------------------------------------ */

static int seal_or_open(bool seal, const struct key *key, unsigned char *iv, unsigned char *tag,
                        unsigned char *text, int n)
{
	Aes aes;
	int rc = wc_AesInit(&aes, NULL, INVALID_DEVID);

	if (rc != 0)
		return rc;
	rc = wc_AesGcmSetKey(&aes, key->key, KEY_BYTES);
	if (rc == 0 && seal)
		rc = wc_AesGcmEncrypt(&aes, text, text, (word32)n, iv, IV_BYTES, tag, TAG_BYTES,
		                      key->name, NAME_BYTES);
	else if (rc == 0)
		rc = wc_AesGcmDecrypt(&aes, text, text, (word32)n, iv, IV_BYTES, tag, TAG_BYTES,
		                      key->name, NAME_BYTES);
	wc_AesFree(&aes);
	return rc;
}

static int on_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
                     unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                     unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int enc, unsigned char *text, int n,
                     int *ret_n, void *arg)
{
	struct tako_ticket_keys *k = arg;
	struct key key;
	int old = 0;
	int rc;

	if (enc) {
		uint32_t mark = tako__tls_early_mark(ssl);

		sealing_key(k, &key);
		memcpy(name, key.name, NAME_BYTES);
		memset(iv, 0, WOLFSSL_TICKET_IV_SZ);
		memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
		tako__random(iv, IV_BYTES);
		memcpy(iv + IV_BYTES, &mark, sizeof mark);
	} else {
		old = key_named(k, name, &key);
		if (old < 0)
			return WOLFSSL_TICKET_RET_REJECT;
	}
	rc = seal_or_open(enc, &key, iv, mac, text, n);
	explicit_bzero(&key, sizeof key);
	*ret_n = n;
	if (rc != 0)
		return enc ? WOLFSSL_TICKET_RET_FATAL : WOLFSSL_TICKET_RET_REJECT;
	if (!enc && !tako__tls_early_may(ssl, iv + IV_BYTES, mac))
		return WOLFSSL_TICKET_RET_REJECT;
	return old ? WOLFSSL_TICKET_RET_CREATE : WOLFSSL_TICKET_RET_OK;
}

int tako__ticket_apply(WOLFSSL_CTX *ctx, struct tako_ticket_keys *k)
{
	if (!k) {
		wolfSSL_CTX_NoTicketTLSv12(ctx);
		wolfSSL_CTX_no_ticket_TLSv13(ctx);
		return 0;
	}
	if (wolfSSL_CTX_set_TicketEncCb(ctx, on_ticket) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_TicketEncCtx(ctx, k) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_TicketHint(ctx, LIFETIME_S) != WOLFSSL_SUCCESS)
		return tako__fail(TAKO_ETLS, "this wolfSSL seals no session tickets");
	wolfSSL_CTX_set_timeout(ctx, LIFETIME_S);
	return 0;
}
