/* SPDX-License-Identifier: MIT
 *
 * A listener's settings, field by field, on every kind of listener: where each applies, and that it is
 * refused everywhere else, by its name and with nothing left behind.  A field without a row here fails.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tako/tako.h>

#include "core/server.h"

/* ---- Where ------------------------------------------------------------------------------------ */

enum {
	HTTP1 = 1,
	H2C = 2,
	HTTP = 4,
	LOCAL = 8,     /* HTTP on a Unix socket with a file */
	ABSTRACT = 16, /* … and without one */
	RAW = 32,
	RAW_LOCAL = 64,
	UDP = 128,
	TLS = 256,
	TLS_LOCAL = 512,
	RAW_TLS = 1024,
	H3 = 2048,
	QUIC = 4096,

	FILES = LOCAL | RAW_LOCAL | TLS_LOCAL,
	OVER_TLS = TLS | TLS_LOCAL | RAW_TLS | H3 | QUIC,
	OVER_QUIC = H3 | QUIC,
	DATAGRAMS = UDP | OVER_QUIC,
	RAW_ANY = RAW | RAW_LOCAL | RAW_TLS,
	ALL = 8191,
	STREAMS = ALL & ~DATAGRAMS,
	REQUESTS = ALL & ~(UDP | QUIC),
};

static char folder[] = "/tmp/tako-listen-XXXXXX";
static char file_addr[64];
static char cert_path[64];
static char key_path[64];
static const char port_addr[] = "127.0.0.1:0";

static const struct place {
	const char *name;
	int bit;
	const tako_transport *(*transport)(void);
	const char *addr;
} places[] = {
	{"HTTP/1", HTTP1, tako_http1, port_addr},
	{"h2c", H2C, tako_h2c, port_addr},
	{"HTTP", HTTP, tako_http, port_addr},
	{"HTTP on a file", LOCAL, tako_http, file_addr},
	{"HTTP on an abstract name", ABSTRACT, tako_http, "unix:@tako-listen-test"},
	{"raw TCP", RAW, tako_raw_tcp, port_addr},
	{"raw Unix", RAW_LOCAL, tako_raw_unix, file_addr},
	{"raw UDP", UDP, tako_raw_udp, port_addr},
#ifdef TAKO__WITH_TLS
	{"TLS", TLS, tako_tls, port_addr},
	{"TLS on a file", TLS_LOCAL, tako_tls, file_addr},
	{"raw TLS", RAW_TLS, tako_raw_tls, port_addr},
#endif
#ifdef TAKO__WITH_QUIC
	{"HTTP/3", H3, tako_h3, port_addr},
	{"raw QUIC", QUIC, tako_quic_raw, port_addr},
#endif
};

enum { PLACES = sizeof places / sizeof places[0] };

/* ---- What ------------------------------------------------------------------------------------- */

union value {
	const void *p;
	uint32_t u;
	tako_str s;
};

struct row {
	const char *name;
	size_t at;
	size_t bytes;
	int where; /* it applies */
	union value good;
	const char *with; /* a field that it means nothing without */
	union value with_good;
	union value bad;
	const char *says; /* what a refusal names it by; NULL: its name */
};

#define ROW(field, ...)                                                                            \
	{                                                                                          \
		.name = #field, .at = offsetof(tako_listen_config, field),                         \
		.bytes = sizeof(((tako_listen_config *)0)->field), __VA_ARGS__                     \
	}
#define GOOD_P(text) .good.p = (text)
#define GOOD_U(number) .good.u = (number)
#define BAD_P(text) .bad.p = (text)
#define BAD_U(number) .bad.u = (number)
#define WITH_U(field, number) .with = #field, .with_good.u = (number)
#define WITH_P(field, text) .with = #field, .with_good.p = (text)

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	(void)c, (void)data, (void)arg;
	return 0;
}

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	(void)u, (void)in, (void)arg;
}

static tako_cert *choose(tako_str name, void *arg)
{
	(void)name, (void)arg;
	return NULL;
}

