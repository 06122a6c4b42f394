/* SPDX-License-Identifier: MIT
 *
 * TLS on connections that we make, on both runtimes: a server that connects to itself.  Who is believed, who is
 * not and in which words, what is agreed on, what is resumed, and every allocation failing once.
 */
#include "unit/dial_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transports/tls/tls_client.h"

static const tako_runtime *runtime;
static char dir[] = "/tmp/tako-tls-dial-XXXXXX";

static const char *path(const char *name)
{
	static char text[4][64];
	static unsigned next;
	char *to = text[next++ % 4];

	snprintf(to, 64, "%s/%s", dir, name);
	return to;
}

/* ---- The other end ------------------------------------------------------------------------------ */

static int echo(tako_raw *c, tako_str data, void *arg)
{
	(void)arg;
	return tako_raw_send(c, data) < 0 ? TAKO_ECLOSED : 0;
}

static unsigned shown; /* certificates that clients have shown */

static int on_open(tako_raw *c, void *arg)
{
	tako_conn_info info = {.size = sizeof info};

	int rc = tako_raw_conn_info(c, &info);

	(void)arg;
	shown += rc == 0 && info.peer_cert;
	return rc;
}

static const tako_raw_config raw = {
	.size = sizeof raw, .on_open = on_open, .on_data = echo, .alpn = "echo,discard"};

static int start_with(struct stepped *s, const tako_listen_config *listen, const char *addr)
{
	tako_listen_config l = *listen;
	tako_router *r = tako_router_new();
	char text[TAKO__LOCAL_TEXT_BYTES];
	int rc;

	*s = (struct stepped){.stopped = 1};
	l.size = sizeof l;
	l.raw = &raw;
	rc = tako_server_new(&s->srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = runtime,
	                                        .drain_timeout_ms = 1000));
	tako_router_free(r);
	if (rc == 0)
		rc = tako_server_listen(s->srv, tako_raw_tls(), addr, &l);
	if (rc == 0)
		rc = tako_server_fd(s->srv);
	if (rc < 0) {
		tako_server_free(s->srv);
		s->srv = NULL;
		return rc;
	}
	tako_server_local_addr(s->srv, 0, text, sizeof text);
	s->port = strncmp(text, "unix:", 5) == 0
	                  ? 0
	                  : (uint16_t)strtoul(strrchr(text, ':') + 1, NULL, 10);
	return 0;
}

static int start(struct stepped *s)
{
	return start_with(s,
	                  TAKO_LISTEN_CONFIG(.cert_file = path("a.crt"), .key_file = path("a.key")),
	                  "127.0.0.1:0");
}

static void stop(struct stepped *s)
{
	stepped_stop(s);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static void call(struct called *c, struct stepped *s, const char *host,
                 const struct tako__dial_options *o)
{
	struct tako__target t;

	memset(c, 0, sizeof *c);
	assert_int_equal(tako__target_host(&t, tako_str_z(host), s->port), 0);
	assert_int_equal(dial_rig_call(c, s, &t, o), 0);
	dial_rig_await(c, s);
	assert_int_equal(c->done, 1);
}

static void hang_up(struct called *c, struct stepped *s)
{
	if (c->conn)
		tako__conn_finish(c->conn, false);
	for (unsigned i = 0; i < 3000 && c->conn; i++)
		stepped_turn(s, 1);
	assert_null(c->conn);
}

static tako_tls_client *trusting(const char *file)
{
	tako_tls_client *tls = NULL;

	assert_int_equal(tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = path(file))),
	                 0);
	return tls;
}

/* ---- Good ones ------------------------------------------------------------------------------------ */

