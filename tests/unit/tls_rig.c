/* SPDX-License-Identifier: MIT
 *
 * See tls_rig.h.
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

#include "unit/failalloc.h"
#include "unit/tls_rig.h"

enum { TURNS_MAX = 3000 };

struct tls_rig tls_rig;

/* ---- The client ------------------------------------------------------------------------------ */

static int client_recv(WOLFSSL *ssl, char *to, int n, void *arg)
{
	struct tls_rig *r = &tls_rig;
	size_t step = r->peer.n - r->used;

	(void)ssl;
	(void)arg;
	step = step < (size_t)n ? step : (size_t)n;
	if (step == 0)
		return r->peer.closed ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, r->peer.data + r->used, step);
	r->used += step;
	if (r->used == r->peer.n) {
		peer_drop(&r->peer, r->peer.n);
		r->used = 0;
	}
	return (int)step;
}

static int client_send(WOLFSSL *ssl, char *p, int n, void *arg)
{
	struct tls_rig *r = &tls_rig;

	(void)ssl;
	(void)arg;
	if ((size_t)n > sizeof r->out - r->out_n)
		return WOLFSSL_CBIO_ERR_GENERAL;
	memcpy(r->out + r->out_n, p, (size_t)n);
	r->out_n += (size_t)n;
	return n;
}

bool tls_rig_deliver(void)
{
	struct tls_rig *r = &tls_rig;
	size_t at = 0;

	while (at < r->out_n) {
		size_t n = r->out_n - at;

		if (r->cut > r->sent && r->cut < r->sent + n)
			n = r->cut - r->sent;
		if (!peer_send(&r->peer, &r->server, r->out + at, n))
			return false;
		at += n;
		r->sent += n;
		for (int i = 0; i < 2 && r->sent == r->cut; i++)
			stepped_turn(&r->server, 0);
	}
	r->out_n = 0;
	return true;
}

int tls_rig_drive(int (*what)(void *arg), void *arg)
{
	struct tls_rig *r = &tls_rig;

	for (int i = 0; i < TURNS_MAX; i++) {
		int rc = what(arg);
		int why = wolfSSL_get_error(r->ssl, rc);

		(void)tako__tls_lib_short();
		(void)tls_rig_deliver();
		if (rc > 0 || why != WOLFSSL_ERROR_WANT_READ)
			return rc;
		stepped_turn(&r->server, r->peer.n > r->used ? 0 : 1);
		peer_read(&r->peer);
	}
	return -1;
}

static int do_connect(void *arg)
{
	(void)arg;
	return wolfSSL_connect(tls_rig.ssl);
}

bool tls_rig_connect(void)
{
	return tls_rig_drive(do_connect, NULL) == WOLFSSL_SUCCESS;
}

struct span {
	char *p;
	size_t n;
};

static int do_read(void *arg)
{
	struct span *s = arg;

	return wolfSSL_read(tls_rig.ssl, s->p, (int)s->n);
}

size_t tls_rig_receive(char *to, size_t n)
{
	size_t got = 0;

	while (got < n) {
		struct span s = {to + got, n - got};
		int rc = tls_rig_drive(do_read, &s);

		if (rc <= 0)
			break;
		got += (size_t)rc;
	}
	return got;
}

bool tls_rig_ask(const char *text)
{
	return wolfSSL_write(tls_rig.ssl, text, (int)strlen(text)) == (int)strlen(text);
}

bool tls_rig_open(size_t cut)
{
	struct tls_rig *r = &tls_rig;

	r->used = r->sent = r->out_n = 0;
	r->cut = cut;
	peer_open(&r->peer, &r->server);
	r->ssl = wolfSSL_new(r->ctx);
	return r->peer.fd >= 0 && r->ssl;
}

void tls_rig_close(void)
{
	wolfSSL_free(tls_rig.ssl);
	tls_rig.ssl = NULL;
	peer_close(&tls_rig.peer);
}

