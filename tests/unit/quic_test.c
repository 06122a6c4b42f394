/* SPDX-License-Identifier: MIT
 *
 * QUIC connections as a client sees them: how they begin and how they end.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base.h"
#include "unit/failalloc.h"
#include "unit/quic_echo.h"
#include "unit/quic_rig.h"

enum { CRYPTO_ERROR = 0x100 }; /* and a TLS alert (RFC 9001 section 4.8) */

static void start_with(const tako_server_config *cfg, const tako_listen_config *listen)
{
	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, cfg, listen), 0);
}

static int tear_down(void **state)
{
	(void)state;
	quic_rig_stop();
	return failalloc_live() || failalloc_wrong();
}

static tako_stats stats_now(void)
{
	tako_stats s = {.size = sizeof s};

	assert_int_equal(tako_server_stats(quic_rig.srv, &s), 0);
	return s;
}

/* ---- Handshakes -------------------------------------------------------------------------- */

static void test_handshake(void **state)
{
	struct quic_client *c;
	tako_stats s;

	(void)state;
	start_with(NULL, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.opened, 1);
	assert_int_equal(quic_echo.ready, 1);
	s = stats_now();
	assert_int_equal(s.connections_open, 1);
	assert_int_equal(s.tls_handshakes, 1);
	assert_true(s.received_bytes > 1200);
	assert_true(s.sent_bytes > 1200);
	quic_client_close(c, 5);
	quic_rig_pass(10 * QUIC_RIG_MS);
	assert_int_equal(quic_echo.ended, 1);
	assert_int_equal(quic_echo.why, TAKO_ECLOSED);
	assert_true(quic_echo.by_peer && quic_echo.by_app);
	assert_int_equal(quic_echo.code, 5);
	s = stats_now();
	assert_int_equal(s.connections_open, 0);
	assert_int_equal(s.tls_failures, 0);
}

/* Nothing of what the handshake took is still to be waited for by the first answer. */
static void test_first_answer_is_not_paced(void **state)
{
	struct quic_client *c;
	uint64_t since;
	int64_t id;

	(void)state;
	start_with(NULL, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	since = quic_net.now_ns;
	id = quic_client_open(c, false);
	quic_client_send(c, id, "x", 1, true);
	assert_true(quic_rig_received(c, id));
	assert_in_range(quic_net.now_ns - since, 1, 5 * QUIC_RIG_MS);
}

static void assert_refused_by_alert(const struct quic_client_config *cfg, unsigned alert)
{
	struct quic_client *c = quic_rig_client(cfg);

	assert_false(quic_rig_connect(c));
	assert_int_equal(c->end.error_code, CRYPTO_ERROR + alert);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.opened, 0);
	assert_int_equal(stats_now().connections_open, 0);
}

/* RFC 9001 section 8.1: no_application_protocol. */
static void test_protocols_in_common(void **state)
{
	(void)state;
	start_with(NULL, NULL);
	assert_refused_by_alert(&(struct quic_client_config){.alpn = "other"}, 120);
	assert_refused_by_alert(&(struct quic_client_config){.alpn = ""}, 120);
	assert_true(quic_rig_connect(
		quic_rig_client(&(struct quic_client_config){.alpn = "other,echo"})));
	assert_true(quic_rig_connect(quic_rig_client(&(struct quic_client_config){.alpn = "h3"})));
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(stats_now().tls_failures, 2);
	assert_int_equal(stats_now().tls_handshakes, 2);
	assert_int_equal(stats_now().quic_handshake_failures, 2);
	assert_int_equal(stats_now().quic_handshakes, 2);
	assert_int_equal(stats_now().quic_connections, 4);
}

static tako_cert *by_name(tako_str name, void *arg)
{
	(void)arg;
	return name.n == 9 && memcmp(name.p, "localhost", 9) == 0 ? quic_rig.cert : NULL;
}

static void test_certificates_by_name(void **state)
{
	tako_listen_config listen = {.size = sizeof listen, .cert_fn = by_name};

	(void)state;
	start_with(NULL, &listen);
	assert_true(quic_rig_connect(quic_rig_client(NULL)));
	quic_echo.opened = 0;
	quic_client_close(quic_rig.clients[0], 0);
	quic_rig_pass(QUIC_RIG_SECOND);
	/* unrecognized_name */
	assert_refused_by_alert(&(struct quic_client_config){.server_name = "elsewhere"}, 112);
}

