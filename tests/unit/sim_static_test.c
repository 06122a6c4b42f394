/* SPDX-License-Identifier: MIT
 *
 * Files over a network that takes them in pieces: whole, in ranges of every form, not at all where
 * the client has them; the bytes are the file's, whoever read them and however they left.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

enum { RANGES_MAX = 4, REQUESTS_MAX = 6 };

static const size_t sizes[] = {0, 1, 1000, 8192, 8193, 70000, 200000};

enum { SIZES = sizeof sizes / sizeof *sizes };

static struct sim_scene scene;
static char dir[] = "/tmp/sim_static_XXXXXX";

struct range {
	size_t first;
	size_t n;
};

/* What a request for several ranges has to bring. */
static struct asked {
	struct range ranges[RANGES_MAX];
	unsigned count; /* 0: not several */
	size_t size;
} asked[REQUESTS_MAX];

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

/* ---- Files ------------------------------------------------------------------------------- */

static int make_files(void **state)
{
	char path[64];

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	for (unsigned i = 0; i < SIZES; i++) {
		int fd;

		snprintf(path, sizeof path, "%s/%u.bin", dir, i);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, sim_pattern(i), sizes[i]) != (ssize_t)sizes[i])
			return -1;
		close(fd);
	}
	return 0;
}

static int remove_files(void **state)
{
	char path[64];

	(void)state;
	for (unsigned i = 0; i < SIZES; i++) {
		snprintf(path, sizeof path, "%s/%u.bin", dir, i);
		unlink(path);
	}
	return rmdir(dir);
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void say(struct sim_script *c, unsigned file, const char *fields, struct sim_expect e)
{
	e.key = file;
	sim_peer_sayf(&c->peer, "%s /files/%u.bin HTTP/1.1\r\nHost: sim\r\n%s\r\n",
	              e.head_only ? "HEAD" : "GET", file, fields);
	sim_http1_expect(&c->http, e.head_only);
	c->expect[c->count++] = e;
}

static void say_whole(struct sim_script *c, unsigned file)
{
	say(c, file, "",
	    (struct sim_expect){.status = 200,
	                        .body_n = sizes[file],
	                        .head_only = sim_rand_chance(rand_of(), 300)});
}

/* In each of the three forms of RFC 9110 section 14.1.2. */
static void say_range(struct sim_script *c, unsigned file)
{
	size_t size = sizes[file];
	size_t first = sim_rand_below(rand_of(), size);
	size_t n = sim_rand_between(rand_of(), 1, size - first);
	char fields[100];

	switch (sim_rand_below(rand_of(), 4)) {
	case 0:
		snprintf(fields, sizeof fields, "Range: bytes=%zu-%zu\r\n", first, first + n - 1);
		break;
	case 1:
		n = size - first;
		snprintf(fields, sizeof fields, "Range: bytes=%zu-\r\n", first);
		break;
	case 2:
		first = size - n;
		snprintf(fields, sizeof fields, "Range: bytes=-%zu\r\n", n);
		break;
	default: /* a validator that is not this file's */
		first = 0;
		n = size;
		snprintf(fields, sizeof fields, "Range: bytes=0-0\r\nIf-Range: \"other\"\r\n");
	}
	say(c, file, fields,
	    (struct sim_expect){.status = strstr(fields, "If-Range") ? 200 : 206,
	                        .body_at = first,
	                        .body_n = n});
}

/* Apart from each other and in order, so that nobody wants to join them. */
static void say_ranges(struct sim_script *c, unsigned file)
{
	struct asked *a = &asked[c->count];
	char fields[200] = "Range: bytes=";
	size_t step = sizes[file] / RANGES_MAX;

	a->size = sizes[file];
	a->count = (unsigned)sim_rand_between(rand_of(), 2, RANGES_MAX);
	for (unsigned i = 0; i < a->count; i++) {
		size_t have = strlen(fields);

		a->ranges[i].first = i * step + sim_rand_below(rand_of(), step / 4);
		a->ranges[i].n = sim_rand_between(rand_of(), 1, step / 4);
		snprintf(fields + have, sizeof fields - have, "%s%zu-%zu", i ? "," : "",
		         a->ranges[i].first, a->ranges[i].first + a->ranges[i].n - 1);
	}
	strcat(fields, "\r\n");
	say(c, file, fields, (struct sim_expect){.status = 206, .any_body = true});
}

static void say_any(struct sim_script *c)
{
	unsigned file = (unsigned)sim_rand_below(rand_of(), SIZES);

	asked[c->count].count = 0;
	switch (sim_rand_below(rand_of(), 6)) {
	case 0:
		say(c, file, "Range: bytes=200000-\r\n",
		    (struct sim_expect){.status = 416, .any_body = true});
		break;
	case 1:
		say(c, file, "If-None-Match: *\r\n", (struct sim_expect){.status = 304});
		break;
	case 2:
		if (sizes[file] >= 1000) {
			say_ranges(c, file);
			break;
		}
		/* fall through */
	case 3:
		if (sizes[file]) {
			say_range(c, file);
			break;
		}
		/* fall through */
	default:
		say_whole(c, file);
	}
}

/* ---- Answers ------------------------------------------------------------------------------------ */

static const char *expect(const char *at, const char *text, const struct sim_reply *r)
{
	size_t n = strlen(text);

	assert_true((size_t)(r->body + r->body_n - at) >= n);
	assert_memory_equal(at, text, n);
	return at + n;
}

/* RFC 9110 section 14.6, to the byte. */
static void check_parts(const struct sim_reply *r, const struct asked *a, uint64_t key)
{
	static const char prefix[] = "multipart/byteranges; boundary=";
	char type[200];
	char line[300];
	const char *boundary = type + sizeof prefix - 1;
	const char *at = r->body;

	assert_non_null(sim_reply_field(r, "Content-Type", type, sizeof type));
	assert_memory_equal(type, prefix, sizeof prefix - 1);
	for (unsigned i = 0; i < a->count; i++) {
		snprintf(line, sizeof line, "%s--%s\r\n", i ? "\r\n" : "", boundary);
		at = expect(at, line, r);
		at = expect(at, "Content-Type: application/octet-stream\r\n", r);
		snprintf(line, sizeof line, "Content-Range: bytes %zu-%zu/%zu\r\n\r\n",
		         a->ranges[i].first, a->ranges[i].first + a->ranges[i].n - 1, a->size);
		at = expect(at, line, r);
		assert_true((size_t)(r->body + r->body_n - at) >= a->ranges[i].n);
		assert_memory_equal(at, sim_pattern(key) + a->ranges[i].first, a->ranges[i].n);
		at += a->ranges[i].n;
	}
	snprintf(line, sizeof line, "\r\n--%s--\r\n", boundary);
	at = expect(at, line, r);
	assert_ptr_equal(at, r->body + r->body_n);
}

static void check_range(const struct sim_reply *r, const struct sim_expect *e)
{
	char want[100];
	char have[100];

	snprintf(want, sizeof want, "bytes %zu-%zu/%zu", e->body_at, e->body_at + e->body_n - 1,
	         sizes[e->key]);
	assert_non_null(sim_reply_field(r, "Content-Range", have, sizeof have));
	assert_string_equal(have, want);
}

static void check_length(const struct sim_reply *r, const struct sim_expect *e)
{
	char have[100];

	assert_non_null(sim_reply_field(r, "Content-Length", have, sizeof have));
	assert_int_equal(strtoul(have, NULL, 10), e->body_n);
}

static void files(uint64_t seed)
{
	struct sim_script *c;

	scene.files = dir;
	sim_scene_begin(&scene, seed, NULL, NULL);
	c = sim_scene_client(&scene);
	sim_peer_draw(&c->peer);
	for (uint64_t i = sim_rand_between(rand_of(), 1, REQUESTS_MAX); i; i--)
		say_any(c);
	assert_true(sim_scene_play(&scene));
	sim_script_check(c, true);
	for (unsigned i = 0; i < c->count; i++) {
		if (asked[i].count)
			check_parts(&c->http.replies[i], &asked[i], c->expect[i].key);
		else if (c->expect[i].status == 206)
			check_range(&c->http.replies[i], &c->expect[i]);
		else if (c->expect[i].status == 200)
			check_length(&c->http.replies[i], &c->expect[i]);
	}
	assert_int_equal(scene.app.failed, 0);
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {SIM_TEST(files)};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
