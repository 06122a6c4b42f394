/* SPDX-License-Identifier: MIT
 *
 * The TLS transport: a listener's settings checked and kept, what its connections share on a
 * worker, and which protocols may be agreed on.
 */
#include <stdio.h>
#include <string.h>

#include "core/server.h"
#include "transports/h1/h1.h"
#include "transports/h2/h2.h"
#include "transports/raw/raw_int.h"
#include "transports/tls/tls_layer.h"
#include "transports/tls/tls_once.h"
#include "transports/tls/tls_self.h"
#include "transports/tls/tls_ticket.h"

/* In the order of preference; the last is for clients that do not ask. */
static const struct tako__proto_ops *const all_protos[] = {
	&tako__h2_ops,
	&tako__h1_ops,
	NULL,
};
static const struct tako__proto_ops *const http1_only[] = {&tako__h1_ops, NULL};
static const struct tako__proto_ops *const raw_only[] = {&tako__raw_ops, NULL};

/* ---- Settings ------------------------------------------------------------------------------- */

static int take_certificate(struct tako__tls_options *o, const tako_listen_config *cfg)
{
	if (cfg->cert && (cfg->cert_file || cfg->key_file))
		return tako__fail(TAKO_EINVAL, "both cert and cert_file or key_file are set");
	o->cert_fn = cfg->cert_fn;
	o->cert_arg = cfg->cert_arg;
	o->cert = tako_cert_ref(cfg->cert);
	if (cfg->cert_file || cfg->key_file)
		return tako_cert_new(&o->cert, TAKO_CERT_CONFIG(.cert_file = cfg->cert_file,
		                                                .key_file = cfg->key_file));
	if (!o->cert && !o->cert_fn)
		return tako__fail(TAKO_EINVAL,
		                  "TLS needs a certificate: cert_file and key_file, cert, "
		                  "or cert_fn");
	return 0;
}

static int take_signers(struct tako__tls_options *o, const tako_listen_config *cfg)
{
	int given = (cfg->client_ca_file != NULL) + (cfg->client_ca_dir != NULL) +
	            (cfg->client_ca.n != 0);
	int rc;

	if (cfg->client_auth == TAKO_CLIENT_AUTH_NONE && (given || cfg->client_crl_file))
		return tako__fail(TAKO_EINVAL, "%s is set, but client_auth is not",
		                  cfg->client_ca_file    ? "client_ca_file"
		                  : cfg->client_ca_dir   ? "client_ca_dir"
		                  : cfg->client_crl_file ? "client_crl_file"
		                                         : "client_ca");
	if (cfg->client_auth == TAKO_CLIENT_AUTH_NONE)
		return 0;
	if (cfg->client_auth > TAKO_CLIENT_AUTH_REQUIRED)
		return tako__fail(TAKO_EINVAL, "client_auth is %u, not in 0 to 2",
		                  cfg->client_auth);
	if (given != 1)
		return tako__fail(TAKO_EINVAL, "client_auth needs one of client_ca_file, "
		                               "client_ca_dir and client_ca");
	o->client_auth = cfg->client_auth;
	if (cfg->client_ca_file)
		rc = tako__tls_read_file(&o->client_ca, cfg->client_ca_file, "client_ca_file");
	else if (cfg->client_ca_dir)
		rc = tako__tls_read_dir(&o->client_ca, cfg->client_ca_dir, "client_ca_dir");
	else
		rc = tako__tls_copy(&o->client_ca, cfg->client_ca.p, cfg->client_ca.n);
	if (rc == 0 && cfg->client_crl_file)
		rc = tako__tls_read_file(&o->client_crl, cfg->client_crl_file, "client_crl_file");
	return rc;
}

static int take_tickets(struct tako__tls_options *o, const tako_listen_config *cfg)
{
	if (cfg->tls_tickets && cfg->tls_tickets != TAKO_OFF)
		return tako__fail(TAKO_EINVAL, "tls_tickets is %u, neither 0 nor TAKO_OFF",
		                  cfg->tls_tickets);
	if (cfg->ticket_keys && (cfg->tls_tickets || cfg->client_auth))
		return tako__fail(TAKO_EINVAL, "ticket_keys are set, but %s means no tickets",
		                  cfg->tls_tickets ? "tls_tickets" : "client_auth");
	/* A resumed session would carry no proof of who the client is, nor be looked up in a
	 * revocation list. */
	if (cfg->tls_tickets || cfg->client_auth)
		return 0;
	if (!cfg->ticket_keys)
		return tako__ticket_keys_own(&o->tickets);
	o->tickets = tako__ticket_keys_ref(cfg->ticket_keys);
	return 0;
}