static void test_talk(void **state)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1"};
	tako_tls_client *tls = trusting("a.crt");
	struct called c;
	struct stepped s;

	(void)state;
	assert_int_equal(start(&s), 0);
	for (unsigned i = 0; i < 2; i++) {
		call(&c, &s, hosts[i], &(struct tako__dial_options){.tls = tls});
		assert_string_equal(c.why, "");
		assert_string_equal(c.alpn, "");
		dial_rig_hear(&c, &s, 5);
		assert_memory_equal(c.got, "hello", 5);
		hang_up(&c, &s);
	}
	/* Of what a connection shows the peer, that it is another's is said by us. */
	call(&c, &s, "127.0.0.1",
	     &(struct tako__dial_options){
		     .tls = tls, .server_name = "localhost", .alpn = "x,echo"});
	assert_string_equal(c.why, "");
	assert_string_equal(c.alpn, "echo");
	tako_tls_client_free(tls);
	hang_up(&c, &s);
	assert_int_equal(dial_rig_stats(&s).outgoing_connections, 3);
	stop(&s);
}

static void test_unix(void **state)
{
	tako_tls_client *tls = trusting("a.crt");
	struct called c = {.done = 0};
	struct tako__target t;
	struct stepped s;
	char addr[80];

	(void)state;
	snprintf(addr, sizeof addr, "unix:%s", path("socket"));
	assert_int_equal(start_with(&s,
	                            TAKO_LISTEN_CONFIG(.cert_file = path("a.crt"),
	                                               .key_file = path("a.key")),
	                            addr),
	                 0);
	assert_int_equal(tako__target_parse(&t, tako_str_z(addr)), 0);
	assert_int_equal(dial_rig_call(&c, &s, &t, &(struct tako__dial_options){.tls = tls}),
	                 TAKO_EINVAL);
	assert_int_equal(
		dial_rig_call(&c, &s, &t,
	                      &(struct tako__dial_options){.tls = tls, .server_name = "localhost"}),
		0);
	dial_rig_await(&c, &s);
	assert_string_equal(c.why, "");
	hang_up(&c, &s);
	tako_tls_client_free(tls);
	stop(&s);
}

static void test_resumption(void **state)
{
	tako_tls_client *tls = trusting("a.crt");
	struct called c;
	struct stepped s;

	(void)state;
	assert_int_equal(start(&s), 0);
	for (unsigned i = 0; i < 4; i++) {
		call(&c, &s, "localhost", &(struct tako__dial_options){.tls = tls});
		assert_string_equal(c.why, "");
		dial_rig_hear(&c, &s, 5);
		hang_up(&c, &s);
		assert_int_equal(dial_rig_stats(&s).tls_resumed, i);
	}
	/* Somebody else, by another name or protocol, starts anew. */
	call(&c, &s, "127.0.0.1", &(struct tako__dial_options){.tls = tls});
	hang_up(&c, &s);
	call(&c, &s, "localhost", &(struct tako__dial_options){.tls = tls, .alpn = "echo"});
	assert_string_equal(c.alpn, "echo");
	hang_up(&c, &s);
	assert_int_equal(dial_rig_stats(&s).tls_resumed, 3);
	tako_tls_client_free(tls);
	stop(&s);
}

/* The one that was kept first makes room. */
static void test_few_sessions(void **state)
{
	static const char *const alpns[] = {"echo", "discard", "discard", "echo"};
	static const unsigned resumed[] = {0, 0, 1, 1};
	tako_tls_client *tls = NULL;
	struct called c;
	struct stepped s;

	(void)state;
	assert_int_equal(tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = path("a.crt"),
	                                                                  .session_count = 1)),
	                 0);
	assert_int_equal(start(&s), 0);
	for (unsigned i = 0; i < 4; i++) {
		call(&c, &s, "localhost",
		     &(struct tako__dial_options){.tls = tls, .alpn = alpns[i]});
		dial_rig_hear(&c, &s, 5);
		hang_up(&c, &s);
		assert_int_equal(dial_rig_stats(&s).tls_resumed, resumed[i]);
	}
	tako_tls_client_free(tls);
	stop(&s);
}