static int anything;
static char owner[16];
static char group[16];
static const tako_raw_config raw = {.size = sizeof raw, .on_data = on_data};
static const tako_udp_config udp = {.size = sizeof udp, .on_datagram = on_datagram};
static const tako_raw_config no_raw = {.size = sizeof no_raw};
static const tako_udp_config no_udp = {.size = sizeof no_udp};
static const tako_wt_config wt = {.size = sizeof wt};
static tako_cert *cert;
static tako_ticket_keys *keys;
static struct row rows[] = {
	ROW(size, .where = ALL, GOOD_U(sizeof(tako_listen_config))),
	ROW(cert_file, .where = OVER_TLS, GOOD_P(cert_path), WITH_P(key_file, key_path),
            BAD_P("/no/such/file"), .says = "certificate"),
	ROW(key_file, .where = OVER_TLS, GOOD_P(key_path), WITH_P(cert_file, cert_path),
            BAD_P("/no/such/file"), .says = "key"),
	ROW(proxy_protocol, .where = STREAMS, GOOD_U(TAKO_PROXY_REQUIRED), BAD_U(3)),
	ROW(backlog, .where = STREAMS, GOOD_U(1), BAD_U(1u << 31)),
	ROW(cert, .where = OVER_TLS),
	ROW(cert_fn, .where = OVER_TLS),
	ROW(cert_arg, .where = OVER_TLS, GOOD_P(&anything), .with = "cert_fn"),
	ROW(client_ca_file, .where = OVER_TLS, GOOD_P(cert_path), WITH_U(client_auth, 1),
            BAD_P("/no/such/file")),
	ROW(client_ca_dir, .where = OVER_TLS, GOOD_P(folder), WITH_U(client_auth, 1),
            BAD_P("/no/such/folder")),
	ROW(client_ca, .where = OVER_TLS, WITH_U(client_auth, 1)),
	/* This one is a certificate.  A list takes a signer: tests/integration/test_tls.py. */
	ROW(client_crl_file, .where = 0, GOOD_P(cert_path), WITH_U(client_auth, 1)),
	ROW(ticket_keys, .where = OVER_TLS),
	ROW(client_auth, .where = OVER_TLS, GOOD_U(TAKO_CLIENT_AUTH_OPTIONAL),
            WITH_P(client_ca_file, cert_path), BAD_U(3)),
	ROW(tls_min_version, .where = OVER_TLS, GOOD_U(13), BAD_U(11)),
	ROW(tls_tickets, .where = OVER_TLS, GOOD_U(TAKO_OFF), BAD_U(1)),
	ROW(no_h2, .where = TLS | TLS_LOCAL, GOOD_U(1), BAD_U(2)),
	ROW(tls_max_early_data_bytes, .where = TLS | TLS_LOCAL | H3, GOOD_U(1), BAD_U(65537)),
	ROW(unix_mode, .where = FILES, GOOD_U(0600), BAD_U(01000)),
	ROW(proxy_trusted, .where = STREAMS, GOOD_P("10.0.0.0/8"), WITH_U(proxy_protocol, 1),
            BAD_P("10.0.0.0/33")),
	ROW(unix_owner, .where = FILES, GOOD_P(owner), BAD_P("nobody-has-this-name")),
	ROW(unix_group, .where = FILES, GOOD_P(group), BAD_P("nobody-has-this-name")),
	ROW(h3_qlog_dir, .where = OVER_QUIC, GOOD_P(folder), BAD_P("/no/such/folder")),
	ROW(h3_qlog_max_files, .where = OVER_QUIC, GOOD_U(1), WITH_P(h3_qlog_dir, folder)),
	ROW(h3_qlog_max_bytes, .where = OVER_QUIC, GOOD_U(4096), WITH_P(h3_qlog_dir, folder),
            BAD_U(4095)),
	ROW(quic_alpn, .where = QUIC, GOOD_P("a"), BAD_P("")),
	ROW(wt, .where = QUIC, GOOD_P(&wt)),
	ROW(wt_arg, .where = QUIC, GOOD_P(&anything), WITH_P(wt, &wt)),
	ROW(raw, .where = RAW_ANY, GOOD_P(&raw), BAD_P(&no_raw)),
	ROW(udp, .where = UDP, GOOD_P(&udp), BAD_P(&no_udp)),
	ROW(forwarded_trusted, .where = REQUESTS, GOOD_P("10.0.0.0/8"), WITH_U(forwarded, 1),
            BAD_P("10.0.0.0/33")),
	ROW(forwarded_name, .where = REQUESTS, GOOD_P("X-Real-IP"),
            WITH_U(forwarded, TAKO_FORWARDED_NAMED), BAD_P("not a name")),
	ROW(forwarded, .where = REQUESTS, GOOD_U(TAKO_FORWARDED_STANDARD),
            WITH_P(forwarded_trusted, "10.0.0.0/8"), BAD_U(4)),
	ROW(forwarded_max_hops, .where = REQUESTS, GOOD_U(1), WITH_U(forwarded, 1), BAD_U(101)),
	ROW(forwarded_log, .where = REQUESTS, GOOD_U(1), WITH_U(forwarded, 1), BAD_U(2)),
	ROW(reserved, .where = 0, GOOD_U(1)),
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static struct row *row_of(const char *name)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	fail_msg("no field %s", name);
	return NULL;
}

static void put(tako_listen_config *c, const struct row *r, const union value *v)
{
	memcpy((char *)c + r->at, v, r->bytes);
}

static bool is_zero(const void *p, size_t n)
{
	static const char zero[sizeof(union value)];

	return memcmp(p, zero, n) == 0;
}