struct files {
	char cert[64];
	char key[64];
};

static struct files make_files(const char *name)
{
	const char *const names[] = {name, NULL};
	struct files f;

	snprintf(f.cert, sizeof f.cert, "/tmp/tako-quic-%ld-%s.crt", (long)getpid(), name);
	snprintf(f.key, sizeof f.key, "/tmp/tako-quic-%ld-%s.key", (long)getpid(), name);
	assert_int_equal(tako_cert_self_signed(f.cert, f.key, names, 1), 0);
	return f;
}

static void remove_files(const struct files *f)
{
	unlink(f->cert);
	unlink(f->key);
}

/* certificate_required, which a client of TLS 1.3 hears of when its own handshake is through. */
static void test_client_certificates(void **state)
{
	struct files f = make_files("someone");
	struct files other = make_files("other");
	struct quic_client_config with = {.cert_file = f.cert, .key_file = f.key};
	struct quic_client_config wrong = {.cert_file = other.cert, .key_file = other.key};
	tako_listen_config listen = {.size = sizeof listen,
	                             .client_ca_file = f.cert,
	                             .client_auth = TAKO_CLIENT_AUTH_REQUIRED};
	struct quic_client *c;

	(void)state;
	start_with(NULL, &listen);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_closed(c));
	assert_true(c->end.error_code > CRYPTO_ERROR && c->end.error_code < CRYPTO_ERROR + 256);
	c = quic_rig_client(&wrong);
	assert_true(quic_rig_closed(c));
	assert_true(c->end.error_code > CRYPTO_ERROR && c->end.error_code < CRYPTO_ERROR + 256);
	assert_int_equal(quic_echo.opened, 0);
	c = quic_rig_client(&with);
	assert_true(quic_rig_connect(c));
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_false(c->closed);
	assert_int_equal(quic_echo.ready, 1);
	remove_files(&f);
	remove_files(&other);
}

/* What a reload brings is presented to whoever comes next. */
static void test_reload(void **state)
{
	static const char *const names[] = {"localhost", NULL};
	struct files f = make_files("localhost");
	tako_listen_config listen = {.size = sizeof listen};
	tako_cert *cert = NULL;

	(void)state;
	assert_int_equal(
		tako_cert_new(&cert, TAKO_CERT_CONFIG(.cert_file = f.cert, .key_file = f.key)), 0);
	listen.cert = cert;
	start_with(NULL, &listen);
	assert_true(quic_rig_connect(quic_rig_client(NULL)));
	assert_int_equal(unlink(f.cert) | unlink(f.key), 0);
	assert_int_equal(tako_cert_self_signed(f.cert, f.key, names, 1), 0);
	assert_int_equal(tako_cert_reload(cert, NULL), 0);
	assert_true(quic_rig_connect(quic_rig_client(NULL)));
	assert_int_equal(quic_echo.opened, 2);
	remove_files(&f);
	tako_cert_free(cert);
}

static void test_settings_that_cannot_be(void **state)
{
	const struct {
		tako_listen_config listen;
		int want;
	} cases[] = {
		{{.size = sizeof(tako_listen_config), .no_h2 = 1}, TAKO_ENOTSUP},
		{{.size = sizeof(tako_listen_config), .backlog = 5}, TAKO_ENOTSUP},
		{{.size = sizeof(tako_listen_config), .tls_max_early_data_bytes = 100},
	         TAKO_ENOTSUP},
		{{.size = sizeof(tako_listen_config), .tls_min_version = 11}, TAKO_EINVAL},
		{{.size = sizeof(tako_listen_config), .client_auth = 2}, TAKO_EINVAL},
		{{.size = sizeof(tako_listen_config), .h3_qlog_dir = "/nowhere"}, TAKO_ESYS},
		{{.size = sizeof(tako_listen_config), .h3_qlog_dir = "/proc"}, TAKO_ESYS},
		{{.size = sizeof(tako_listen_config), .h3_qlog_max_files = 1}, TAKO_EINVAL},
		{{.size = sizeof(tako_listen_config),
	          .h3_qlog_dir = "/tmp",
	          .h3_qlog_max_bytes = 100},
	         TAKO_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		assert_int_equal(
			quic_rig_start(quic_echo_transport(), NULL, NULL, &cases[i].listen),
			cases[i].want);
		tako_server_free(quic_rig.srv);
		quic_rig.srv = NULL;
		quic_rig_stop();
	}
	assert_int_equal(failalloc_live(), 0);
}

static int no_tear_down(void **state)
{
	(void)state;
	return 0;
}

/* ---- Limits -------------------------------------------------------------------------------------- */

/* CONNECTION_REFUSED; who leaves makes room at once. */
static void test_max_connections(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .max_connections = 2};
	struct quic_client *c[3];

	(void)state;
	start_with(&cfg, NULL);
	for (unsigned i = 0; i < 3; i++)
		c[i] = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c[0]));
	assert_true(quic_rig_connect(c[1]));
	assert_false(quic_rig_connect(c[2]));
	assert_int_equal(c[2]->end.error_code, NGTCP2_CONNECTION_REFUSED);
	quic_client_close(c[0], 0);
	quic_rig_pass(10 * QUIC_RIG_MS);
	assert_true(quic_rig_connect(quic_rig_client(NULL)));
}

