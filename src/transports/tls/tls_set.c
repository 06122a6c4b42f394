/* SPDX-License-Identifier: MIT
 *
 * Certificates by name: a sorted array under a lock, because it is read once a handshake, which
 * costs a thousand times as much, and changes by hand.
 */
#include "transports/tls/tls_set.h"

#include <pthread.h>
#include <string.h>

#include "core/base.h"
#include "transports/tls/tls_cert.h"

enum {
	NAMES_MAX = 65536,
	NAME_BYTES = 256, /* with its NUL; DNS has 253 (RFC 1035 section 2.3.4) */
};

struct entry {
	char *name; /* lower case */
	struct tako_cert *cert;
};

struct tako_cert_set {
	pthread_rwlock_t lock;
	struct entry *entries; /* by name */
	size_t count;
	size_t cap;
	struct tako_cert *fallback;
};

/* ---- Names ---------------------------------------------------------------------------------- */

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* To lower case; false: no host name. */
static bool normalise(char *to, tako_str name)
{
	if (name.n == 0 || name.n >= NAME_BYTES)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		to[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
		if (!name_char(to[i]))
			return false;
	}
	to[name.n] = '\0';
	return to[0] != '.' && to[name.n - 1] != '.';
}

/* The wildcard that would cover it: one label for one label (RFC 6125 section 6.4.3). */
static const char *wildcard_of(char *name)
{
	char *dot = strchr(name, '.');

	if (!dot || dot == name)
		return NULL;
	*--dot = '*';
	return dot;
}

/* ---- The array --------------------------------------------------------------------------------- */

/* Where it is, or would be. */
static size_t position(const struct tako_cert_set *set, const char *name)
{
	size_t lo = 0;
	size_t hi = set->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(set->entries[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct tako_cert *lookup(const struct tako_cert_set *set, const char *name)
{
	size_t at = position(set, name);

	return at < set->count && strcmp(set->entries[at].name, name) == 0 ? set->entries[at].cert
	                                                                   : NULL;
}

static void replace(struct tako_cert **at, struct tako_cert *cert)
{
	struct tako_cert *old = *at;

	*at = tako_cert_ref(cert);
	tako_cert_free(old);
}

static int remove_at(struct tako_cert_set *set, size_t at)
{
	struct entry *e = &set->entries[at];

	tako_cert_free(e->cert);
	tako__free(e->name, strlen(e->name) + 1);
	set->count--;
	memmove(e, e + 1, (set->count - at) * sizeof *e);
	return 0;
}

static int grow(struct tako_cert_set *set)
{
	size_t cap = set->cap ? set->cap * 2 : 16;
	struct entry *entries;

	if (set->count < set->cap)
		return 0;
	if (set->count == NAMES_MAX)
		return tako__fail(TAKO_ETOOBIG, "more than %d names", NAMES_MAX);
	entries = tako__resize(set->entries, set->cap * sizeof *entries, cap * sizeof *entries);
	if (!entries)
		return tako__fail(TAKO_ENOMEM, "certificates: out of memory");
	set->entries = entries;
	set->cap = cap;
	return 0;
}

static int insert_at(struct tako_cert_set *set, size_t at, const char *name, struct tako_cert *cert)
{
	int rc = grow(set);
	char *copy = rc == 0 ? tako__strndup(name, strlen(name)) : NULL;

	if (!copy)
		return rc < 0 ? rc : tako__fail(TAKO_ENOMEM, "certificates: out of memory");
	memmove(&set->entries[at + 1], &set->entries[at], (set->count - at) * sizeof *set->entries);
	set->entries[at] = (struct entry){copy, tako_cert_ref(cert)};
	set->count++;
	return 0;
}

static int put(struct tako_cert_set *set, const char *name, struct tako_cert *cert)
{
	size_t at = position(set, name);
	bool there = at < set->count && strcmp(set->entries[at].name, name) == 0;

	if (!there)
		return cert ? insert_at(set, at, name, cert)
		            : tako__fail(TAKO_ENOENT, "there is no certificate for \"%s\"", name);
	if (!cert)
		return remove_at(set, at);
	replace(&set->entries[at].cert, cert);
	return 0;
}

/* ---- The public face --------------------------------------------------------------------------- */

tako_cert_set *tako_cert_set_new(void)
{
	struct tako_cert_set *set = tako__zalloc(sizeof *set);

	if (set)
		pthread_rwlock_init(&set->lock, NULL);
	else
		tako__fail(TAKO_ENOMEM, "certificates: out of memory");
	return set;
}

int tako_cert_set_put(tako_cert_set *set, const char *name, tako_cert *cert)
{
	bool wild = name && strncmp(name, "*.", 2) == 0;
	char key[NAME_BYTES + 2] = "*.";
	int rc = 0;

	if (!set)
		return tako__fail(TAKO_EINVAL, "tako_cert_set_put: no set");
	if (name && !normalise(key + 2 * wild, tako_str_z(name + 2 * wild)))
		return tako__fail(TAKO_EINVAL, "\"%.60s\" is not a host name", name);
	pthread_rwlock_wrlock(&set->lock);
	if (name)
		rc = put(set, key, cert);
	else if (!cert && !set->fallback)
		rc = tako__fail(TAKO_ENOENT, "there is no certificate for other names");
	else
		replace(&set->fallback, cert);
	pthread_rwlock_unlock(&set->lock);
	return rc;
}

static struct tako_cert *find(const struct tako_cert_set *set, tako_str name)
{
	char key[NAME_BYTES];
	struct tako_cert *cert = NULL;
	const char *wild;

	if (normalise(key, name)) {
		cert = lookup(set, key);
		if (!cert && (wild = wildcard_of(key)))
			cert = lookup(set, wild);
	}
	return cert ? cert : set->fallback;
}

tako_cert *tako_cert_set_find(tako_str name, void *arg)
{
	struct tako_cert_set *set = arg;
	struct tako_cert *cert;

	pthread_rwlock_rdlock(&set->lock);
	cert = find(set, name);
	pthread_rwlock_unlock(&set->lock);
	return cert;
}

struct tako_cert *tako__cert_set_take(struct tako_cert_set *set, tako_str name)
{
	struct tako_cert *cert;

	pthread_rwlock_rdlock(&set->lock);
	cert = tako_cert_ref(find(set, name));
	pthread_rwlock_unlock(&set->lock);
	return cert;
}

void tako_cert_set_free(tako_cert_set *set)
{
	if (!set)
		return;
	while (set->count)
		remove_at(set, set->count - 1);
	tako_cert_free(set->fallback);
	tako__free(set->entries, set->cap * sizeof *set->entries);
	pthread_rwlock_destroy(&set->lock);
	tako__free(set, sizeof *set);
}

bool tako_cert_matches(tako_cert *cert, tako_str name)
{
	char key[NAME_BYTES];
	struct tako__cert_version *v;
	bool found = false;

	if (!cert || !normalise(key, name))
		return false;
	v = tako__cert_take(cert);
	for (int wild = 0; wild < 2 && !found; wild++) {
		const char *want = wild ? wildcard_of(key) : key;

		for (size_t at = 0; want && !found && at < v->names.n;
		     at += strlen(v->names.p + at) + 1)
			found = strcmp(v->names.p + at, want) == 0;
	}
	tako__cert_drop(v);
	return found;
}
