/* SPDX-License-Identifier: MIT
 *
 * See sim_tls.h.  The server's wolfSSL and the client's are one library with one allocator: what the
 * client takes neither fails nor counts.
 */
#include "sim/sim_tls.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sim/sim_scene.h"
#include "transports/tls/tls_lib.h"

enum { READ_BYTES = 16 << 10, RECORD_BYTES = 16 << 10, PRIME_TURNS = 1000 };

/* RSA, whose signatures are all of one length, as ECDSA's are not. */
static const char cert_pem[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIIC2zCCAcOgAwIBAgIBBTANBgkqhkiG9w0BAQsFADAOMQwwCgYDVQQDDANzaW0w\n"
			       "IBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMA4xDDAKBgNVBAMMA3Np\n"
			       "bTCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAMYR192XEMMwsTGRoxmH\n"
			       "V8DKf2GMwCoSFHDUuAxjryujoaxlkcqAW3zmRzYQTsiViiqtOBIja5xYEtz1ZX2N\n"
			       "GMHQ2Z9A2ii1nsd1/UrnuQrTyu3nFokOY8XsB6drzOdb2UWHLjyfLl+KZ17MFm9E\n"
			       "1XDd/JK479sqUr64mASD8feKPpiygGeWkkcfnw50UOzWmRf0x0COR1JGw//ndACY\n"
			       "vynlT09Gf7TzigfHcUQIznp8VQ+E3N6O0CqqQWrDO7tGCUpqpWwDR+pD4ty6cWTL\n"
			       "LtOWzvpV/RALFeTgEOlzUoMCbSnDK74O1a+iS18FZpuGUExBheQO3/TLrPUrH5m8\n"
			       "t/UCAwEAAaNCMEAwDgYDVR0RBAcwBYIDc2ltMA8GA1UdEwEB/wQFMAMBAf8wHQYD\n"
			       "VR0OBBYEFICP42D9inNIH36OeM7U2zXTOSUAMA0GCSqGSIb3DQEBCwUAA4IBAQAt\n"
			       "0LE7gdav59VaX0Rfc8Tzlwe1cioHbDrlKf1ggcgM6xMxaBSwc48Fy3uoiR2s35yK\n"
			       "8d7UxKV8/aSLAdjK5VvlJE98pjdlXDDMRZk2wy6S18Qwkp6ZO+DreWojg4sEyFMJ\n"
			       "jOAPR1pWdmQWMckLchx1OqgU5Rwp6T7JxAmzlsVT3u3uCxWd7Cdt9Jb/saybbXPG\n"
			       "Mj/RU/y+wcW23QUxj2kBsjLHAQD2s5u1CMAMACyn8xrJYcFja7kuiIkRMyVOthpc\n"
			       "gRQ3BV/v/2P168D+d5oh30UnVnK9OznFFVhZuz6bnu5hHA94F+Eb4W4CIbg16qgk\n"
			       "mIASPNolsglVi8D0yNM+\n"
			       "-----END CERTIFICATE-----\n";
static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
			      "MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQDGEdfdlxDDMLEx\n"
			      "kaMZh1fAyn9hjMAqEhRw1LgMY68ro6GsZZHKgFt85kc2EE7IlYoqrTgSI2ucWBLc\n"
			      "9WV9jRjB0NmfQNootZ7Hdf1K57kK08rt5xaJDmPF7Aena8znW9lFhy48ny5fimde\n"
			      "zBZvRNVw3fySuO/bKlK+uJgEg/H3ij6YsoBnlpJHH58OdFDs1pkX9MdAjkdSRsP/\n"
			      "53QAmL8p5U9PRn+084oHx3FECM56fFUPhNzejtAqqkFqwzu7RglKaqVsA0fqQ+Lc\n"
			      "unFkyy7Tls76Vf0QCxXk4BDpc1KDAm0pwyu+DtWvoktfBWabhlBMQYXkDt/0y6z1\n"
			      "Kx+ZvLf1AgMBAAECggEAD8zkl3yxjaCYwgeIJ0UwruR4fOOpgLGoh8ewVuys0KJh\n"
			      "B0ui8bCDm9cS3zE117J2LylaS7gfoX01JAM/cWCMFQoAEkAuJwk1/VtgNVV+4Wo7\n"
			      "yfahSZWoR+WoRqbG1b3x+yXpflSEcoKr9Ff7gizPig1rVJkEKUubBjPbjKCp8MEm\n"
			      "avI4IDc3xQR9QPOel0DwRwKJfX2FjeteLl6UmBA/myS40z/68WWkaq3k+5Hx5mJW\n"
			      "ln9X9CJX4G2zXNdVJXpcSyL38VYlKdOW5FWdjbKG+Zm3R8nFFmgWm8Et0XnMmZ+3\n"
			      "BVAoIEb6uJ4U19raNUsJaYmY7W5v6DJdx61Jb8KDAQKBgQDzznrzV9ifi/46Kxvh\n"
			      "Z7A33BGAZ92kCQVhZ7ZbThgDf9lWgoQrRqWmzj5rGSbKjS31uNNxVz2NIReGuj2+\n"
			      "3yW4W9xIC4k2QPD0byd3PzXJ2V8nTId/gqWegT5qKPMvv0QCvhyvZiKX/v06+lrA\n"
			      "6UkIbYakX/QH0+piBGmucRkREQKBgQDP+cgluDiQAHSG5gt7U9Bqo11HPKGaTbcY\n"
			      "3OeALqRltTH4zRyEjAwu0G/GC/z5I1qqHpSB4haANV7VmEwyY+MeUxKe+lPAksMg\n"
			      "9z6pSWxszk8dtsPe4+mguaDKd0O06SOl6gaWLURuSP24jKN+thiFWDeHRKyzX0Ax\n"
			      "Ln/3q0k4pQKBgQCx8BXN+mQwdYTTQVk01m9HJYdkdunNaYQSxhXSZ5mhHDMsL091\n"
			      "IjeOGWJ22cF0/Tr45q7zPp++m9NG0jB0WPp3phuMPVckUJtLWsCsCGcibVJEJVeT\n"
			      "GW/00hESe9aZF3f0pHndDabb1g9NdyC7QMe7rewhlaJOAD1E0kGrPgH0cQKBgQCH\n"
			      "Dp8yF4rrwM/rVnK4WPpsdcA6ZZ5QNQ2lILdZX3C099EG0DQnw0aaFBOx2dEi/RmA\n"
			      "hjFMk0SnZ4E5VhiNVJ6F786U3N0MnoIG42iWyK6XjfaExk42bW0nScSoFoEqd4gF\n"
			      "048JcUYSFGZntTTrMVeFKH+O4UMBjOaDyb2iWWJIXQKBgQCwgln3JaWVm0j1XJCa\n"
			      "OLmNx59x2CV7qxtNCZU5uXvg84gFwpWxYh1waGpxSpUcixlcJYvdWcFEfqES2KGZ\n"
			      "4MJ+OK6ucKT3szLSFBL/YkkfCWlyCxLxY+lK3Uu64/dEXOyh/lO7H0tb2bSUXeft\n"
			      "uDKALAlHqqd3t7P+SX6m55MLLg==\n"
			      "-----END PRIVATE KEY-----\n";

static struct {
	tako_cert *cert;
	tako_ticket_keys *keys;
	tako_listen_config config;
	WOLFSSL_CTX *ctx;
	WOLFSSL_CTX *ctx_12;
	WOLFSSL_SESSION *session;
	enum sim_tls_wish wish;
} tls;

struct shell {
	WOLFSSL *ssl;
	struct sim_rand *rand;
	void (*say)(void *arg, const char *p, size_t n);
	void (*sink)(void *arg, const char *p, size_t n);
	void *arg;
	size_t record_max;
	char *in; /* of the server's, in_at to in_n not read */
	size_t in_at;
	size_t in_n;
	size_t in_cap;
	char *out; /* in plain text: out_at to out_n wait for the handshake */
	size_t out_at;
	size_t out_n;
	size_t out_cap;
	const char *bad;
	bool ready;
	bool ended;
	bool failed;
	bool shut;
	bool busy;
};

/* ---- Bytes ------------------------------------------------------------------------- */

static void add(char **to, size_t *n, size_t *cap, const char *p, size_t more)
{
	if (*n + more > *cap) {
		*cap = (*n + more) * 2;
		*to = realloc(*to, *cap);
		if (!*to)
			abort();
	}
	if (more)
		memcpy(*to + *n, p, more);
	*n += more;
}

static int on_read(WOLFSSL *ssl, char *to, int n, void *arg)
{
	struct shell *s = arg;
	size_t step = s->in_n - s->in_at;

	(void)ssl;
	step = step < (size_t)n ? step : (size_t)n;
	if (!step)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, s->in + s->in_at, step);
	s->in_at += step;
	if (s->in_at == s->in_n)
		s->in_at = s->in_n = 0;
	return (int)step;
}