static void test_no_resumption(void **state)
{
	tako_tls_client *tls = NULL;
	struct called c;
	struct stepped s;

	(void)state;
	assert_int_equal(
		tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = path("a.crt"),
	                                                         .session_count = TAKO_OFF)),
		0);
	assert_int_equal(start(&s), 0);
	for (unsigned i = 0; i < 2; i++) {
		call(&c, &s, "localhost", &(struct tako__dial_options){.tls = tls});
		dial_rig_hear(&c, &s, 5);
		hang_up(&c, &s);
	}
	assert_int_equal(dial_rig_stats(&s).tls_resumed, 0);
	assert_int_equal(dial_rig_stats(&s).tls_handshakes, 2);
	tako_tls_client_free(tls);
	stop(&s);
}

static void test_client_certificate(void **state)
{
	tako_tls_client *tls = NULL;
	tako_cert *mine = NULL;
	struct called c;
	struct stepped s;

	(void)state;
	assert_int_equal(tako_cert_new(&mine, TAKO_CERT_CONFIG(.cert_file = path("b.crt"),
	                                                       .key_file = path("b.key"))),
	                 0);
	assert_int_equal(tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = path("a.crt"),
	                                                                  .cert = mine)),
	                 0);
	assert_int_equal(
		start_with(&s,
	                   TAKO_LISTEN_CONFIG(.cert_file = path("a.crt"), .key_file = path("a.key"),
	                                      .client_auth = TAKO_CLIENT_AUTH_REQUIRED,
	                                      .client_ca_file = path("b.crt")),
	                   "127.0.0.1:0"),
		0);
	shown = 0;
	call(&c, &s, "localhost", &(struct tako__dial_options){.tls = tls});
	dial_rig_hear(&c, &s, 5);
	assert_memory_equal(c.got, "hello", 5);
	assert_int_equal(shown, 1);
	hang_up(&c, &s);
	/* What it is reloaded with is what is shown from then on. */
	assert_int_equal(tako_cert_reload(mine, TAKO_CERT_CONFIG(.cert_file = path("a.crt"),
	                                                         .key_file = path("a.key"))),
	                 0);
	call(&c, &s, "localhost", &(struct tako__dial_options){.tls = tls});
	dial_rig_hear(&c, &s, 5);
	assert_int_equal(c.got_n, 0);
	assert_int_equal(shown, 1);
	hang_up(&c, &s);
	tako_tls_client_free(tls);
	tako_cert_free(mine);
	stop(&s);
}

/* ---- Bad ones ------------------------------------------------------------------------------------- */

static void refused(struct stepped *s, tako_tls_client *tls, const char *name, int err,
                    const char *why)
{
	struct called c;

	call(&c, s, "127.0.0.1", &(struct tako__dial_options){.tls = tls, .server_name = name});
	assert_int_equal(c.err, err);
	assert_null(c.conn);
	if (!strstr(c.why, why) || !strstr(c.why, "connect to 127.0.0.1:"))
		fail_msg("%s", c.why);
}

static void test_refused(void **state)
{
	tako_tls_client *tls[3];
	struct called c;
	struct stepped s;

	(void)state;
	tls[0] = trusting("a.crt");
	tls[1] = trusting("b.crt");
	assert_int_equal(tako_tls_client_new(&tls[2], TAKO_TLS_CLIENT_CONFIG(.insecure = 1)), 0);
	assert_int_equal(start(&s), 0);
	refused(&s, tls[0], "other.test", TAKO_ETLS, "its certificate is not one of other.test");
	refused(&s, tls[0], "127.0.0.2", TAKO_ETLS, "its certificate is not one of 127.0.0.2");
	refused(&s, tls[1], "localhost", TAKO_ETLS, "signed by nobody who is trusted");
	call(&c, &s, "127.0.0.1", &(struct tako__dial_options){.tls = tls[0], .alpn = "h2"});
	assert_int_equal(c.err, TAKO_ETLS);
	assert_non_null(strstr(c.why, "the peer refuses"));
	/* Whoever wants it so. */
	call(&c, &s, "127.0.0.1",
	     &(struct tako__dial_options){.tls = tls[2], .server_name = "other.test"});
	assert_string_equal(c.why, "");
	dial_rig_hear(&c, &s, 5);
	assert_int_equal(c.got_n, 5);
	hang_up(&c, &s);
	assert_int_equal(dial_rig_stats(&s).outgoing_errors, 4);
	for (unsigned i = 0; i < 3; i++)
		tako_tls_client_free(tls[i]);
	stop(&s);
}

