/* SPDX-License-Identifier: MIT
 *
 * Certificates: made, loaded from files and memory, refused, exchanged, and all that without memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "transports/tls/tls_cert.h"
#include "transports/tls/tls_lib.h"
#include "unit/failalloc.h"

enum { PATH = 64, DAY_S = 24 * 3600 };

static char dir[] = "/tmp/tako-cert-XXXXXX";

/* Two pairs: 'a' for localhost and more, 'b' for another name. */
static const char *path(const char *name)
{
	static _Thread_local char text[16][PATH];
	static _Thread_local unsigned at;
	char *to = text[at++ % 16];

	snprintf(to, PATH, "%s/%s", dir, name);
	return to;
}

static tako_cert_config files(const char *cert, const char *key)
{
	return (tako_cert_config){
		.size = sizeof(tako_cert_config), .cert_file = path(cert), .key_file = path(key)};
}

static int load(tako_cert **out, const char *cert, const char *key)
{
	tako_cert_config c = files(cert, key);

	return tako_cert_new(out, &c);
}

static void refuses(const tako_cert_config *c, int code, const char *words)
{
	tako_cert *cert = NULL;

	assert_int_equal(tako_cert_new(&cert, c), code);
	assert_null(cert);
	if (!strstr(tako_last_error(), words))
		fail_msg("\"%s\" without \"%s\"", tako_last_error(), words);
}

static tako_str slurp(const char *name, struct tako__tls_blob *b)
{
	assert_int_equal(tako__tls_read_file(b, path(name), "test"), 0);
	return (tako_str){b->p, b->n};
}

static void copy_file(const char *from, const char *to)
{
	struct tako__tls_blob b = {NULL, 0};
	tako_str all = slurp(from, &b);
	FILE *f = fopen(path(to), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(all.p, 1, all.n, f), all.n);
	assert_int_equal(fclose(f), 0);
	tako__tls_wipe(&b);
}

/* The only name that b has. */
static bool is_b(const struct tako__cert_version *v)
{
	return v->names.n == sizeof "other.example" && strcmp(v->names.p, "other.example") == 0;
}

/* ---- Making ----------------------------------------------------------------------------------- */