/* Only with tickets of our own: what another process has seen already is not known here. */
static int take_early(struct tako__tls_options *o, const tako_listen_config *cfg)
{
	uint32_t n = cfg->tls_max_early_data_bytes;

	if (n == 0)
		return 0;
	if (n > TAKO__TLS_PLAIN_BYTES)
		return tako__fail(TAKO_EINVAL, "tls_max_early_data_bytes is %u, not in 0 to %d", n,
		                  TAKO__TLS_PLAIN_BYTES);
	if (cfg->ticket_keys || cfg->tls_tickets || cfg->client_auth)
		return tako__fail(TAKO_EINVAL, "tls_max_early_data_bytes is set, but %s",
		                  cfg->ticket_keys
		                          ? "ticket_keys may be another process's, and what "
		                            "came there could be played back here"
		                  : cfg->tls_tickets ? "tls_tickets means no tickets"
		                                     : "client_auth means no tickets");
	o->early_bytes = n;
	o->once = tako__tls_once_new();
	return o->once ? 0 : TAKO_ENOMEM;
}

static int take_protos(struct tako__tls_options *o, const tako_listen_config *cfg)
{
	size_t n = 0;

	if (cfg->no_h2 > 1)
		return tako__fail(TAKO_EINVAL, "no_h2 is %u, not 0 or 1", cfg->no_h2);
	o->protos = cfg->no_h2 ? http1_only : all_protos;
	for (unsigned i = 0; o->protos[i]; i++)
		n += (size_t)snprintf(o->alpn + n, sizeof o->alpn - n, "%s,", o->protos[i]->name);
	/* An old client's, whom the last of them answers in its own version. */
	snprintf(o->alpn + n, sizeof o->alpn - n, "http/1.0");
	return 0;
}

static int take_settings(struct tako__tls_options *o, const tako_listen_config *cfg)
{
	int rc = take_certificate(o, cfg);

	if (cfg->tls_min_version && cfg->tls_min_version != 12 && cfg->tls_min_version != 13)
		return tako__fail(TAKO_EINVAL, "tls_min_version is %u, not 12 or 13",
		                  cfg->tls_min_version);
	o->min_version = cfg->tls_min_version ? cfg->tls_min_version : 12;
	if (rc == 0)
		rc = take_signers(o, cfg);
	if (rc == 0)
		rc = take_tickets(o, cfg);
	if (rc == 0)
		rc = take_early(o, cfg);
	return rc;
}

static int try_out(const struct tako__tls_options *o)
{
	struct tako__cert_version *v = o->cert ? tako__cert_take(o->cert) : NULL;
	WOLFSSL_CTX *ctx = NULL;
	int rc = tako__tls_ctx_new(&ctx, o, v);

	wolfSSL_CTX_free(ctx);
	tako__cert_drop(v);
	return rc;
}

void tako__tls_options_free(struct tako__tls_options *o)
{
	tako_cert_free(o->cert);
	tako_ticket_keys_free(o->tickets);
	tako__tls_once_free(o->once);
	tako__tls_wipe(&o->client_ca);
	tako__tls_wipe(&o->client_crl);
	tako__free(o, sizeof *o);
	tako__tls_lib_leave();
}

int tako__tls_options_new(struct tako__tls_options **out, const tako_listen_config *cfg,
                          void (*apply)(WOLFSSL_CTX *ctx))
{
	struct tako__tls_options *o;
	int rc = tako__tls_lib_enter();

	if (rc < 0)
		return rc;
	o = tako__zalloc(sizeof *o);
	if (!o) {
		tako__tls_lib_leave();
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	}
	o->apply = apply;
	rc = take_settings(o, cfg);
	if (rc == 0)
		rc = try_out(o);
	if (rc < 0)
		tako__tls_options_free(o);
	else
		*out = o;
	return rc;
}

static void release(void *shared)
{
	tako__tls_options_free(shared);
}

static int prepare(void **ret_shared, const struct tako_server *srv, const tako_listen_config *cfg)
{
	struct tako__tls_options *o;
	int rc = tako__tls_options_new(&o, cfg, NULL);

	(void)srv;
	if (rc < 0)
		return rc;
	rc = take_protos(o, cfg);
	if (rc < 0)
		tako__tls_options_free(o);
	else
		*ret_shared = o;
	return rc;
}