/* Peers that are no TLS at all, or leave. */
static void test_no_tls(void **state)
{
	tako_tls_client *tls = trusting("a.crt");
	struct stepped s;
	struct place p;
	int fd;

	(void)state;
	assert_int_equal(start(&s), 0);
	place_tcp(&p, 4);
	for (unsigned i = 0; i < 3; i++) {
		struct called c = {.done = 0};

		assert_int_equal(
			dial_rig_call(&c, &s, &p.target,
		                      &(struct tako__dial_options){.tls = tls, .timeout_ms = 100}),
			0);
		fd = place_accept(&p, &s);
		if (i == 0)
			assert_int_equal(send(fd, "220 smtp.test\r\n", 15, 0), 15);
		else if (i == 1)
			shutdown(fd, SHUT_WR);
		dial_rig_await(&c, &s);
		assert_int_equal(c.err, i == 0   ? TAKO_ETLS
		                        : i == 1 ? TAKO_ECLOSED
		                                 : TAKO_ETIMEDOUT);
		assert_non_null(
			strstr(c.why, i == 0   ? "TLS"
		                      : i == 1 ? "hung up during the TLS handshake"
		                               : "no end of the TLS handshake within 100 ms"));
		close(fd);
	}
	close(p.fd);
	tako_tls_client_free(tls);
	stop(&s);
}

static void test_cancelled(void **state)
{
	tako_tls_client *tls = trusting("a.crt");
	struct called c = {.done = 0};
	struct stepped s;
	struct place p;
	int fd;

	(void)state;
	assert_int_equal(start(&s), 0);
	place_tcp(&p, 4);
	assert_int_equal(dial_rig_call(&c, &s, &p.target, &(struct tako__dial_options){.tls = tls}),
	                 0);
	tako_tls_client_free(tls);
	fd = place_accept(&p, &s);
	for (unsigned i = 0; i < 5; i++)
		stepped_turn(&s, 1);
	tako__dial_cancel(c.dial);
	stepped_turn(&s, 1);
	stepped_turn(&s, 1);
	assert_int_equal(c.done, 0);
	assert_int_equal(dial_rig_worker(&s)->conn_count, 0);
	close(fd);
	close(p.fd);
	stop(&s);
}

/* ---- Settings -------------------------------------------------------------------------------------- */

static void test_settings(void **state)
{
	static const tako_tls_client_config bad[] = {
		{.size = sizeof(tako_tls_client_config), .ca_file = "/x", .ca_dir = "/y"},
		{.size = sizeof(tako_tls_client_config), .ca_file = "/x", .insecure = 1},
		{.size = sizeof(tako_tls_client_config), .insecure = 2},
		{.size = sizeof(tako_tls_client_config), .insecure = 1, .min_version = 11},
		{.size = sizeof(tako_tls_client_config), .insecure = 1, .session_count = 65537},
		{.size = sizeof(tako_tls_client_config), .insecure = 1, .alpn = ""},
		{.size = sizeof(tako_tls_client_config), .insecure = 1, .alpn = "a,,b"},
		{.size = sizeof(tako_tls_client_config), .insecure = 1, .reserved = 1},
		{.size = sizeof(size_t)},
	};
	tako_tls_client *tls = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(tako_tls_client_new(&tls, &bad[i]), TAKO_EINVAL);
	assert_int_equal(tako_tls_client_new(NULL, NULL), TAKO_EINVAL);
	assert_int_equal(
		tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = "/nonexistent")),
		TAKO_ESYS);
	assert_non_null(strstr(tako_last_error(), "/nonexistent"));
	assert_int_equal(
		tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = path("a.key"))),
		TAKO_ETLS);
	assert_int_equal(
		tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca = TAKO_STR("rubbish"))),
		TAKO_ETLS);
	assert_null(tls);
	tako_tls_client_free(NULL);
	assert_null(tako_tls_client_ref(NULL));
	assert_int_equal(failalloc_live(), 0);
}

