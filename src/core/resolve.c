/* SPDX-License-Identifier: MIT
 *
 * See resolve.h.  A table of lookups under one lock, which nobody holds for longer than it takes to find a name
 * in it; each is under way, with those who wait for it, or done, and kept until it is too old or room is needed.
 */
#include "core/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/hash.h"
#include "core/mem.h"
#include "core/offload.h"
#include "core/server.h"
#include "core/target.h"
#include "core/worker.h"

enum {
	BUCKETS = 256,
	/* How long a name that was not found stays so: enough for a burst of who asks for it. */
	ABSENT_MS = 1000,
};

struct tako__query {
	struct tako__mail mail;
	struct tako__list link; /* among those that wait for it; in none: its mail is on its way */
	struct tako__worker *worker;
	struct tako__lookup *lookup;
	tako__resolved_fn fn; /* NULL: cancelled */
	void *arg;
	struct tako__resolved answer;
};

struct tako__lookup {
	struct tako__job job;
	struct tako__resolver *resolver;
	struct tako__lookup *next; /* in its bucket */
	struct tako__list age;     /* done ones, the one asked for last at the end */
	struct tako__list queries;
	uint64_t asked_ns; /* when it began: that is what its age counts from */
	uint64_t until_ns; /* done, and good until then; 0: under way */
	int family;
	char name[TAKO__TARGET_HOST_BYTES];
	struct tako__resolved answer;
};

struct tako__resolver {
	pthread_mutex_t lock;
	struct tako__offload *threads;
	struct tako__list done;
	uint32_t count;
	uint32_t max;
	uint32_t keep_ms; /* 0: nothing is kept */
	bool ending;
	struct tako__lookup *buckets[BUCKETS];
};

const struct tako__resolver_hook *tako__resolver_hook;

/* ---- The table, under the lock ------------------------------------------------------------------ */

static struct tako__lookup **bucket_of(struct tako__resolver *r, const char *name, int family)
{
	uint32_t hash = tako__hash(TAKO__HASH_START, name, strlen(name));

	/* Whoever makes them collide has all of a few hundred in one. */
	return &r->buckets[(hash ^ (uint32_t)family) % BUCKETS];
}

static void forget(struct tako__lookup *l)
{
	struct tako__resolver *r = l->resolver;
	struct tako__lookup **at = bucket_of(r, l->name, l->family);

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	tako__list_remove(&l->age);
	r->count--;
	tako__free(l, sizeof *l);
}

/* One that is under way, or done and not too old. */
static struct tako__lookup *find(struct tako__resolver *r, const char *name, int family,
                                 uint64_t now_ns)
{
	struct tako__lookup *l = *bucket_of(r, name, family);

	while (l && (l->family != family || strcmp(l->name, name) != 0))
		l = l->next;
	if (l && l->until_ns && l->until_ns <= now_ns) {
		forget(l);
		return NULL;
	}
	return l;
}

static bool make_room(struct tako__resolver *r)
{
	if (r->count >= r->max && !tako__list_empty(&r->done))
		forget(TAKO__CONTAINER(r->done.next, struct tako__lookup, age));
	return r->count < r->max;
}

static void keep(struct tako__lookup *l)
{
	uint32_t ms = l->resolver->keep_ms;

	if (l->answer.err && ms > ABSENT_MS)
		ms = ABSENT_MS;
	/* What may be otherwise the next time is asked for the next time. */
	if (!ms || (l->answer.err && l->answer.err != TAKO_ENOENT)) {
		forget(l);
		return;
	}
	l->until_ns = l->asked_ns + tako__ms_ns(ms);
	tako__list_push_back(&l->resolver->done, &l->age);
}

/* ---- Answers -------------------------------------------------------------------------------------- */

static void on_answer(struct tako__mail *m)
{
	struct tako__query *q = TAKO__CONTAINER(m, struct tako__query, mail);

	if (q->fn)
		q->fn(&q->answer, q->arg);
	tako__free(q, sizeof *q);
}