static void test_max_connections_per_ip(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .max_connections_per_ip = 1};
	struct quic_client *c;

	(void)state;
	start_with(&cfg, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	/* From another port of the same address: nobody answers, so that it costs nothing. */
	(void)quic_rig_client(NULL);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.opened, 1);
	assert_int_equal(stats_now().connections_open, 1);
	assert_true(stats_now().connections_refused > 0);
	quic_rig_forget(quic_rig.clients[1]);
	/* Counted out by the address that it has then. */
	quic_client_move(c, true);
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_client_close(c, 0);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_true(quic_rig_connect(quic_rig_client(NULL)));
}

/* ---- Silence --------------------------------------------------------------------------------------- */

static bool lose_from_client(struct quic_net_packet *k, void *arg)
{
	unsigned *left = arg;

	if (k->from.sin_port == quic_net_server.sin_port || !*left)
		return k->from.sin_port == quic_net_server.sin_port;
	--*left;
	return true;
}

/* A client that sends its first packet and no more. */
static void test_handshake_timeout(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .tls_handshake_timeout_ms = 3000};
	unsigned left = 1;

	(void)state;
	start_with(&cfg, NULL);
	quic_net.look = lose_from_client;
	quic_net.look_arg = &left;
	(void)quic_rig_client(NULL);
	quic_rig_pass(2 * QUIC_RIG_SECOND);
	assert_int_equal(stats_now().connections_open, 1);
	quic_rig_pass(2 * QUIC_RIG_SECOND);
	assert_int_equal(stats_now().connections_open, 0);
	assert_int_equal(stats_now().tls_failures, 1);
	assert_int_equal(stats_now().timeouts, 1);
}

static void test_idle_timeout(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .h3_idle_timeout_ms = 5000};

	(void)state;
	start_with(&cfg, NULL);
	assert_true(quic_rig_connect(quic_rig_client(NULL)));
	quic_rig_pass(4 * QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.ended, 0);
	quic_rig_pass(2 * QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.ended, 1);
	assert_int_equal(quic_echo.why, TAKO_ETIMEDOUT);
	assert_int_equal(stats_now().timeouts, 1);
}

/* Whichever is less counts (RFC 9000 section 10.1). */
static void test_idle_timeout_of_the_client(void **state)
{
	struct quic_client_config short_one = {.idle_ns = 2 * QUIC_RIG_SECOND};

	(void)state;
	start_with(NULL, NULL);
	assert_true(quic_rig_connect(quic_rig_client(&short_one)));
	quic_rig_pass(4 * QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.ended, 1);
	assert_int_equal(quic_echo.why, TAKO_ETIMEDOUT);
}

/* ---- Ends ---------------------------------------------------------------------------------------------- */

static int64_t ask(struct quic_client *c, const char *text)
{
	int64_t id = quic_client_open(c, false);

	assert_true(id >= 0);
	quic_client_send(c, id, text, strlen(text), true);
	return id;
}

static void test_the_application_ends_it(void **state)
{
	struct quic_client *c;

	(void)state;
	start_with(NULL, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	quic_echo.close_on_data = true;
	(void)ask(c, "x");
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.type, NGTCP2_CCERR_TYPE_APPLICATION);
	assert_int_equal(c->end.error_code, 77);
	assert_int_equal(c->end.reasonlen, 6);
	assert_memory_equal(c->end.reason, "enough", 6);
	assert_int_equal(quic_echo.code, 77);
	assert_false(quic_echo.by_peer);
}