static int on_write(WOLFSSL *ssl, char *p, int n, void *arg)
{
	struct shell *s = arg;

	(void)ssl;
	s->say(s->arg, p, (size_t)n);
	return n;
}

/* ---- Going on ------------------------------------------------------------------------ */

/* What the server has told by an alert is its word; anything else is something it must not send. */
static void failed(struct shell *s, int rc)
{
	int why = wolfSSL_get_error(s->ssl, rc);

	if (why == WOLFSSL_ERROR_WANT_READ)
		return;
	if (why == WOLFSSL_ERROR_ZERO_RETURN) {
		s->ended = true;
		return;
	}
	s->failed = true;
	if (why != FATAL_ERROR)
		s->bad = wolfSSL_ERR_reason_error_string((unsigned long)why);
}

static void shake(struct shell *s)
{
	int rc = wolfSSL_connect(s->ssl);

	if (rc == WOLFSSL_SUCCESS)
		s->ready = true;
	else
		failed(s, rc);
}

static void write_some(struct shell *s)
{
	while (s->out_at < s->out_n && !s->failed) {
		size_t n = s->out_n - s->out_at;
		int rc;

		n = n < s->record_max ? n : s->record_max;
		n = sim_rand_chance(s->rand, 500) ? n : sim_rand_size(s->rand, n);
		rc = wolfSSL_write(s->ssl, s->out + s->out_at, (int)n);
		if (rc != (int)n)
			failed(s, rc);
		s->out_at += n;
	}
	s->out_at = s->out_n = 0;
}