/* What a listener there cannot do without. */
static tako_listen_config base(const struct place *at)
{
	tako_listen_config c = {.size = sizeof c};

	if (at->bit & RAW_ANY)
		c.raw = &raw;
	if (at->bit & UDP)
		c.udp = &udp;
	if (at->bit & OVER_TLS)
		c.cert = cert;
	if (at->bit & QUIC) {
		c.quic_alpn = "test";
		c.wt = &wt;
	}
	return c;
}

/* With what it needs, but for what cannot be beside it. */
static tako_listen_config with(const struct place *at, const struct row *r, const union value *v)
{
	tako_listen_config c = base(at);

	if (strcmp(r->name, "cert_file") == 0 || strcmp(r->name, "key_file") == 0)
		c.cert = NULL;
	put(&c, r, v);
	for (const struct row *need = r; need->with;) {
		const struct row *next = row_of(need->with);

		if (!is_zero((char *)&c + next->at, next->bytes))
			break;
		put(&c, next,
		    is_zero(&need->with_good, sizeof need->with_good) ? &next->good
		                                                      : &need->with_good);
		need = next;
	}
	/* One of three says who signs clients. */
	if (c.client_ca_file && (c.client_ca_dir || c.client_ca.n))
		c.client_ca_file = NULL;
	return c;
}

/* ---- Asking ----------------------------------------------------------------------------------- */

static tako_router *router;

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hi\n");
}

static int fd_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* On a server of its own: 0, or the code, and then nothing is left. */
static int ask(const struct place *at, const tako_listen_config *c)
{
	tako_server *srv = NULL;
	char why[256];
	char text[128];
	int fds;
	int rc;

	assert_int_equal(tako_server_new(&srv, router, TAKO_SERVER_CONFIG(.worker_count = 2)), 0);
	fds = fd_count();
	rc = tako_server_listen(srv, at->transport(), at->addr, c);
	snprintf(why, sizeof why, "%s", rc < 0 ? tako_last_error() : "");
	if (rc < 0 && fd_count() != fds)
		fail_msg("%s: a descriptor is left after \"%s\"", at->name, why);
	assert_true((tako_server_local_addr(srv, 0, text, sizeof text) > 0) == (rc == 0));
	tako_server_free(srv);
	/* The detail is the thread's last; the caller looks at it. */
	(void)tako__fail(rc, "%s", why);
	return rc;
}

static void assert_refused(const struct place *at, const struct row *r, const tako_listen_config *c,
                           const char *how)
{
	int rc = ask(at, c);
	const char *why = tako_last_error();

	if (rc == 0)
		fail_msg("%s %s: %s takes it", r->name, how, at->name);
	/* What it needs has as little use there. */
	if (!strstr(why, r->name) && !(r->says && strstr(why, r->says)) &&
	    !(r->with && strstr(why, r->with)) &&
	    !(r->with && row_of(r->with)->with && strstr(why, row_of(r->with)->with)))
		fail_msg("%s %s, %s: \"%s\"", r->name, how, at->name, why);
}

/* ---- Tests ------------------------------------------------------------------------------------ */

static void test_every_field_has_a_row(void **state)
{
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		/* No padding in public structs, so a gap is a field. */
		if (rows[i].at != at)
			fail_msg("a field before %s has no row", rows[i].name);
		at += rows[i].bytes;
	}
	if (at != sizeof(tako_listen_config))
		fail_msg("fields behind %s have no row", rows[ROWS - 1].name);
}

static void test_each_field_everywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		for (size_t k = 0; k < PLACES; k++) {
			tako_listen_config c = with(&places[k], &rows[i], &rows[i].good);

			if (!(rows[i].where & places[k].bit))
				assert_refused(&places[k], &rows[i], &c, "where it means nothing");
			else if (ask(&places[k], &c) < 0)
				fail_msg("%s, %s: \"%s\"", rows[i].name, places[k].name,
				         tako_last_error());
		}
	}
}

static void test_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		for (size_t k = 0; k < PLACES && rows[i].with; k++) {
			tako_listen_config c = base(&places[k]);
			const struct row *need = row_of(rows[i].with);

			if (rows[i].says)
				c.cert = NULL;
			put(&c, &rows[i], &rows[i].good);
			memset((char *)&c + need->at, 0, need->bytes);
			assert_refused(&places[k], &rows[i], &c, "alone");
		}
	}
}

static void test_values_out_of_range(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		if (is_zero(&rows[i].bad, sizeof rows[i].bad))
			continue;
		for (size_t k = 0; k < PLACES; k++) {
			tako_listen_config c = with(&places[k], &rows[i], &rows[i].bad);

			if (rows[i].where & places[k].bit)
				assert_refused(&places[k], &rows[i], &c, "out of range");
		}
	}
}