static void test_a_callback_fails(void **state)
{
	struct quic_client *c;

	(void)state;
	start_with(NULL, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	quic_echo.fail_on_data = true;
	(void)ask(c, "x");
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.type, NGTCP2_CCERR_TYPE_APPLICATION);
	assert_int_equal(c->end.error_code, quic_echo_app.internal_error);
	assert_int_equal(quic_echo.why, TAKO_EPROTO);
}

static void test_open_fails(void **state)
{
	struct quic_client *c;

	(void)state;
	start_with(NULL, NULL);
	quic_echo.fail_open = true;
	c = quic_rig_client(NULL);
	assert_true(quic_rig_closed(c));
	assert_int_equal(quic_echo.ended, 1);
	assert_int_equal(quic_echo.why, TAKO_ENOMEM);
}

static void test_drain(void **state)
{
	struct quic_client *c;

	(void)state;
	start_with(NULL, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	tako_server_stop(quic_rig.srv);
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, quic_echo_app.no_error);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_true(quic_rig.stopped);
	assert_int_equal(quic_rig.result, 0);
	assert_int_equal(quic_echo.drains, 1);
}

/* Who does not end by himself is cut, with a word, and nobody new comes meanwhile. */
static void test_drain_is_cut(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .drain_timeout_ms = 3000};
	struct quic_client *c, *late;

	(void)state;
	start_with(&cfg, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	quic_echo.linger = true;
	tako_server_stop(quic_rig.srv);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_false(c->closed);
	late = quic_rig_client(NULL);
	assert_false(quic_rig_connect(late));
	assert_int_equal(late->end.error_code, NGTCP2_CONNECTION_REFUSED);
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, quic_echo_app.no_error);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_true(quic_rig.stopped);
	assert_int_equal(quic_rig.result, TAKO_ETIMEDOUT);
}

static bool lose_close(struct quic_net_packet *k, void *arg)
{
	unsigned *armed = arg;

	if (*armed && k->from.sin_port == quic_net_server.sin_port) {
		--*armed;
		return false;
	}
	return true;
}

/* The last word was lost: it is said again when the peer goes on (RFC 9000 section 10.2.1). */
static void test_goodbye_is_repeated(void **state)
{
	struct quic_client *c;
	unsigned armed = 0;

	(void)state;
	start_with(NULL, NULL);
	quic_net.look = lose_close;
	quic_net.look_arg = &armed;
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_echo.close_on_data = true;
	armed = 1;
	(void)ask(c, "x");
	quic_rig_pass(10 * QUIC_RIG_MS);
	assert_int_equal(quic_echo.ended, 1);
	assert_int_equal(stats_now().connections_open, 0);
	assert_int_equal(armed, 0);
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, 77);
	assert_false(c->was_reset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_handshake, tear_down),
		cmocka_unit_test_teardown(test_first_answer_is_not_paced, tear_down),
		cmocka_unit_test_teardown(test_protocols_in_common, tear_down),
		cmocka_unit_test_teardown(test_certificates_by_name, tear_down),
		cmocka_unit_test_teardown(test_client_certificates, tear_down),
		cmocka_unit_test_teardown(test_reload, tear_down),
		cmocka_unit_test_teardown(test_settings_that_cannot_be, no_tear_down),
		cmocka_unit_test_teardown(test_max_connections, tear_down),
		cmocka_unit_test_teardown(test_max_connections_per_ip, tear_down),
		cmocka_unit_test_teardown(test_handshake_timeout, tear_down),
		cmocka_unit_test_teardown(test_idle_timeout, tear_down),
		cmocka_unit_test_teardown(test_idle_timeout_of_the_client, tear_down),
		cmocka_unit_test_teardown(test_the_application_ends_it, tear_down),
		cmocka_unit_test_teardown(test_a_callback_fails, tear_down),
		cmocka_unit_test_teardown(test_open_fails, tear_down),
		cmocka_unit_test_teardown(test_drain, tear_down),
		cmocka_unit_test_teardown(test_drain_is_cut, tear_down),
		cmocka_unit_test_teardown(test_goodbye_is_repeated, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}
