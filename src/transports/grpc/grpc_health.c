/* SPDX-License-Identifier: MIT
 *
 * grpc.health.v1: what is said of services, told those who ask and those who watch.
 *
 * Statuses are set on any thread and read on all loops, under one lock.  Who watches has a mail of its
 * own, which says no more than that there is news: so that a set cannot fail for want of memory, and
 * many of them are one message to a client who is slow.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "core/hash.h"
#include "core/list.h"
#include "core/router_build.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"
#include "transports/grpc/grpc_int.h"
#include "transports/grpc/grpc_pb.h"

enum {
	NAME_BYTES_MAX = 256,
	SERVICES_MAX = 1024,
	BUCKETS = 64,
	SERVICE_UNKNOWN = 3, /* of ServingStatus, for Watch only */
	NEVER_SENT = -1,
};

struct service {
	struct service *next; /* of the same bucket */
	int status;
	size_t name_n;
	char name[];
};

struct tako_grpc_health {
	pthread_mutex_t lock;
	atomic_uint refs;
	unsigned count;
	struct service *buckets[BUCKETS];
	struct tako__list watchers;
};

struct watcher {
	struct tako__list link;
	struct tako__mail mail;
	struct tako__worker *worker;
	tako_grpc_health *h;
	tako_grpc *call; /* NULL: it is over, and the mail on its way frees this */
	int sent;
	bool posted;
	size_t name_n;
	char name[NAME_BYTES_MAX];
};

/* ---- Services ---------------------------------------------------------------------------------- */

static unsigned bucket_of(tako_str name)
{
	uint32_t h = tako__hash(TAKO__HASH_START, name.p, name.n);

	return (h ^ h >> 16) % BUCKETS;
}

static struct service *find(const tako_grpc_health *h, tako_str name)
{
	struct service *s = h->buckets[bucket_of(name)];

	while (s && (s->name_n != name.n || (name.n && memcmp(s->name, name.p, name.n) != 0)))
		s = s->next;
	return s;
}

static int add(tako_grpc_health *h, tako_str name, int status)
{
	struct service **bucket = &h->buckets[bucket_of(name)];
	struct service *s;

	if (h->count == SERVICES_MAX)
		return tako__fail(TAKO_ETOOBIG, "health: more than %d services", SERVICES_MAX);
	s = tako__alloc(sizeof *s + name.n);
	if (!s)
		return tako__fail(TAKO_ENOMEM, "health: out of memory");
	*s = (struct service){.next = *bucket, .status = status, .name_n = name.n};
	if (name.n)
		memcpy(s->name, name.p, name.n);
	*bucket = s;
	h->count++;
	return 0;
}

/* The lock is held. */
static void tell_watchers(tako_grpc_health *h, tako_str name)
{
	TAKO__LIST_EACH(at, &h->watchers)
	{
		struct watcher *w = TAKO__CONTAINER(at, struct watcher, link);

		if (w->posted || w->name_n != name.n ||
		    (name.n && memcmp(w->name, name.p, name.n) != 0))
			continue;
		w->posted = true;
		tako__worker_post(w->worker, &w->mail);
	}
}

int tako_grpc_health_set(tako_grpc_health *h, const char *service, int status)
{
	tako_str name = tako_str_z(service);
	struct service *s;
	int rc = 0;

	if (status < TAKO_GRPC_HEALTH_UNKNOWN || status > TAKO_GRPC_HEALTH_NOT_SERVING)
		return tako__fail(TAKO_EINVAL, "health: %d is no status of a service", status);
	if (!service || name.n > NAME_BYTES_MAX)
		return tako__fail(TAKO_EINVAL, "health: no name of a service");
	pthread_mutex_lock(&h->lock);
	s = find(h, name);
	if (s)
		s->status = status;
	else
		rc = add(h, name, status);
	if (rc == 0)
		tell_watchers(h, name);
	pthread_mutex_unlock(&h->lock);
	return rc;
}