/* Of every size that an older caller's struct could have: what lies behind it is not read. */
static void test_shorter_struct(void **state)
{
	size_t first = offsetof(tako_listen_config, backlog);

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		size_t size = rows[i].at + rows[i].bytes;
		tako_listen_config *c = malloc(size);

		assert_non_null(c);
		memset(c, 0, size);
		memcpy(c, &size, sizeof size);
		assert_int_equal(ask(&places[0], c), size < first ? TAKO_EINVAL : 0);
		free(c);
	}
}

static void test_longer_struct(void **state)
{
	struct {
		tako_listen_config known;
		unsigned char more[16];
	} later;

	(void)state;
	for (size_t i = 0; i <= sizeof later.more; i++) {
		memset(&later, 0, sizeof later);
		later.known.size = sizeof later;
		if (i < sizeof later.more)
			later.more[i] = 1;
		assert_int_equal(ask(&places[0], &later.known),
		                 i < sizeof later.more ? TAKO_ENOTSUP : 0);
	}
}

#ifdef TAKO__WITH_QUIC
/* What connections over TLS are told of HTTP/3 (RFC 7838 section 3): the ports that there is room for. */
static void test_alt_svc(void **state)
{
	const struct {
		uint32_t alt_svc;
		unsigned listeners;
		unsigned told;
	} cases[] = {{0, 0, 0}, {0, 1, 1}, {0, 2, 2}, {0, 9, 4}, {TAKO_OFF, 2, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_server *srv = NULL;
		char want[512] = "";
		char addr[64];
		size_t n = 0;

		assert_int_equal(tako_server_new(&srv, router,
		                                 TAKO_SERVER_CONFIG(.worker_count = 1,
		                                                    .alt_svc = cases[i].alt_svc)),
		                 0);
		for (unsigned k = 0; k < cases[i].listeners; k++) {
			assert_int_equal(tako_server_listen(srv, tako_h3(), port_addr,
			                                    TAKO_LISTEN_CONFIG(.cert = cert)),
			                 0);
			assert_true(tako_server_local_addr(srv, k, addr, sizeof addr) > 0);
			if (k < cases[i].told)
				n += (size_t)snprintf(want + n, sizeof want - n,
				                      "%sh3=\"%s\"; ma=86400", k ? ", " : "",
				                      strrchr(addr, ':'));
		}
		assert_int_equal(srv->alt_svc_n, n);
		assert_memory_equal(srv->alt_svc, want, n);
		tako_server_free(srv);
	}
}
#endif

/* ---- Life ------------------------------------------------------------------------------------- */

#ifdef TAKO__WITH_TLS
static size_t read_whole(const char *path, char *to, size_t room)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(to, 1, room, f);
	fclose(f);
	return n;
}
#endif

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(file_addr, sizeof file_addr, "unix:%s/socket", folder);
	snprintf(cert_path, sizeof cert_path, "%s/cert.pem", folder);
	snprintf(key_path, sizeof key_path, "%s.key", folder);
	snprintf(owner, sizeof owner, "%u", getuid());
	snprintf(group, sizeof group, "%u", getgid());
	router = tako_router_new();
	tako_get(router, "/", hello, NULL);
	row_of("cert_fn")->good.p = (const void *)(uintptr_t)choose;
	row_of("client_ca")->good.s = TAKO_STR("x");
	/* Anything: none of it is reached where there is no TLS. */
	row_of("cert")->good.p = row_of("ticket_keys")->good.p = &anything;
#ifdef TAKO__WITH_TLS
	static const char key[TAKO_TICKET_KEY_BYTES] = "key";
	static char pem[4096];
	const char *const names[] = {"localhost", NULL};

	assert_int_equal(tako_cert_self_signed(cert_path, key_path, names, 1), 0);
	assert_int_equal(tako_cert_new(&cert, TAKO_CERT_CONFIG(.cert_file = cert_path,
	                                                       .key_file = key_path)),
	                 0);
	assert_int_equal(tako_ticket_keys_new(&keys, (tako_str){key, sizeof key}), 0);
	row_of("client_ca")->good.s = (tako_str){pem, read_whole(cert_path, pem, sizeof pem)};
	row_of("cert")->good.p = cert;
	row_of("ticket_keys")->good.p = keys;
#endif
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tako_cert_free(cert);
	tako_ticket_keys_free(keys);
	tako_router_free(router);
	unlink(cert_path);
	unlink(key_path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_has_a_row),
		cmocka_unit_test(test_each_field_everywhere),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_values_out_of_range),
		cmocka_unit_test(test_shorter_struct),
		cmocka_unit_test(test_longer_struct),
#ifdef TAKO__WITH_QUIC
		cmocka_unit_test(test_alt_svc),
#endif
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