/* Posted under the lock, so that who cancels knows whether it was.  Who has done so may be gone when
 * his worker reads it, and the worker may not: it reads its mail to the last. */
void tako__lookup_answer(struct tako__lookup *l, const struct tako__resolved *answer)
{
	struct tako__resolver *r = l->resolver;
	struct tako__list *at;

	pthread_mutex_lock(&r->lock);
	l->answer = *answer;
	while ((at = tako__list_pop_front(&l->queries))) {
		struct tako__query *q = TAKO__CONTAINER(at, struct tako__query, link);

		q->answer = *answer;
		tako__worker_post(q->worker, &q->mail);
	}
	keep(l);
	pthread_mutex_unlock(&r->lock);
}

/* ---- Looking up, on a thread of the pool ------------------------------------------------------------- */

static int code_of(int gai)
{
	switch (gai) {
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return TAKO_ENOENT;
	case EAI_AGAIN:
		return TAKO_EBUSY;
	case EAI_MEMORY:
		return TAKO_ENOMEM;
	default:
		return TAKO_ESYS;
	}
}

static void take_addresses(struct tako__resolved *ret, const struct addrinfo *ai)
{
	for (; ai && ret->count < TAKO__RESOLVED_MAX; ai = ai->ai_next) {
		if (ai->ai_addrlen <= sizeof ret->ips[0])
			memcpy(&ret->ips[ret->count++], ai->ai_addr, ai->ai_addrlen);
	}
}

static void ask_system(struct tako__resolved *ret, const char *name, int family)
{
	const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int gai = getaddrinfo(name, NULL, &hints, &found);
	int system_errno = errno;
	char system[128];

	if (gai == 0) {
		take_addresses(ret, found);
		freeaddrinfo(found);
	}
	if (ret->count)
		return;
	ret->err = gai ? code_of(gai) : TAKO_ENOENT;
	if (gai == EAI_SYSTEM)
		snprintf(ret->why, sizeof ret->why, "%s",
		         strerror_r(system_errno, system, sizeof system));
	else
		snprintf(ret->why, sizeof ret->why, "%s", gai ? gai_strerror(gai) : "no address");
}

/* Where the server ends nobody waits for those that have not begun. */
static void run(struct tako__job *job)
{
	struct tako__lookup *l = TAKO__CONTAINER(job, struct tako__lookup, job);
	struct tako__resolved answer = {.err = 0};
	bool ending;

	pthread_mutex_lock(&l->resolver->lock);
	ending = l->resolver->ending;
	pthread_mutex_unlock(&l->resolver->lock);
	if (ending)
		answer.err = TAKO_ECLOSED;
	else
		ask_system(&answer, l->name, l->family);
	tako__lookup_answer(l, &answer);
}

/* ---- Asking ---------------------------------------------------------------------------------------- */

static struct tako__lookup *lookup_new(struct tako__resolver *r, const char *name, int family,
                                       uint64_t now_ns)
{
	struct tako__lookup **bucket = bucket_of(r, name, family);
	struct tako__lookup *l = tako__zalloc(sizeof *l);

	if (!l)
		return NULL;
	l->job.run = run;
	l->resolver = r;
	l->family = family;
	l->asked_ns = now_ns;
	snprintf(l->name, sizeof l->name, "%s", name);
	tako__list_init(&l->age);
	tako__list_init(&l->queries);
	l->next = *bucket;
	*bucket = l;
	r->count++;
	return l;
}

/* A new one that somebody has to begin, if `ret_new`. */
static int join(struct tako__query *q, struct tako__resolver *r, struct tako__resolved *hit,
                const char *name, int family, bool *ret_new)
{
	uint64_t now_ns = tako__now_ns(q->worker);
	struct tako__lookup *l = find(r, name, family, now_ns);

	*ret_new = !l;
	if (l && l->until_ns) {
		*hit = l->answer;
		/* To the end: it was asked for last. */
		tako__list_remove(&l->age);
		tako__list_push_back(&r->done, &l->age);
		return 1;
	}
	if (!l && !make_room(r))
		return tako__fail(TAKO_EBUSY, "%u names are being looked up", r->max);
	if (!l)
		l = lookup_new(r, name, family, now_ns);
	if (!l)
		return tako__fail(TAKO_ENOMEM, "look up %s: out of memory", name);
	q->lookup = l;
	tako__list_push_back(&l->queries, &q->link);
	return 0;
}