/* Good in January 2020, and a certificate that it has signed, good for a hundred years. */
static const char old_root[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIIBWzCCAQCgAwIBAgIUFWRp49n2ojKu32UsGulCmCeoVTswCgYIKoZIzj0EAwIw\n"
			       "EzERMA8GA1UEAwwIb2xkIHJvb3QwHhcNMjAwMTAxMDAwMDAwWhcNMjAwMjAxMDAw\n"
			       "MDAwWjATMREwDwYDVQQDDAhvbGQgcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
			       "A0IABKMqgQf9LjT4rJOfW14KjKSps3v8XjY05SHGaPR/+MOBCGVRMdcYSOkVZAvb\n"
			       "0KC3bIEA2m9I0ISljbQ4QuJMVk6jMjAwMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0O\n"
			       "BBYEFKoD2jtokDne5UK5gsXdlwvA9kY3MAoGCCqGSM49BAMCA0kAMEYCIQD7AFC0\n"
			       "yyo/GYXDQiGoIx3iY0VdTwdouwaJd6EKcFTAJwIhAIcGpqLJc8Xz2hXz9g6LGiCT\n"
			       "OnFgkR77slGaTeBfRMM/\n"
			       "-----END CERTIFICATE-----\n";
static const char its_leaf[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIIBFjCBvKADAgECAgEHMAoGCCqGSM49BAMCMBMxETAPBgNVBAMMCG9sZCByb290\n"
			       "MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIwEAYDVQQDDAls\n"
			       "b2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATzKipXmhYoEND5c5Dc\n"
			       "O1X2cTS3R98dpghptBIc2Jxup2316gTySWkZSHgIVyaVDnCWJDe9ry4Fvi6Jb3P4\n"
			       "vXW3MAoGCCqGSM49BAMCA0kAMEYCIQD237TK82A3CBFJ9yRpjAPnaDcgflhoxi4/\n"
			       "UNCyyVdI0gIhANnRb1H7BYOgN21wp6Zi/fhUIK9V+VyEPWOqNGKImE+m\n"
			       "-----END CERTIFICATE-----\n";

static bool believes(tako_tls_client *tls, const char *pem)
{
	WOLFSSL *ssl = tako__tls_client_session(tls, 0);
	int rc;

	assert_non_null(ssl);
	wolfSSL_free(ssl);
	rc = wolfSSL_CertManagerVerifyBuffer(wolfSSL_CTX_GetCertManager(tls->ctx),
	                                     (const unsigned char *)pem, (long)strlen(pem),
	                                     WOLFSSL_FILETYPE_PEM);
	wolfSSL_ERR_clear_error();
	return rc == WOLFSSL_SUCCESS;
}

/* One of several signers is of the past: it is nobody's, also where signers are read as the system's are. */
static void test_old_signer(void **state)
{
	struct tako__tls_blob good = {NULL, 0};
	tako_tls_client *tls = NULL;
	tako_cert *mine = NULL;
	char all[4096];
	int n;

	(void)state;
	assert_int_equal(tako_cert_new(&mine, TAKO_CERT_CONFIG(.cert_file = path("b.crt"),
	                                                       .key_file = path("b.key"))),
	                 0);
	assert_int_equal(tako__tls_read_file(&good, path("a.crt"), "a.crt"), 0);
	n = snprintf(all, sizeof all, "%s%.*s", old_root, (int)good.n, good.p);
	assert_in_range(n, sizeof old_root, sizeof all - 1);
	assert_int_equal(tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca = {all, (size_t)n},
	                                                                  .cert = mine)),
	                 0);
	n = snprintf(all, sizeof all, "%.*s", (int)good.n, good.p);
	assert_true(believes(tls, all));
	assert_false(believes(tls, its_leaf));
	/* What is shown is reloaded, and the signers are read once more. */
	assert_int_equal(tako_cert_reload(mine, TAKO_CERT_CONFIG(.cert_file = path("a.crt"),
	                                                         .key_file = path("a.key"))),
	                 0);
	assert_true(believes(tls, all));
	assert_false(believes(tls, its_leaf));
	tako__tls_wipe(&good);
	tako_tls_client_free(tls);
	tako_cert_free(mine);
	assert_int_equal(failalloc_live(), 0);
}

