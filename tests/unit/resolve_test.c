/* SPDX-License-Identifier: MIT
 *
 * Names looked up: by the system, whose getaddrinfo() is ours here, and by a hook: who waits for what, what is
 * kept and for how long, and that an asker who has left is not told.
 */
#include "core/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "unit/dial_rig.h"

enum { TURNS_MAX = 3000, ASKED_MAX = 32 };

/* ---- The system --------------------------------------------------------------------------------- */

static sem_t gate; /* "slow" waits for it */
static _Atomic unsigned asked_count;

static struct addrinfo *found_at(const char *ip, int family)
{
	struct addrinfo *ai = calloc(1, sizeof(*ai) + sizeof(union tako__ip));
	union tako__ip *to = (union tako__ip *)(void *)(ai + 1);

	ai->ai_family = family;
	ai->ai_socktype = SOCK_STREAM;
	ai->ai_addr = &to->any;
	ai->ai_addrlen = family == AF_INET ? sizeof to->in : sizeof to->in6;
	to->any.sa_family = (sa_family_t)family;
	inet_pton(family, ip,
	          family == AF_INET ? (void *)&to->in.sin_addr : (void *)&to->in6.sin6_addr);
	return ai;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
	static const struct {
		const char *name;
		int code;
	} failures[] = {{"none", EAI_NONAME}, {"nodata", EAI_NODATA}, {"again", EAI_AGAIN},
	                {"fail", EAI_FAIL},   {"memory", EAI_MEMORY}, {"system", EAI_SYSTEM}};

	if (service) { /* where the server listens */
		*ret = found_at("127.0.0.1", AF_INET);
		return 0;
	}
	atomic_fetch_add(&asked_count, 1);
	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
		if (strcmp(name, failures[i].name) == 0) {
			errno = EIO;
			return failures[i].code;
		}
	}
	if (strcmp(name, "slow") == 0)
		sem_wait(&gate);
	*ret = found_at(hints->ai_family == AF_INET ? "192.0.2.1" : "2001:db8::1",
	                hints->ai_family);
	for (unsigned i = 0; i < 12 && strcmp(name, "many") == 0; i++) {
		struct addrinfo *first = found_at("192.0.2.9", AF_INET);

		first->ai_next = *ret;
		*ret = first;
	}
	return 0;
}

void freeaddrinfo(struct addrinfo *ai)
{
	while (ai) {
		struct addrinfo *next = ai->ai_next;

		free(ai);
		ai = next;
	}
}

/* ---- Who asks -------------------------------------------------------------------------------------- */

struct asker {
	struct tako__query *query;
	struct tako__resolved got;
	unsigned told;
	int rc;
	bool inside;
};

static void on_resolved(const struct tako__resolved *r, void *arg)
{
	struct asker *a = arg;

	assert_false(a->inside);
	a->told++;
	a->got = *r;
}

static void ask(struct asker *a, struct stepped *s, const char *name, int family)
{
	*a = (struct asker){.inside = true};
	a->rc = tako__resolve(&a->query, &a->got, dial_rig_worker(s), name, family, on_resolved, a);
	a->inside = false;
}

static void await(struct asker *a, struct stepped *s)
{
	for (unsigned i = 0; i < TURNS_MAX && !a->told; i++)
		stepped_turn(s, 1);
	assert_int_equal(a->told, 1);
}

#define START(s, ...)                                                                              \
	assert_int_equal(dial_rig_start(s, TAKO_SERVER_CONFIG(.worker_count = 1, __VA_ARGS__)), 0)