/* Nobody but the asker waits for it yet, or it is told to all of them. */
static int begin(struct tako__query *q, const char *name, int family)
{
	struct tako__lookup *l = q->lookup;
	struct tako__resolved busy = {.err = TAKO_EBUSY, .why = "too many names wait"};
	int rc;

	if (tako__resolver_hook) {
		tako__resolver_hook->begin(l, name, family, tako__resolver_hook->arg);
		return 0;
	}
	rc = tako__offload_submit(l->resolver->threads, &l->job);
	if (rc < 0) {
		tako__resolve_cancel(q);
		tako__lookup_answer(l, &busy);
	}
	return rc;
}

/* The name is this machine's whatever its files or the network say (RFC 6761 section 6.3). */
static bool is_localhost(const char *name)
{
	size_t n = strlen(name);
	const size_t local_n = sizeof "localhost" - 1;

	if (n && name[n - 1] == '.')
		n--;
	return n >= local_n && strncasecmp(name + n - local_n, "localhost", local_n) == 0 &&
	       (n == local_n || name[n - local_n - 1] == '.');
}

static void set_loopback(struct tako__resolved *ret, int family)
{
	*ret = (struct tako__resolved){.count = 1};
	ret->ips[0].any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		ret->ips[0].in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		ret->ips[0].in6.sin6_addr = in6addr_loopback;
}

int tako__resolve(struct tako__query **ret, struct tako__resolved *hit, struct tako__worker *w,
                  const char *name, int family, tako__resolved_fn fn, void *arg)
{
	struct tako__resolver *r = w->srv->resolver;
	struct tako__query *q;
	bool is_new;
	int rc;

	if (is_localhost(name)) {
		set_loopback(hit, family);
		return 1;
	}
	q = tako__zalloc(sizeof *q);
	if (!q)
		return tako__fail(TAKO_ENOMEM, "look up %s: out of memory", name);
	q->mail.fn = on_answer;
	q->worker = w;
	q->fn = fn;
	q->arg = arg;
	tako__list_init(&q->link);
	pthread_mutex_lock(&r->lock);
	rc = join(q, r, hit, name, family, &is_new);
	pthread_mutex_unlock(&r->lock);
	if (rc != 0) {
		tako__free(q, sizeof *q);
		return rc;
	}
	*ret = q;
	return is_new ? begin(q, name, family) : 0;
}

void tako__resolve_cancel(struct tako__query *q)
{
	struct tako__resolver *r = q->worker->srv->resolver;
	bool waits;

	pthread_mutex_lock(&r->lock);
	waits = !tako__list_empty(&q->link);
	tako__list_remove(&q->link);
	pthread_mutex_unlock(&r->lock);
	q->fn = NULL;
	if (waits)
		tako__free(q, sizeof *q);
}

/* ---- New and free ------------------------------------------------------------------------------------ */

struct tako__resolver *tako__resolver_new(const tako_server_config *cfg)
{
	struct tako__resolver *r = tako__zalloc(sizeof *r);

	if (!r)
		return NULL;
	r->threads = tako__offload_new(cfg->resolve_thread_count, cfg->resolve_queue_count);
	if (!r->threads) {
		tako__free(r, sizeof *r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	tako__list_init(&r->done);
	r->max = cfg->resolve_cache_count;
	r->keep_ms = cfg->resolve_cache_ms == TAKO_OFF ? 0 : cfg->resolve_cache_ms;
	return r;
}

void tako__resolver_free(struct tako__resolver *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->ending = true;
	pthread_mutex_unlock(&r->lock);
	tako__offload_free(r->threads);
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (r->buckets[i])
			forget(r->buckets[i]);
	}
	pthread_mutex_destroy(&r->lock);
	tako__free(r, sizeof *r);
}