/* ---- Life -------------------------------------------------------------------------------------- */

tako_grpc_health *tako_grpc_health_new(void)
{
	tako_grpc_health *h = tako__zalloc(sizeof *h);

	if (!h || add(h, (tako_str){"", 0}, TAKO_GRPC_HEALTH_SERVING) < 0) {
		tako__free(h, sizeof *h);
		(void)tako__fail(TAKO_ENOMEM, "health: out of memory");
		return NULL;
	}
	pthread_mutex_init(&h->lock, NULL);
	tako__list_init(&h->watchers);
	atomic_init(&h->refs, 1);
	return h;
}

void tako_grpc_health_free(tako_grpc_health *h)
{
	if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct service *next;

		for (struct service *s = h->buckets[i]; s; s = next) {
			next = s->next;
			tako__free(s, sizeof *s + s->name_n);
		}
	}
	pthread_mutex_destroy(&h->lock);
	tako__free(h, sizeof *h);
}

static void drop(void *arg)
{
	tako_grpc_health_free(arg);
}

/* ---- Messages ------------------------------------------------------------------------------------ */

/* HealthCheckRequest: service = 1.  What cannot be parsed is INTERNAL (statuscodes.md). */
static int parse(tako_str msg, tako_str *service)
{
	struct tako__pb_field f;
	int rc;

	*service = (tako_str){"", 0};
	while ((rc = tako__pb_next(&msg, &f)) > 0) {
		if (f.number == 1 && f.type == TAKO__PB_BYTES)
			*service = f.bytes;
	}
	return rc < 0 ? TAKO_GRPC_INTERNAL : 0;
}

/* HealthCheckResponse: status = 1, which is small, and absent if it is 0. */
static tako_str response(char to[2], int status)
{
	to[0] = 1 << 3 | TAKO__PB_VARINT;
	to[1] = (char)status;
	return (tako_str){to, status ? 2 : 0};
}

static int status_of(tako_grpc_health *h, tako_str name)
{
	const struct service *s;
	int status;

	pthread_mutex_lock(&h->lock);
	s = find(h, name);
	status = s ? s->status : SERVICE_UNKNOWN;
	pthread_mutex_unlock(&h->lock);
	return status;
}

static int on_check(tako_grpc *call, tako_str msg, void *arg)
{
	char to[2];
	tako_str name;
	int status;
	int rc = parse(msg, &name);

	if (rc)
		return rc;
	status = status_of(arg, name);
	if (status == SERVICE_UNKNOWN)
		return tako_grpc_finish(call, TAKO_GRPC_NOT_FOUND, "unknown service");
	return tako_grpc_reply(call, response(to, status));
}

/* One of HealthListResponse's map (proposal A90): name = 1, HealthCheckResponse = 2. */
static void put_service(struct tako__pb_out *o, const struct service *s)
{
	char to[2];
	size_t at = tako__pb_open(o, 1);

	tako__pb_bytes(o, 1, (tako_str){s->name, s->name_n});
	tako__pb_bytes(o, 2, response(to, s->status));
	tako__pb_close(o, at);
}

static int on_list(tako_grpc *call, tako_str msg, void *arg)
{
	tako_grpc_health *h = arg;
	struct tako__pb_out o = {.p = NULL};
	int rc;

	(void)msg;
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (const struct service *s = h->buckets[i]; s; s = s->next)
			put_service(&o, s);
	}
	pthread_mutex_unlock(&h->lock);
	rc = o.failed ? TAKO_ENOMEM : tako_grpc_reply(call, (tako_str){o.p, o.n});
	tako__pb_fini(&o);
	return rc;
}

/* ---- Watching -------------------------------------------------------------------------------------- */

static const int watcher_key;

static void tell(struct watcher *w);

static void tell_late(tako_grpc *call, void *arg)
{
	(void)call;
	tell(arg);
}