/* Without HTTP: what has been sent twice nobody could tell, so there is no early data. */
static int take_raw(struct tako__tls_options *o, const tako_listen_config *cfg)
{
	const char *refused = cfg->no_h2                      ? "no_h2"
	                      : cfg->tls_max_early_data_bytes ? "tls_max_early_data_bytes"
	                                                      : NULL;

	if (refused)
		return tako__fail(TAKO_ENOTSUP, "%s is set, but a raw connection is no HTTP",
		                  refused);
	o->protos = raw_only;
	if (cfg->raw->alpn)
		snprintf(o->alpn, sizeof o->alpn, "%s", cfg->raw->alpn);
	return 0;
}

static int prepare_raw(void **ret_shared, const struct tako_server *srv,
                       const tako_listen_config *cfg)
{
	struct tako__tls_options *o;
	int rc = tako__tls_options_new(&o, cfg, NULL);

	(void)srv;
	if (rc < 0)
		return rc;
	rc = take_raw(o, cfg);
	if (rc < 0)
		tako__tls_options_free(o);
	else
		*ret_shared = o;
	return rc;
}

/* ---- On a worker --------------------------------------------------------------------------------- */

/* wolfSSL wants a certificate before it knows for which name: one that nobody ever sees, because
 * where no other is found the handshake ends. */
static int make_nameless(struct tako__tls_worker *tls)
{
	static const char *const nobody[] = {"invalid", NULL};
	struct tako__cert_version v = {.refs = 1};
	int rc = tako__self_signed(&v.chain, &v.key, nobody, 1);

	if (rc == 0)
		rc = tako__tls_ctx_new(&tls->nameless, tls->options, &v);
	tako__tls_wipe(&v.chain);
	tako__tls_wipe(&v.key);
	return rc;
}

/* Every worker does this for the certificates it has; which of them looks is whose timer comes
 * first. */
static void on_watch(struct tako__timer *timer, uint64_t now_ns)
{
	struct tako__tls_worker *tls = TAKO__CONTAINER(timer, struct tako__tls_worker, watch);
	uint64_t next = UINT64_MAX;

	for (struct tako__tls_context *c = tls->contexts.first; c; c = c->next) {
		uint64_t at = tako__cert_watch(c->cert, now_ns);

		next = at < next ? at : next;
	}
	if (next != UINT64_MAX)
		tako__timer_set(&tls->worker->wheel, timer, next);
}

struct tako__tls_context *tako__tls_present(struct tako__tls_worker *tls, struct tako_cert *cert)
{
	struct tako__tls_context *c = tako__tls_contexts_get(&tls->contexts, cert);

	if (TAKO__UNLIKELY(tls->contexts.fresh)) {
		tls->contexts.fresh = false;
		on_watch(&tls->watch, tako__now_ns(tls->worker));
	}
	return c;
}

void tako__tls_worker_fini(struct tako__tls_worker *tls)
{
	if (!tls->worker)
		return;
	tako__timer_clear(&tls->worker->wheel, &tls->watch);
	tako__tls_contexts_fini(&tls->contexts);
	wolfSSL_CTX_free(tls->nameless);
}

int tako__tls_worker_init(struct tako__tls_worker *tls, const struct tako__tls_options *o,
                          struct tako__worker *w)
{
	tls->options = o;
	tls->contexts.options = o;
	tls->worker = w;
	tako__timer_init(&tls->watch, on_watch);
	if (!o->cert)
		return make_nameless(tls);
	return tako__tls_present(tls, o->cert) ? 0 : TAKO_ENOMEM;
}

static void close_worker(struct tako__listener *ls)
{
	struct tako__tls_worker *tls = ls->state;

	tako__tls_worker_fini(tls);
	tako__free(tls->plain, TAKO__TLS_PLAIN_BYTES);
	tako__free(tls, sizeof *tls);
}

static int open_worker(struct tako__listener *ls)
{
	struct tako__tls_worker *tls = tako__zalloc(sizeof *tls);

	if (!tls)
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	ls->state = tls;
	tls->plain = tako__alloc(TAKO__TLS_PLAIN_BYTES);
	if (!tls->plain)
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	return tako__tls_worker_init(tls, ls->shared, ls->worker);
}

const tako_transport *tako_tls(void)
{
	static const tako_transport transport = {
		.name = "TLS",
		.proto = &tako__tls_handshake_ops,
		.prepare = prepare,
		.release = release,
		.open = open_worker,
		.close = close_worker,
	};

	return &transport;
}

const tako_transport *tako_raw_tls(void)
{
	static const tako_transport transport = {
		.name = "raw TLS",
		.raw = true,
		.proto = &tako__tls_handshake_ops,
		.prepare = prepare_raw,
		.release = release,
		.open = open_worker,
		.close = close_worker,
	};

	return &transport;
}