/* ---- The server ------------------------------------------------------------------------------- */

static int prepare(void **out, const struct tako_server *srv, const tako_listen_config *cfg)
{
	tako_listen_config c = tls_rig.listen;

	(void)cfg;
	c.size = sizeof c;
	if (!c.cert && !c.cert_fn)
		c.cert = tls_rig.cert;
	return tako_tls()->prepare(out, srv, &c);
}

static struct tako_transport transport;

int tls_rig_start(tako_router *r)
{
	int rc;

	transport = *tako_tls();
	transport.prepare = prepare;
	rc = stepped_start(&tls_rig.server, r,
	                   TAKO_SERVER_CONFIG(.worker_count = 1,
	                                      .tls_handshake_timeout_ms = tls_rig.timeout_ms),
	                   &transport);
	tako_router_free(r);
	return rc;
}

int tls_rig_stop(void)
{
	return stepped_stop(&tls_rig.server);
}

void tls_rig_turn(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		stepped_turn(&tls_rig.server, 0);
}

/* ---- Set-up ------------------------------------------------------------------------------------- */

static int make_cert(void)
{
	static const char *const names[] = {"localhost", NULL};
	char dir[] = "/tmp/tako-tls-XXXXXX";
	char cert_file[64];
	char key_file[64];
	int rc;

	if (!mkdtemp(dir))
		return TAKO_ESYS;
	snprintf(cert_file, sizeof cert_file, "%s/c", dir);
	snprintf(key_file, sizeof key_file, "%s/k", dir);
	rc = tako_cert_self_signed(cert_file, key_file, names, 1);
	if (rc == 0)
		rc = tako_cert_new(&tls_rig.cert,
		                   TAKO_CERT_CONFIG(.cert_file = cert_file, .key_file = key_file));
	unlink(cert_file);
	unlink(key_file);
	rmdir(dir);
	return rc;
}

int tls_rig_install(void)
{
	return failalloc_install();
}

int tls_rig_up(void **state)
{
	int rc = make_cert();

	(void)state;
	if (rc < 0)
		return rc;
	tls_rig.ctx = wolfSSL_CTX_new(wolfTLS_client_method());
	if (!tls_rig.ctx)
		return TAKO_ENOMEM;
	wolfSSL_CTX_set_verify(tls_rig.ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_SetIORecv(tls_rig.ctx, client_recv);
	wolfSSL_CTX_SetIOSend(tls_rig.ctx, client_send);
	return 0;
}

int tls_rig_down(void **state)
{
	(void)state;
	wolfSSL_CTX_free(tls_rig.ctx);
	tako_cert_free(tls_rig.cert);
	tls_rig.ctx = NULL;
	tls_rig.cert = NULL;
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
	return 0;
}

/* ---- Without memory -------------------------------------------------------------------------------- */

void tls_rig_starve(size_t nth)
{
	failalloc_arm_from(nth);
}

size_t tls_rig_live_bytes(void)
{
	return failalloc_live_bytes();
}

void tls_rig_each_allocation(int (*start)(void), bool (*talk)(void), size_t least)
{
	size_t before = failalloc_live();
	size_t answered = 0;
	size_t nth;

	for (nth = 1;; nth++) {
		int rc;
		bool ok;

		failalloc_arm(nth);
		rc = start();
		ok = rc == 0 && talk();
		if (rc == 0)
			tls_rig_stop();
		answered += ok;
		/* The client is wolfSSL too, and nobody asks it. */
		(void)tako__tls_lib_short();
		if (!failalloc_disarm()) {
			assert_true(ok);
			break;
		}
		assert_true(rc == 0 || rc == TAKO_ENOMEM || rc == TAKO_ETLS);
		if (failalloc_live() != before || failalloc_wrong())
			fail_msg("allocation %zu: %zu blocks, not %zu", nth, failalloc_live(),
			         before);
	}
	assert_true(nth > least);
	/* Some failures are survived. */
	assert_true(answered > 1);
}