static void stop(struct stepped *s)
{
	tako__resolver_hook = NULL;
	assert_int_equal(stepped_stop(s), 0);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

/* ---- By the system ----------------------------------------------------------------------------------- */

static void test_found_and_kept(void **state)
{
	struct asker a;
	struct stepped s;

	(void)state;
	START(&s, .resolve_cache_ms = 60000);
	asked_count = 0;
	ask(&a, &s, "good", AF_INET);
	assert_int_equal(a.rc, 0);
	await(&a, &s);
	assert_int_equal(a.got.err, 0);
	assert_int_equal(a.got.count, 1);
	assert_int_equal(a.got.ips[0].in.sin_addr.s_addr, htonl(0xc0000201));
	/* Each family by itself. */
	ask(&a, &s, "good", AF_INET6);
	assert_int_equal(a.rc, 0);
	await(&a, &s);
	assert_int_equal(a.got.ips[0].any.sa_family, AF_INET6);
	assert_int_equal(asked_count, 2);
	memset(&a, 0, sizeof a);
	ask(&a, &s, "good", AF_INET);
	assert_int_equal(a.rc, 1);
	assert_int_equal(a.got.count, 1);
	assert_int_equal(a.got.ips[0].any.sa_family, AF_INET);
	assert_int_equal(asked_count, 2);
	ask(&a, &s, "many", AF_INET);
	await(&a, &s);
	assert_int_equal(a.got.count, TAKO__RESOLVED_MAX);
	stop(&s);
	assert_int_equal(a.told, 1);
}

static void test_failures(void **state)
{
	static const struct {
		const char *name;
		int err;
		bool kept;
	} cases[] = {{"none", TAKO_ENOENT, true},    {"nodata", TAKO_ENOENT, true},
	             {"again", TAKO_EBUSY, false},   {"fail", TAKO_ESYS, false},
	             {"memory", TAKO_ENOMEM, false}, {"system", TAKO_ESYS, false}};
	struct asker a;
	struct stepped s;

	(void)state;
	START(&s, .resolve_cache_ms = 60000);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ask(&a, &s, cases[i].name, AF_INET);
		assert_int_equal(a.rc, 0);
		await(&a, &s);
		assert_int_equal(a.got.err, cases[i].err);
		assert_int_equal(a.got.count, 0);
		assert_string_not_equal(a.got.why, "");
		ask(&a, &s, cases[i].name, AF_INET);
		assert_int_equal(a.rc, cases[i].kept);
		if (a.rc == 0)
			await(&a, &s);
	}
	stop(&s);
}

static void test_no_room_in_the_queue(void **state)
{
	static const char *const names[] = {"slow", "a", "b"};
	struct asker a[3];
	struct stepped s;

	(void)state;
	START(&s, .resolve_thread_count = 1, .resolve_queue_count = 1);
	asked_count = 0;
	ask(&a[0], &s, names[0], AF_INET);
	while (asked_count == 0)
		stepped_turn(&s, 1);
	ask(&a[1], &s, names[1], AF_INET);
	ask(&a[2], &s, names[2], AF_INET);
	assert_int_equal(a[0].rc, 0);
	assert_int_equal(a[1].rc, 0);
	assert_int_equal(a[2].rc, TAKO_EBUSY);
	sem_post(&gate);
	await(&a[0], &s);
	await(&a[1], &s);
	/* It is not remembered that there was no room. */
	ask(&a[2], &s, names[2], AF_INET);
	assert_int_equal(a[2].rc, 0);
	await(&a[2], &s);
	assert_int_equal(a[2].got.err, 0);
	stop(&s);
}

/* Whoever frees the server waits for the one that is under way, and for no other. */
static void test_ends_while_looking(void **state)
{
	struct asker a[3];
	struct stepped s;

	(void)state;
	START(&s, .resolve_thread_count = 1);
	asked_count = 0;
	ask(&a[0], &s, "slow", AF_INET);
	while (asked_count == 0)
		stepped_turn(&s, 1);
	ask(&a[1], &s, "a", AF_INET);
	ask(&a[2], &s, "b", AF_INET);
	for (unsigned i = 0; i < 3; i++)
		tako__resolve_cancel(a[i].query);
	sem_post(&gate);
	stop(&s);
	assert_int_equal(a[0].told + a[1].told + a[2].told, 0);
	assert_in_range(asked_count, 1, 3);
}

/* This machine, whatever its files or the network say (RFC 6761 section 6.3). */
static void test_localhost(void **state)
{
	static const char *const names[] = {"localhost", "LocalHost.", "a.b.localhost",
	                                    "x.LOCALHOST."};
	struct asker a;
	struct stepped s;

	(void)state;
	START(&s, .resolve_cache_ms = TAKO_OFF);
	asked_count = 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		ask(&a, &s, names[i], AF_INET);
		assert_int_equal(a.rc, 1);
		assert_int_equal(a.got.ips[0].in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
		ask(&a, &s, names[i], AF_INET6);
		assert_int_equal(a.rc, 1);
		assert_true(IN6_IS_ADDR_LOOPBACK(&a.got.ips[0].in6.sin6_addr));
	}
	assert_int_equal(asked_count, 0);
	ask(&a, &s, "notlocalhost", AF_INET);
	assert_int_equal(a.rc, 0);
	await(&a, &s);
	assert_int_equal(asked_count, 1);
	stop(&s);
}

/* ---- By the hook ------------------------------------------------------------------------------------- */

static struct tako__lookup *asked[ASKED_MAX];
static unsigned asked_n;

static void on_begin(struct tako__lookup *l, const char *name, int family, void *arg)
{
	(void)name, (void)family, (void)arg;
	asked[asked_n++] = l;
}

static const struct tako__resolver_hook hook = {.begin = on_begin};

