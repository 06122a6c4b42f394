/* SPDX-License-Identifier: MIT
 *
 * The QUIC transport: a listener's settings checked and kept, what its connections share on a worker,
 * and the end of both.
 */
#include "transports/quic/quic.h"

#include <stdio.h>
#include <string.h>

#include "transports/quic/quic_gcm.h"

/* ---- Settings ------------------------------------------------------------------------------- */

static size_t shared_bytes(unsigned workers)
{
	return sizeof(struct tako__quic_shared) + workers * sizeof(struct tako__quic_inbox);
}

/* What has no meaning here. */
static int refuse(const tako_listen_config *cfg, const struct tako__quic_app *const *apps)
{
	if (cfg->no_h2)
		return tako__fail(TAKO_ENOTSUP, "no_h2 is set, but there is no HTTP/2 over QUIC");
	for (; cfg->tls_max_early_data_bytes && *apps; apps++) {
		if (!(*apps)->early)
			return tako__fail(TAKO_ENOTSUP,
			                  "tls_max_early_data_bytes is set, but \"%s\" is without "
			                  "early data",
			                  (*apps)->proto->name);
	}
	if (cfg->tls_min_version && cfg->tls_min_version != 12 && cfg->tls_min_version != 13)
		return tako__fail(TAKO_EINVAL, "tls_min_version is %u, not 12 or 13",
		                  cfg->tls_min_version);
	return 0;
}

static void list_names(struct tako__quic_shared *s)
{
	struct tako__tls_options *o = s->tls;
	size_t n = 0;

	for (unsigned i = 0; s->apps[i]; i++)
		n += (size_t)snprintf(o->alpn + n, sizeof o->alpn - n, "%s%s", i ? "," : "",
		                      s->apps[i]->proto->name);
}

const struct tako__quic_app *const *tako__quic_apps(const void *shared)
{
	return ((const struct tako__quic_shared *)shared)->apps;
}

void tako__quic_release(void *shared)
{
	struct tako__quic_shared *s = shared;
	unsigned workers = s->worker_count;

	if (s->tls)
		tako__tls_options_free(s->tls);
	tako__quic_qlogs_free(s->qlogs);
	tako__quic_inboxes_fini(s);
	explicit_bzero(&s->secrets, sizeof s->secrets);
	tako__free(s, shared_bytes(workers));
}

int tako__quic_prepare(void **ret_shared, const struct tako_server *srv,
                       const tako_listen_config *cfg, const struct tako__quic_app *const *apps)
{
	tako_listen_config mine = *cfg;
	unsigned workers = srv->cfg.worker_count;
	struct tako__quic_shared *s;
	int rc = refuse(cfg, apps);

	if (rc < 0)
		return rc;
	s = tako__zalloc(shared_bytes(workers));
	if (!s)
		return tako__fail(TAKO_ENOMEM, "QUIC: out of memory");
	s->apps = apps;
	s->worker_count = workers;
	/* QUIC has no older one (RFC 9001 section 4.2). */
	mine.tls_min_version = 13;
	rc = tako__quic_inboxes_init(s);
	if (rc == 0)
		rc = tako__quic_secrets_init(&s->secrets);
	if (rc == 0)
		rc = tako__tls_options_new(&s->tls, &mine, tako__quic_tls_apply);
	if (rc == 0)
		rc = tako__quic_qlogs_new(&s->qlogs, cfg);
	if (rc < 0) {
		tako__quic_release(s);
		return rc;
	}
	s->tls->no_records = 1;
	list_names(s);
	/* It is loaded now, lest a handshake wait for that. */
	(void)tako__gcm_there();
	*ret_shared = s;
	return 0;
}

/* ---- On a worker --------------------------------------------------------------------------------- */

static struct tako__quic_worker *worker_of(struct tako__quic_tx *tx)
{
	return TAKO__CONTAINER(tx, struct tako__quic_worker, tx);
}

/* When nobody needs it any more: what is on its way may be a connection's last word. */
static void close_when_idle(struct tako__quic_worker *qw)
{
	struct tako_sock *s = &qw->ls->sock;

	if (qw->draining && tako__list_empty(&qw->live) && !qw->tx.train_count &&
	    !(s->flags & TAKO_SOCK_CLOSING))
		s->loop->rt->close(s);
}

static void on_idle(struct tako__quic_tx *tx)
{
	close_when_idle(worker_of(tx));
}

static void stop(struct tako__listener *ls)
{
	struct tako__quic_worker *qw = ls->state;

	qw->draining = true;
	close_when_idle(qw);
}

/* What an earlier datagram met is its connection's to find out, by its loss. */
static void on_error(struct tako_sock *s, char *p, ssize_t res)
{
	(void)s;
	(void)p;
	(void)res;
}

const struct tako__dgram_ops tako__quic_dgram = {
	.on_dgrams = tako__quic_on_dgrams,
	.on_recv = on_error,
	.stop = stop,
};

void tako__quic_close_worker(struct tako__listener *ls)
{
	struct tako__quic_worker *qw = ls->state;

	tako__quic_inbox_close(qw);
	tako__quic_tombs_fini(qw);
	tako__quic_table_fini(&qw->table);
	tako__quic_tx_fini(&qw->tx);
	tako__pool_fini(&qw->conns);
	tako__quic_mem_fini(&qw->mem);
	tako__tls_worker_fini(&qw->tls);
	tako__free(qw, sizeof *qw);
}

int tako__quic_open(struct tako__listener *ls)
{
	enum { CONNS_KEPT = 64 };
	struct tako__quic_worker *qw = tako__zalloc(sizeof *qw);
	struct tako__quic_shared *s = ls->shared;
	int rc;

	if (!qw)
		return tako__fail(TAKO_ENOMEM, "QUIC: out of memory");
	ls->state = qw;
	qw->ls = ls;
	qw->worker = ls->worker;
	qw->shared = s;
	qw->carrier.rt = &tako__quic_carrier;
	tako__list_init(&qw->live);
	tako__quic_mem_init(&qw->mem);
	tako__quic_tombs_init(qw);
	tako__pool_init(&qw->conns, sizeof(struct tako__quic), CONNS_KEPT);
	tako__quic_tx_init(&qw->tx, &ls->sock, on_idle);
	qw->tx.sent_bytes = &ls->worker->stats.sent_bytes;
	qw->tx.sent_datagrams = &ls->worker->stats.quic.datagrams_sent;
	rc = tako__quic_table_init(&qw->table, &s->secrets.cid);
	if (rc == 0)
		rc = tako__tls_worker_init(&qw->tls, s->tls, ls->worker);
	if (rc == 0)
		tako__quic_inbox_open(qw);
	return rc;
}
