/* SPDX-License-Identifier: MIT
 *
 * See quic_rig.h.
 */
#include "unit/quic_rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "transports/tls/tls_cert.h"
#include "transports/tls/tls_lib.h"
#include "transports/tls/tls_self.h"

enum { IDLE_STEPS_MAX = 100000 }; /* in which no time passes */

struct quic_rig quic_rig;

/* ---- Beginning and end --------------------------------------------------------------------------- */

static tako_cert *make_cert(void)
{
	static const char *const names[] = {"localhost", NULL};
	struct tako__tls_blob chain, key;
	tako_cert *cert = NULL;

	if (tako__self_signed(&chain, &key, names, 1) == 0)
		(void)!tako_cert_new(
			&cert, TAKO_CERT_CONFIG(.cert = {chain.p, chain.n}, .key = {key.p, key.n}));
	tako__tls_wipe(&chain);
	tako__tls_wipe(&key);
	return cert;
}

static int serve(const tako_transport *transport, tako_router *router, tako_server_config *cfg,
                 tako_listen_config *listen)
{
	int rc = tako_server_new(&quic_rig.srv, router, cfg);

	tako_router_free(router);
	if (rc == 0 && !listen->cert && !listen->cert_file && !listen->cert_fn)
		listen->cert = quic_rig.cert;
	if (rc == 0)
		rc = tako_server_listen(quic_rig.srv, transport, "127.0.0.1:0", listen);
	if (rc == 0 && tako_server_fd(quic_rig.srv) < 0)
		rc = TAKO_ESTATE;
	return rc;
}

int quic_rig_start(const tako_transport *transport, tako_router *router,
                   const tako_server_config *cfg, const tako_listen_config *listen)
{
	tako_server_config c = cfg ? *cfg : (tako_server_config){.size = sizeof c};
	tako_listen_config l = listen ? *listen : (tako_listen_config){.size = sizeof l};

	memset(&quic_rig, 0, sizeof quic_rig);
	quic_net_start();
	/* The clients' own. */
	assert_int_equal(tako__tls_lib_enter(), 0);
	quic_rig.cert = make_cert();
	assert_non_null(quic_rig.cert);
	c.runtime = quic_net_runtime();
	c.worker_count = 1;
	return serve(transport, router ? router : tako_router_new(), &c, &l);
}

static void step_server(void)
{
	int rc;

	if (!quic_rig.srv || quic_rig.stopped)
		return;
	rc = tako_server_step(quic_rig.srv, 0);
	if (rc == 1)
		return;
	quic_rig.stopped = true;
	quic_rig.result = rc;
}

void quic_rig_stop(void)
{
	for (unsigned i = 0; i < quic_rig.client_count; i++)
		quic_client_free(quic_rig.clients[i]);
	quic_rig.client_count = 0;
	if (quic_rig.srv && !quic_rig.stopped) {
		tako_server_stop(quic_rig.srv);
		for (unsigned i = 0; i < 100000 && !quic_rig.stopped; i++)
			quic_rig_step();
		assert_true(quic_rig.stopped);
	}
	tako_server_free(quic_rig.srv);
	tako_cert_free(quic_rig.cert);
	quic_net_end();
	tako__tls_lib_leave();
	memset(&quic_rig, 0, sizeof quic_rig);
}

struct quic_client *quic_rig_client(const struct quic_client_config *cfg)
{
	assert_true(quic_rig.client_count < QUIC_RIG_CLIENTS);
	return quic_rig.clients[quic_rig.client_count++] = quic_client_new(cfg);
}

void quic_rig_forget(struct quic_client *c)
{
	unsigned i = 0;

	while (quic_rig.clients[i] != c)
		i++;
	quic_client_free(c);
	quic_rig.clients[i] = quic_rig.clients[--quic_rig.client_count];
}

/* ---- Time ----------------------------------------------------------------------------------------- */

static uint64_t server_next(void)
{
	if (!quic_rig.srv || quic_rig.stopped || !quic_rig.srv->workers[0].loop)
		return UINT64_MAX;
	return tako__worker_next(&quic_rig.srv->workers[0]);
}

static uint64_t next_event(void)
{
	uint64_t next = quic_net_next();
	uint64_t at = server_next();

	next = at < next ? at : next;
	for (unsigned i = 0; i < quic_rig.client_count; i++) {
		at = quic_client_next(quic_rig.clients[i]);
		next = at < next ? at : next;
	}
	return next;
}

static void step_all(void)
{
	step_server();
	for (unsigned i = 0; i < quic_rig.client_count; i++)
		quic_client_step(quic_rig.clients[i]);
	quic_net_drop_strays();
	/* Nor is the server, once it has stopped. */
	if (quic_rig.stopped) {
		struct quic_net_packet *k;

		while ((k = quic_net_take(&quic_net_server)))
			free(k);
	}
}

/* Nobody has anything to do before the next event: the server sends in the turn after it wrote. */
static bool is_quiet(uint64_t sent)
{
	struct tako__worker *w = quic_rig.srv && !quic_rig.stopped ? &quic_rig.srv->workers[0]
	                                                           : NULL;

	return quic_net.sent_count == sent &&
	       (!w || !w->listener_count || !w->listeners[0].sock.head || quic_net.blocked);
}

static void step_until(uint64_t deadline_ns)
{
	uint64_t sent = quic_net.sent_count;
	uint64_t next;

	step_all();
	if (!is_quiet(sent))
		return;
	next = next_event();
	if (next > deadline_ns)
		next = deadline_ns;
	/* ngtcp2 may be due at a time and do nothing before the next nanosecond. */
	quic_net.now_ns = next > quic_net.now_ns ? next : quic_net.now_ns + 1;
}

void quic_rig_step(void)
{
	step_until(quic_net.now_ns + 10 * QUIC_RIG_SECOND);
}

bool quic_rig_until(bool (*done)(void *arg), void *arg, uint64_t ns)
{
	uint64_t end = quic_net.now_ns + ns;
	unsigned idle = 0;

	while (!done(arg)) {
		uint64_t before = quic_net.now_ns;

		if (before >= end)
			return false;
		step_until(end);
		idle = quic_net.now_ns == before ? idle + 1 : 0;
		assert_true(idle < IDLE_STEPS_MAX);
	}
	return true;
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

void quic_rig_pass(uint64_t ns)
{
	(void)quic_rig_until(never, NULL, ns);
	step_all();
}

/* ---- Until ------------------------------------------------------------------------------------------ */

static bool is_connected(void *arg)
{
	struct quic_client *c = arg;

	return c->ready || c->closed;
}

bool quic_rig_connect(struct quic_client *c)
{
	return quic_rig_until(is_connected, c, 30 * QUIC_RIG_SECOND) && c->ready;
}

static bool is_closed(void *arg)
{
	return ((struct quic_client *)arg)->closed;
}

bool quic_rig_closed(struct quic_client *c)
{
	return quic_rig_until(is_closed, c, 120 * QUIC_RIG_SECOND);
}

struct wanted {
	struct quic_client *c;
	int64_t id;
};

static bool is_complete(void *arg)
{
	struct wanted *w = arg;
	struct quic_client_stream *s = quic_client_stream(w->c, w->id);

	return w->c->closed || (s && s->in_fin);
}

bool quic_rig_received(struct quic_client *c, int64_t id)
{
	struct wanted w = {c, id};

	return quic_rig_until(is_complete, &w, 120 * QUIC_RIG_SECOND) && !c->closed;
}