/* Its certificates are there where this is tested. */
static void test_the_systems(void **state)
{
	tako_tls_client *tls = NULL;
	struct called c;
	struct stepped s;

	(void)state;
	if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) < 0)
		skip();
	assert_int_equal(tako_tls_client_new(&tls, NULL), 0);
	assert_int_equal(start(&s), 0);
	call(&c, &s, "localhost", &(struct tako__dial_options){.tls = tls});
	assert_int_equal(c.err, TAKO_ETLS);
	assert_non_null(strstr(c.why, "signed by nobody who is trusted"));
	tako_tls_client_free(tls);
	stop(&s);
}

static void test_no_memory(void **state)
{
	size_t before = 0;

	(void)state;
	for (size_t n = 1;; n++) {
		tako_tls_client *tls = NULL;
		struct called c = {.done = 0};
		struct tako__target t;
		struct stepped s;
		int rc;

		assert_int_equal(start(&s), 0);
		before = failalloc_live();
		failalloc_arm(n);
		rc = tako_tls_client_new(&tls, TAKO_TLS_CLIENT_CONFIG(.ca_file = path("a.crt")));
		assert_int_equal(tako__target_host(&t, TAKO_STR("localhost"), s.port), 0);
		if (rc == 0)
			rc = dial_rig_call(&c, &s, &t, &(struct tako__dial_options){.tls = tls});
		if (rc == 0)
			for (unsigned i = 0; i < 3000 && !c.done; i++)
				stepped_turn(&s, 1);
		assert_int_equal(c.done, rc == 0);
		if (c.conn)
			dial_rig_hear(&c, &s, 5);
		if (!failalloc_disarm()) {
			assert_int_equal(c.got_n, 5);
			hang_up(&c, &s);
			tako_tls_client_free(tls);
			stop(&s);
			break;
		}
		hang_up(&c, &s);
		tako_tls_client_free(tls);
		stop(&s);
	}
	assert_true(before > 0);
}

static int set_up(void **state)
{
	static const char *const localhost[] = {"localhost", "127.0.0.1", NULL};
	static const char *const other[] = {"other.test", NULL};

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	return tako_cert_self_signed(path("a.crt"), path("a.key"), localhost, 0) ||
	       tako_cert_self_signed(path("b.crt"), path("b.key"), other, 0);
}

static int tear_down(void **state)
{
	static const char *const names[] = {"a.crt", "a.key", "b.crt", "b.key", "socket"};

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		unlink(path(names[i]));
	return rmdir(dir);
}

static int run(const tako_runtime *rt)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talk),          cmocka_unit_test(test_unix),
		cmocka_unit_test(test_resumption),    cmocka_unit_test(test_few_sessions),
		cmocka_unit_test(test_no_resumption), cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_refused),       cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_cancelled),     cmocka_unit_test(test_settings),
		cmocka_unit_test(test_the_systems),   cmocka_unit_test(test_old_signer),
		cmocka_unit_test(test_no_memory),
	};
	char why[96];

	runtime = rt;
	memcpy(strchr(dir, '\0') - 6, "XXXXXX", 6);
	return rt->probe(why, sizeof why) < 0 ? 0
	                                      : cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void)
{
	if (failalloc_install() < 0)
		return 1;
	return run(tako_runtime_epoll()) + run(tako_runtime_io_uring());
}