static void answer(unsigned i, int err)
{
	struct tako__resolved r = {.err = err, .count = err ? 0 : 1};

	r.ips[0].in = (struct sockaddr_in){.sin_family = AF_INET};
	tako__lookup_answer(asked[i], &r);
}

static void use_hook(void)
{
	asked_n = 0;
	tako__resolver_hook = &hook;
}

static void test_one_for_all(void **state)
{
	struct asker a[3];
	struct stepped s;

	(void)state;
	use_hook();
	START(&s, .resolve_cache_ms = TAKO_OFF);
	for (unsigned i = 0; i < 3; i++)
		ask(&a[i], &s, "x", AF_INET);
	assert_int_equal(asked_n, 1);
	tako__resolve_cancel(a[1].query);
	answer(0, 0);
	/* Told already, and not heard yet. */
	tako__resolve_cancel(a[2].query);
	assert_int_equal(a[0].told, 0);
	await(&a[0], &s);
	assert_int_equal(a[1].told + a[2].told, 0);
	/* Nothing is kept. */
	ask(&a[0], &s, "x", AF_INET);
	assert_int_equal(a[0].rc, 0);
	assert_int_equal(asked_n, 2);
	answer(1, TAKO_ENOENT);
	await(&a[0], &s);
	assert_int_equal(a[0].got.err, TAKO_ENOENT);
	stop(&s);
}

/* As time goes by: an answer is kept for a while, and that there is none for less. */
static void test_age(void **state)
{
	struct asker a;
	struct stepped s;
	struct tako_loop *loop;

	(void)state;
	use_hook();
	START(&s, .resolve_cache_ms = 5000);
	loop = dial_rig_worker(&s)->loop;
	ask(&a, &s, "x", AF_INET);
	answer(0, 0);
	await(&a, &s);
	ask(&a, &s, "none", AF_INET);
	answer(1, TAKO_ENOENT);
	await(&a, &s);
	ask(&a, &s, "none", AF_INET);
	assert_int_equal(a.rc, 1);
	assert_int_equal(a.got.err, TAKO_ENOENT);
	loop->now_ns += 1000000000;
	ask(&a, &s, "none", AF_INET);
	assert_int_equal(a.rc, 0);
	tako__resolve_cancel(a.query);
	ask(&a, &s, "x", AF_INET);
	assert_int_equal(a.rc, 1);
	loop->now_ns += UINT64_C(4000000000);
	ask(&a, &s, "x", AF_INET);
	assert_int_equal(a.rc, 0);
	tako__resolve_cancel(a.query);
	assert_int_equal(asked_n, 4);
	stop(&s);
}

/* The one that nobody has asked for the longest makes room, but none that is under way. */
static void test_room(void **state)
{
	static const char *const names[] = {"a", "b", "c"};
	struct asker a;
	struct asker more;
	struct stepped s;

	(void)state;
	use_hook();
	START(&s, .resolve_cache_count = 3, .resolve_cache_ms = 86400000);
	for (unsigned i = 0; i < 3; i++) {
		ask(&a, &s, names[i], AF_INET);
		answer(i, 0);
		await(&a, &s);
	}
	ask(&a, &s, "a", AF_INET);
	assert_int_equal(a.rc, 1);
	ask(&a, &s, "d", AF_INET); /* in place of b */
	assert_int_equal(a.rc, 0);
	ask(&more, &s, "a", AF_INET);
	assert_int_equal(more.rc, 1);
	ask(&more, &s, "c", AF_INET);
	assert_int_equal(more.rc, 1);
	tako__resolve_cancel(a.query);
	ask(&a, &s, "b", AF_INET); /* in place of a */
	tako__resolve_cancel(a.query);
	ask(&a, &s, "e", AF_INET); /* in place of c */
	tako__resolve_cancel(a.query);
	ask(&a, &s, "f", AF_INET);
	assert_int_equal(a.rc, TAKO_EBUSY);
	assert_int_equal(asked_n, 6);
	stop(&s);
}

static void test_no_memory(void **state)
{
	struct asker a = {.told = 0};
	struct stepped s;

	(void)state;
	use_hook();
	START(&s, .resolve_cache_ms = 5000);
	for (size_t n = 1;; n++) {
		failalloc_arm(n);
		ask(&a, &s, "x", AF_INET);
		if (!failalloc_disarm())
			break;
		assert_int_equal(a.rc, TAKO_ENOMEM);
	}
	assert_int_equal(a.rc, 0);
	answer(0, 0);
	await(&a, &s);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_and_kept),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_no_room_in_the_queue),
		cmocka_unit_test(test_ends_while_looking),
		cmocka_unit_test(test_localhost),
		cmocka_unit_test(test_one_for_all),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0 || sem_init(&gate, 0, 0) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
