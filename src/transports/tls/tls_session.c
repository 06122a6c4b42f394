/* SPDX-License-Identifier: MIT
 *
 * Sessions of connections that we have made, for the next one to the same peer to go on with: a handshake
 * without certificates.  A bounded list: of those it holds, few are ever more than a handful.
 */
#include <string.h>

#include "core/mem.h"
#include "transports/tls/tls_client.h"

struct kept {
	struct tako__list link;
	WOLFSSL_SESSION *session;
	char *key;
};

static void drop(struct tako__tls_sessions *s, struct kept *k)
{
	tako__list_remove(&k->link);
	s->count--;
	if (k->session)
		wolfSSL_SESSION_free(k->session);
	tako__free(k->key, strlen(k->key) + 1);
	tako__free(k, sizeof *k);
}

static struct kept *find(struct tako__tls_sessions *s, const char *key)
{
	TAKO__LIST_EACH(at, &s->all)
	{
		struct kept *k = TAKO__CONTAINER(at, struct kept, link);

		if (strcmp(k->key, key) == 0)
			return k;
	}
	return NULL;
}

WOLFSSL_SESSION *tako__tls_sessions_take(struct tako__tls_sessions *s, const char *key)
{
	struct kept *k = find(s, key);
	WOLFSSL_SESSION *session = k ? k->session : NULL;

	if (k) {
		k->session = NULL;
		drop(s, k);
	}
	return session;
}

void tako__tls_sessions_put(struct tako__tls_sessions *s, const char *key, WOLFSSL_SESSION *session)
{
	struct kept *old = find(s, key);
	struct kept *k = s->max ? tako__zalloc(sizeof *k) : NULL;

	if (k)
		k->key = tako__strndup(key, strlen(key));
	if (!k || !k->key) {
		tako__free(k, sizeof *k);
		wolfSSL_SESSION_free(session);
		return;
	}
	if (old)
		drop(s, old);
	else if (s->count == s->max)
		drop(s, TAKO__CONTAINER(s->all.next, struct kept, link));
	k->session = session;
	tako__list_push_back(&s->all, &k->link);
	s->count++;
}

void tako__tls_sessions_fini(struct tako__tls_sessions *s)
{
	while (!tako__list_empty(&s->all))
		drop(s, TAKO__CONTAINER(s->all.next, struct kept, link));
}