static void test_self_signed(void **state)
{
	static const char *const none[] = {NULL};
	static const char *const empty[] = {"", NULL};
	const char *many[18];
	tako_cert_info info = {.size = sizeof info};
	int64_t now = (int64_t)time(NULL);
	struct stat st;
	tako_cert *cert = NULL;

	(void)state;
	assert_int_equal(load(&cert, "a.pem", "a.key"), 0);
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_in_range(info.not_after_s, now + 1 * DAY_S, now + 4 * DAY_S);
	assert_true(info.not_before_s <= now);
	assert_int_equal(info.generation, 1);
	tako_cert_free(cert);
	assert_int_equal(stat(path("a.key"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(tako_cert_self_signed(path("x"), path("y"), none, 0), TAKO_EINVAL);
	assert_int_equal(tako_cert_self_signed(path("x"), path("y"), empty, 0), TAKO_EINVAL);
	assert_int_equal(tako_cert_self_signed(path("x"), path("y"), many, 801), TAKO_EINVAL);
	for (int i = 0; i < 17; i++)
		many[i] = "name.example";
	many[17] = NULL;
	assert_int_equal(tako_cert_self_signed(path("x"), path("y"), many, 0), TAKO_EINVAL);
	many[16] = NULL;
	assert_int_equal(tako_cert_self_signed(path("x"), path("y"), many, 0), 0);
	assert_int_equal(load(&cert, "x", "y"), 0);
	tako_cert_free(cert);
	assert_int_equal(tako_cert_self_signed(path("no/x"), path("no/y"), many, 0), TAKO_ESYS);
	unlink(path("x"));
	unlink(path("y"));
}

static void test_matches(void **state)
{
	static const struct {
		const char *name;
		bool yes;
	} rows[] = {
		{"localhost", true},      {"LOCALHOST", true},       {"localhos", false},
		{"a.wild.example", true}, {"A.Wild.Example", true},  {"b.a.wild.example", false},
		{"wild.example", false},  {"*.wild.example", false}, {"", false},
		{".wild.example", false}, {"127.0.0.1", false},      {"localhost.", false},
	};
	tako_cert *cert = NULL;

	(void)state;
	assert_int_equal(load(&cert, "a.pem", "a.key"), 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (tako_cert_matches(cert, tako_str_z(rows[i].name)) != rows[i].yes)
			fail_msg("%s", rows[i].name);
	}
	assert_false(tako_cert_matches(cert, (tako_str){"local\0host", 10}));
	assert_false(tako_cert_matches(NULL, TAKO_STR("localhost")));
	tako_cert_free(cert);
}

/* ---- Loading ------------------------------------------------------------------------------------ */

static void test_memory(void **state)
{
	struct tako__tls_blob pem = {NULL, 0};
	struct tako__tls_blob key = {NULL, 0};
	tako_cert_config c = {.size = sizeof c};
	unsigned char der[4096];
	tako_cert_info from_pem = {.size = sizeof from_pem};
	tako_cert_info from_der = {.size = sizeof from_der};
	tako_cert *cert = NULL;
	int n;

	(void)state;
	c.cert = slurp("a.pem", &pem);
	c.key = slurp("a.key", &key);
	assert_int_equal(tako_cert_new(&cert, &c), 0);
	assert_int_equal(tako_cert_get_info(cert, &from_pem), 0);
	tako_cert_free(cert);
	n = wc_CertPemToDer((unsigned char *)pem.p, (int)pem.n, der, sizeof der, CERT_TYPE);
	assert_true(n > 0);
	c.cert = (tako_str){(char *)der, (size_t)n};
	assert_int_equal(tako_cert_new(&cert, &c), 0);
	assert_int_equal(tako_cert_get_info(cert, &from_der), 0);
	assert_memory_equal(from_der.sha256, from_pem.sha256, 32);
	/* The same places again, which memory has kept. */
	memset(der, 0, sizeof der);
	assert_int_equal(tako_cert_reload(cert, NULL), 0);
	tako_cert_free(cert);
	tako__tls_wipe(&pem);
	tako__tls_wipe(&key);
}

static void test_refused(void **state)
{
	tako_cert_config c = files("a.pem", "b.key");

	(void)state;
	refuses(&c, TAKO_ETLS, "not this certificate's");
	c = files("none", "a.key");
	refuses(&c, TAKO_ESYS, "No such file");
	c = files("a.pem", "none");
	refuses(&c, TAKO_ESYS, "No such file");
	c = files("a.key", "a.key");
	refuses(&c, TAKO_ETLS, "is not a certificate");
	c = files("a.pem", "a.pem");
	refuses(&c, TAKO_ETLS, "private key");
	c = files("a.pem", "a.key");
	c.key_file = NULL;
	refuses(&c, TAKO_EINVAL, "needs its key");
	c = files("a.pem", "a.key");
	c.cert = TAKO_STR("x");
	refuses(&c, TAKO_EINVAL, "needs its key");
	c.key = TAKO_STR("x");
	refuses(&c, TAKO_EINVAL, "from files and from memory");
	c.cert_file = c.key_file = NULL;
	refuses(&c, TAKO_ETLS, "is not a certificate");
	c.watch_interval_ms = 1;
	refuses(&c, TAKO_EINVAL, "no files to watch");
	c = (tako_cert_config){.size = sizeof c};
	refuses(&c, TAKO_EINVAL, "neither files nor memory");
	c = files("a.pem", "a.key");
	c.watch_interval_ms = UINT32_MAX;
	refuses(&c, TAKO_EINVAL, "watch_interval_ms is");
	c = files("a.pem", "a.key");
	c.reserved = 1;
	refuses(&c, TAKO_EINVAL, "reserved");
	c = files("a.pem", "a.key");
	c.ocsp_file = path("none");
	refuses(&c, TAKO_ESYS, "OCSP");
}

/* A key of its own curve's (RFC 5915), whose scalar is n bytes of 0x7f. */
static tako_str ec_key(char *to, const char *curve, size_t curve_n, size_t n)
{
	char *at = to;
	const char head[] = {0x30, (char)(5 + n + 2 + curve_n), 2, 1, 1, 4, (char)n};

	memcpy(at, head, sizeof head);
	at += sizeof head;
	memset(at, 0x7f, n);
	at += n;
	*at++ = (char)0xa0;
	*at++ = (char)curve_n;
	memcpy(at, curve, curve_n);
	return (tako_str){to, (size_t)(at - to) + curve_n};
}

/* What wolfSSL may not be asked about, and is not. */
static void test_large_keys(void **state)
{
	static const char p256[] = "\6\10\x2a\x86\x48\xce\x3d\3\1\7";
	static const char p384[] = "\6\5\x2b\x81\4\0\x22";
	tako_cert_config c = files("a.pem", "a.key");
	struct tako__tls_blob pem = {NULL, 0};
	char key[128];

	(void)state;
	c.cert_file = c.key_file = NULL;
	c.cert = slurp("a.pem", &pem);
	c.key = ec_key(key, p256, sizeof p256 - 1, 32);
	refuses(&c, TAKO_ETLS, "not this certificate's");
	c.key = ec_key(key, p256, sizeof p256 - 1, 33);
	refuses(&c, TAKO_ETLS, "larger than its curve");
	c.key = ec_key(key, p384, sizeof p384 - 1, 48);
	refuses(&c, TAKO_ETLS, "larger than the certificate's curve");
	tako__tls_wipe(&pem);
}

/* Whatever is cut off or changed, it is refused or it is the same certificate: nothing crashes. */
static void test_damaged(void **state)
{
	struct tako__tls_blob pem = {NULL, 0};
	struct tako__tls_blob key = {NULL, 0};
	tako_cert_config c = {.size = sizeof c};
	tako_cert *cert = NULL;
	size_t refused = 0;

	(void)state;
	c.cert = slurp("a.pem", &pem);
	c.key = slurp("a.key", &key);
	for (size_t i = 0; i < pem.n; i += 3) {
		char was = pem.p[i];

		pem.p[i] = (char)(was ^ 1);
		if (tako_cert_new(&cert, &c) == 0)
			tako_cert_free(cert);
		else
			refused++;
		pem.p[i] = was;
		c.cert.n = i + 1;
		if (tako_cert_new(&cert, &c) == 0)
			tako_cert_free(cert);
		else
			refused++;
		c.cert.n = pem.n;
	}
	assert_true(refused > pem.n / 3);
	tako__tls_wipe(&pem);
	tako__tls_wipe(&key);
}

/* ---- Reloading ------------------------------------------------------------------------------------ */

static void test_reload(void **state)
{
	tako_cert_config b = files("b.pem", "b.key");
	tako_cert_config bad = files("a.pem", "b.key");
	tako_cert_info info = {.size = sizeof info};
	struct tako__cert_version *old;
	tako_cert *cert = NULL;

	(void)state;
	assert_int_equal(load(&cert, "a.pem", "a.key"), 0);
	old = tako__cert_take(cert);
	assert_int_equal(tako_cert_reload(cert, &b), 0);
	assert_true(tako_cert_matches(cert, TAKO_STR("other.example")));
	assert_false(tako_cert_matches(cert, TAKO_STR("localhost")));
	/* Who has the old one keeps it. */
	assert_int_equal(old->generation, 1);
	assert_false(is_b(old));
	tako__cert_drop(old);
	assert_int_equal(tako_cert_reload(cert, &bad), TAKO_ETLS);
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_int_equal(info.generation, 2);
	assert_int_equal(info.failed_reloads, 1);
	/* From where it came last, not from where that failed. */
	assert_int_equal(tako_cert_reload(cert, NULL), 0);
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_int_equal(info.generation, 3);
	assert_int_equal(info.failed_reloads, 0);
	tako_cert_free(cert);
}

static void *reload_often(void *arg)
{
	for (int i = 0; i < 50; i++) {
		tako_cert_config c = i % 2 ? files("a.pem", "a.key") : files("b.pem", "b.key");
		char cert_file[PATH];
		char key_file[PATH];

		/* path() is not for several threads. */
		snprintf(cert_file, sizeof cert_file, "%s/%c.pem", dir, i % 2 ? 'a' : 'b');
		snprintf(key_file, sizeof key_file, "%s/%c.key", dir, i % 2 ? 'a' : 'b');
		c.cert_file = cert_file;
		c.key_file = key_file;
		if (tako_cert_reload(arg, i % 3 ? &c : NULL) < 0)
			return arg;
	}
	return NULL;
}

static void test_reload_from_threads(void **state)
{
	tako_cert *cert = NULL;
	pthread_t threads[4];
	void *failed = NULL;
	tako_cert_info info = {.size = sizeof info};

	(void)state;
	assert_int_equal(load(&cert, "a.pem", "a.key"), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reload_often, cert), 0);
	for (int i = 0; i < 2000; i++) {
		struct tako__cert_version *v = tako__cert_take(cert);

		/* Never a mixture: what a version was loaded with, it has. */
		assert_true(is_b(v) == !memmem(v->names.p, v->names.n, "localhost", 9));
		tako__cert_drop(v);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_int_equal(info.generation, 201);
	tako_cert_free(cert);
}

static void test_watch(void **state)
{
	tako_cert_config c = files("w.pem", "w.key");
	tako_cert_info info = {.size = sizeof info};
	tako_cert *cert = NULL;
	const uint64_t s = 1000000000;

	(void)state;
	copy_file("a.pem", "w.pem");
	copy_file("a.key", "w.key");
	c.watch_interval_ms = 1000;
	assert_int_equal(tako_cert_new(&cert, &c), 0);
	assert_true(tako__cert_watch(cert, 10 * s) == 11 * s);
	copy_file("b.pem", "w.pem");
	/* Not yet; then it does not fit; then it does. */
	assert_true(tako__cert_watch(cert, 10 * s + 1) == 11 * s);
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_int_equal(info.failed_reloads, 0);
	assert_true(tako__cert_watch(cert, 11 * s) == 12 * s);
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_int_equal(info.generation, 1);
	assert_int_equal(info.failed_reloads, 1);
	copy_file("b.key", "w.key");
	assert_true(tako__cert_watch(cert, 12 * s) == 13 * s);
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_int_equal(info.generation, 2);
	assert_true(tako__cert_watch(cert, 13 * s) == 14 * s);
	assert_int_equal(tako_cert_get_info(cert, &info), 0);
	assert_int_equal(info.generation, 2);
	tako_cert_free(cert);
	assert_int_equal(load(&cert, "a.pem", "a.key"), 0);
	assert_true(tako__cert_watch(cert, 10 * s) == UINT64_MAX);
	tako_cert_free(cert);
	unlink(path("w.pem"));
	unlink(path("w.key"));
}

/* ---- Without memory ---------------------------------------------------------------------------------- */

static void test_allocations(void **state)
{
	static const char *const names[] = {"one.example", NULL};
	size_t nth;

	(void)state;
	for (nth = 1;; nth++) {
		tako_cert *cert = NULL;
		size_t failed;
		int rc;

		failalloc_arm(nth);
		rc = tako_cert_self_signed(path("x.pem"), path("x.key"), names, 1);
		if (rc == 0)
			rc = load(&cert, "a.pem", "a.key");
		if (rc == 0)
			rc = tako_cert_reload(cert, NULL);
		failed = failalloc_disarm();
		tako_cert_free(cert);
		if (failalloc_live() || failalloc_wrong())
			fail_msg("allocation %zu: %zu blocks left", nth, failalloc_live());
		if (!failed) {
			assert_int_equal(rc, 0);
			break;
		}
		if (rc != TAKO_ENOMEM)
			fail_msg("allocation %zu: %d, %s", nth, rc, tako_last_error());
	}
	assert_true(nth > 50);
	unlink(path("x.pem"));
	unlink(path("x.key"));
}

static int set_up(void **state)
{
	static const char *const a[] = {"localhost", "*.wild.example", "127.0.0.1", "::1", NULL};
	static const char *const b[] = {"other.example", NULL};

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(tako_cert_self_signed(path("a.pem"), path("a.key"), a, 2), 0);
	assert_int_equal(tako_cert_self_signed(path("b.pem"), path("b.key"), b, 2), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path("a.pem"));
	unlink(path("a.key"));
	unlink(path("b.pem"));
	unlink(path("b.key"));
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self_signed), cmocka_unit_test(test_matches),
		cmocka_unit_test(test_memory),      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_large_keys),  cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_reload),      cmocka_unit_test(test_reload_from_threads),
		cmocka_unit_test(test_watch),       cmocka_unit_test(test_allocations),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