/* A client that does not read is told no more than a high mark's worth, and how it is then. */
static void tell(struct watcher *w)
{
	uint64_t most = w->worker->srv->cfg.write_high_bytes;
	int status = status_of(w->h, (tako_str){w->name, w->name_n});
	char to[2];

	if (status == w->sent)
		return;
	if (tako_grpc_unsent(w->call) > most && tako_grpc_on_drain(w->call, tell_late, w) == 0)
		return;
	w->sent = status;
	(void)tako_grpc_send(w->call, response(to, status));
}

static void free_watcher(struct watcher *w)
{
	tako_grpc_health_free(w->h);
	tako__free(w, sizeof *w);
}

static void on_news(struct tako__mail *m)
{
	struct watcher *w = TAKO__CONTAINER(m, struct watcher, mail);
	bool over;

	pthread_mutex_lock(&w->h->lock);
	w->posted = false;
	over = !w->call;
	pthread_mutex_unlock(&w->h->lock);
	if (over)
		free_watcher(w);
	else
		tell(w);
}

static int on_watch(tako_grpc *call, tako_str msg, void *arg)
{
	tako_grpc_health *h = arg;
	struct watcher *w;
	tako_str name;
	int rc = parse(msg, &name);

	if (rc)
		return rc;
	if (name.n > NAME_BYTES_MAX)
		return TAKO_GRPC_INVALID_ARGUMENT;
	w = tako__zalloc(sizeof *w);
	if (!w)
		return TAKO_ENOMEM;
	rc = tako_req_set(tako_grpc_req(call), &watcher_key, w);
	if (rc < 0) {
		tako__free(w, sizeof *w);
		return rc;
	}
	w->h = h;
	w->call = call;
	w->worker = call->x->worker;
	w->mail.fn = on_news;
	w->sent = NEVER_SENT;
	w->name_n = name.n;
	memcpy(w->name, name.p, name.n);
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	pthread_mutex_lock(&h->lock);
	tako__list_push_back(&h->watchers, &w->link);
	pthread_mutex_unlock(&h->lock);
	tell(w);
	return 0;
}

static void on_close(tako_grpc *call, void *arg)
{
	struct watcher *w = tako_req_get(tako_grpc_req(call), &watcher_key);
	bool posted;

	(void)arg;
	if (!w)
		return;
	pthread_mutex_lock(&w->h->lock);
	tako__list_remove(&w->link);
	w->call = NULL;
	posted = w->posted;
	pthread_mutex_unlock(&w->h->lock);
	if (!posted)
		free_watcher(w);
}

/* Clients take it for what it is, and watch another. */
static void on_stop(tako_grpc *call, void *arg)
{
	(void)arg;
	(void)tako_grpc_finish(call, TAKO_GRPC_UNAVAILABLE, "the server stops");
}

/* ---- Routes ------------------------------------------------------------------------------------------ */

void tako_grpc_health_add(tako_router *router, tako_grpc_health *h)
{
	if (!tako__router_open(router))
		return;
	if (!h) {
		tako__router_stick(router, tako__fail(TAKO_EINVAL, "health: nothing to add"));
		return;
	}
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	if (tako__router_own(router, drop, h) < 0) {
		drop(h);
		return;
	}
	tako_grpc_method(router, "/grpc.health.v1.Health/Check", TAKO_GRPC_UNARY,
	                 TAKO_GRPC_CONFIG(.on_message = on_check, .max_receive_bytes = 1024), h);
	tako_grpc_method(router, "/grpc.health.v1.Health/List", TAKO_GRPC_UNARY,
	                 TAKO_GRPC_CONFIG(.on_message = on_list, .max_receive_bytes = 1024), h);
	tako_grpc_method(router, "/grpc.health.v1.Health/Watch", TAKO_GRPC_SERVER_STREAM,
	                 TAKO_GRPC_CONFIG(.on_message = on_watch, .on_close = on_close,
	                                  .on_stop = on_stop, .max_receive_bytes = 1024),
	                 h);
}