static void read_some(struct shell *s)
{
	char buf[READ_BYTES];

	while (!s->failed && !s->ended) {
		int rc = wolfSSL_read(s->ssl, buf, sizeof buf);

		if (rc <= 0) {
			failed(s, rc);
			return;
		}
		s->sink(s->arg, buf, (size_t)rc);
	}
}

/* What it understands may have it say something at once. */
static void pump(struct shell *s)
{
	if (s->busy || s->failed)
		return;
	s->busy = true;
	sim_alloc_hold();
	if (!s->ready)
		shake(s);
	if (s->ready) {
		read_some(s);
		write_some(s);
	}
	sim_alloc_go_on();
	s->busy = false;
}

/* ---- The shell ------------------------------------------------------------------------- */

static const tako_transport *transport(void)
{
	return tako_tls();
}

static const tako_listen_config *config(void)
{
	return &tls.config;
}

static enum sim_tls_wish draw(struct sim_rand *r)
{
	uint64_t any = sim_rand_below(r, 100);

	if (tls.wish != SIM_TLS_ANY)
		return tls.wish;
	return any < 5 ? SIM_TLS_12 : any < 12 ? SIM_TLS_FULL : SIM_TLS_RESUMED;
}

static void *open_shell(const struct sim_shell *shell, struct sim_rand *rand,
                        void (*say)(void *, const char *, size_t),
                        void (*sink)(void *, const char *, size_t), void *arg)
{
	char h2[] = "h2";
	char h1[] = "http/1.1";
	char *alpn = shell == sim_over_h2.shell ? h2 : h1;
	struct shell *s = calloc(1, sizeof *s);
	enum sim_tls_wish wish = draw(rand);

	sim_alloc_hold();
	if (!s || !(s->ssl = wolfSSL_new(wish == SIM_TLS_12 ? tls.ctx_12 : tls.ctx)))
		abort();
	s->rand = rand;
	s->say = say;
	s->sink = sink;
	s->arg = arg;
	s->record_max = sim_rand_size(rand, RECORD_BYTES - 200) + 200;
	wolfSSL_SetIOReadCtx(s->ssl, s);
	wolfSSL_SetIOWriteCtx(s->ssl, s);
	if (wolfSSL_UseALPN(s->ssl, alpn, (unsigned)strlen(alpn),
	                    WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS)
		abort();
	if (wish == SIM_TLS_RESUMED && tls.session &&
	    wolfSSL_set_session(s->ssl, tls.session) != WOLFSSL_SUCCESS)
		abort();
	sim_alloc_go_on();
	return s;
}

static void free_shell(void *state)
{
	struct shell *s = state;

	sim_alloc_hold();
	wolfSSL_free(s->ssl);
	sim_alloc_go_on();
	free(s->in);
	free(s->out);
	free(s);
}

static void say(void *state, const char *p, size_t n)
{
	struct shell *s = state;

	add(&s->out, &s->out_n, &s->out_cap, p, n);
	pump(s);
}

static void feed(void *state, const char *p, size_t n)
{
	struct shell *s = state;

	add(&s->in, &s->in_n, &s->in_cap, p, n);
	if (n || !s->ready)
		pump(s);
}

static void shut(void *state)
{
	struct shell *s = state;

	if (s->shut || !s->ready || s->failed)
		return;
	s->shut = true;
	sim_alloc_hold();
	(void)wolfSSL_shutdown(s->ssl);
	sim_alloc_go_on();
}

static bool ready(const void *state)
{
	return ((const struct shell *)state)->ready;
}

static bool ended(const void *state)
{
	return ((const struct shell *)state)->ended;
}

static const char *bad(const void *state)
{
	return ((const struct shell *)state)->bad;
}

#define SHELL                                                                                      \
	{                                                                                          \
		.transport = transport, .config = config, .open = open_shell, .free = free_shell,  \
		.say = say, .feed = feed, .shut = shut, .ready = ready, .ended = ended, .bad = bad \
	}

static const struct sim_shell around_h1 = SHELL;
static const struct sim_shell around_h2 = SHELL;
const struct sim_carrier sim_over_tls = {.name = "tls", .shell = &around_h1};
const struct sim_carrier sim_over_h2 = {.name = "h2", .h2 = true, .shell = &around_h2};

void sim_tls_wish(enum sim_tls_wish wish)
{
	tls.wish = wish;
}

bool sim_tls_failed(const struct sim_script *c)
{
	return ((const struct shell *)c->shell_state)->failed;
}

bool sim_tls_resumed(const struct sim_script *c)
{
	return wolfSSL_session_reused(((const struct shell *)c->shell_state)->ssl);
}

/* ---- The fixture ------------------------------------------------------------------------------ */

static WOLFSSL_CTX *client_ctx(WOLFSSL_METHOD *method)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(method);

	assert_non_null(ctx);
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
	wolfSSL_CTX_SetIORecv(ctx, on_read);
	wolfSSL_CTX_SetIOSend(ctx, on_write);
	return ctx;
}

/* One handshake in full, whose ticket everybody resumes with. */
static void prime(void)
{
	static const struct sim_options calm;
	static struct sim_scene scene;
	const struct sim_carrier *before = sim_carrier;
	struct sim_script *c;
	size_t live;

	sim_carrier = &sim_over_tls;
	tls.wish = SIM_TLS_FULL;
	sim_scene_begin(&scene, 1, &calm, NULL);
	c = sim_scene_client(&scene);
	sim_script_get(c, "/text/1", (struct sim_expect){.status = 200, .text = true, .key = 1});
	assert_true(sim_scene_play(&scene));
	sim_script_check(c, true);
	live = sim_alloc_live();
	tls.session = wolfSSL_SESSION_dup(
		wolfSSL_get_session(((struct shell *)c->shell_state)->ssl));
	assert_non_null(tls.session);
	scene.server.live += sim_alloc_live() - live;
	sim_scene_end(&scene);
	tls.wish = SIM_TLS_ANY;
	sim_carrier = before;
}

int sim_tls_begin(void **state)
{
	static const char key[TAKO_TICKET_KEY_BYTES] = "a name of 16 byt";
	const tako_cert_config cfg = {.size = sizeof cfg,
	                              .cert = {cert_pem, sizeof cert_pem - 1},
	                              .key = {key_pem, sizeof key_pem - 1}};

	(void)state;
	if (tako_cert_new(&tls.cert, &cfg) < 0)
		fail_msg("%s", tako_last_error());
	assert_int_equal(tako_ticket_keys_new(&tls.keys, (tako_str){key, sizeof key}), 0);
	tls.config = (tako_listen_config){
		.size = sizeof tls.config, .cert = tls.cert, .ticket_keys = tls.keys};
	tls.ctx = client_ctx(wolfTLSv1_3_client_method());
	tls.ctx_12 = client_ctx(wolfTLSv1_2_client_method());
	prime();
	return 0;
}

int sim_tls_end(void **state)
{
	(void)state;
	wolfSSL_SESSION_free(tls.session);
	wolfSSL_CTX_free(tls.ctx);
	wolfSSL_CTX_free(tls.ctx_12);
	tako_ticket_keys_free(tls.keys);
	tako_cert_free(tls.cert);
	return 0;
}
