/* SPDX-License-Identifier: MIT
 *
 * The server object: made, bound, started in one of three ways, stopped, freed.  Owns the
 * threads and nothing that happens on them.
 */
#include "core/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/offload.h"
#include "core/gate.h"
#include "core/notify.h"
#include "core/resolve.h"

/* ---- New and free ----------------------------------------------------------------------------- */

/* One that somebody named: it, or nothing. */
static int use_runtime(struct tako_server *srv, const tako_runtime *rt, const char *who)
{
	char why[96] = "";
	int rc = rt->probe(why, sizeof why);

	if (rc < 0)
		return tako__fail(rc, "runtime %s: %s", rt->name, why[0] ? why : "it fails");
	srv->rt = rt;
	snprintf(srv->rt_why, sizeof srv->rt_why, "%s asked for it", who);
	return 0;
}

/* The first that works; why not an earlier one is part of why. */
static int use_best(struct tako_server *srv, const tako_runtime *const *all, size_t count)
{
	char why[96] = "";
	int rc = 0;

	snprintf(srv->rt_why, sizeof srv->rt_why, "the first choice works");
	for (size_t i = 0; i < count; i++) {
		rc = all[i]->probe(why, sizeof why);
		if (rc == 0)
			srv->rt = all[i];
		/* Anything but a refusal says nothing about what this machine can. */
		if (rc != TAKO_ENOTSUP)
			return rc;
		snprintf(srv->rt_why, sizeof srv->rt_why, "%s: %s", all[i]->name, why);
	}
	return tako__fail(rc, "no runtime works here; %s", srv->rt_why);
}

static int choose_runtime(struct tako_server *srv)
{
	const tako_runtime *const all[] = {tako_runtime_io_uring(), tako_runtime_epoll()};
	const char *name = getenv("TAKO_RUNTIME");

	if (srv->cfg.runtime)
		return use_runtime(srv, srv->cfg.runtime, "the program");
	if (!name || !name[0])
		return use_best(srv, all, TAKO__COUNT(all));
	for (size_t i = 0; i < TAKO__COUNT(all); i++) {
		if (strcmp(name, all[i]->name) == 0)
			return use_runtime(srv, all[i], "TAKO_RUNTIME");
	}
	return tako__fail(TAKO_EINVAL, "TAKO_RUNTIME is \"%.32s\", not %s or %s", name,
	                  all[0]->name, all[1]->name);
}

static int make_parts(struct tako_server *srv)
{
	const tako_server_config *cfg = &srv->cfg;
	int rc;

	if (cfg->access_log_fd) {
		rc = tako__log_new(&srv->log, (int)cfg->access_log_fd, cfg->access_log_format,
		                   cfg->worker_count, cfg->access_log_queue_bytes);
		if (rc < 0)
			return rc;
	}
	srv->offload = tako__offload_new(cfg->offload_thread_count, cfg->offload_queue_count);
	srv->resolver = tako__resolver_new(cfg);
	if (cfg->max_connections_per_ip)
		srv->ips = tako__ip_new(cfg->max_connections);
	srv->workers = tako__zalloc(cfg->worker_count * sizeof *srv->workers);
	if (!srv->offload || !srv->resolver || !srv->workers ||
	    (cfg->max_connections_per_ip && !srv->ips))
		return tako__fail(TAKO_ENOMEM, "server: out of memory");
	for (unsigned i = 0; i < cfg->worker_count; i++) {
		/* Each is set up far enough to be freed, also where its init fails. */
		rc = tako__worker_init(&srv->workers[i], srv, i);
		srv->worker_count = i + 1;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A quarter of the shortest limit on a transfer, so that each is met within that much; once a
 * second at most costs nothing. */
static uint64_t choose_tick(const tako_server_config *cfg)
{
	const uint32_t limits[] = {cfg->body_timeout_ms, cfg->write_timeout_ms,
	                           cfg->min_rate_grace_ms};
	uint32_t shortest_ms = 4000;

	for (size_t i = 0; i < TAKO__COUNT(limits); i++) {
		if (limits[i] < shortest_ms)
			shortest_ms = limits[i];
	}
	return (uint64_t)shortest_ms * 1000000 / 4;
}

int tako_server_new(tako_server **out, tako_router *router, const tako_server_config *cfg)
{
	struct tako_server *srv;
	int rc;

	if (!out)
		return tako__fail(TAKO_EINVAL, "tako_server_new: nowhere to put the server");
	/* Builders need no checks: a router that there was no memory for is found out here. */
	if (!router)
		return tako_router_error(router);
	srv = tako__zalloc(sizeof *srv);
	if (!srv)
		return tako__fail(TAKO_ENOMEM, "server: out of memory");
	pthread_mutex_init(&srv->fds_lock, NULL);
	rc = tako__config_import(&srv->cfg, cfg);
	srv->default_workers = !cfg || !cfg->worker_count;
	if (rc == 0) {
		/* The caller's text need not outlive the call. */
		srv->server_header = tako__strndup(srv->cfg.server_header,
		                                   strlen(srv->cfg.server_header));
		srv->cfg.server_header = srv->server_header;
		if (!srv->server_header)
			rc = tako__fail(TAKO_ENOMEM, "server: out of memory");
	}
	if (rc == 0)
		rc = tako__notify_prepare(srv);
	if (rc == 0)
		rc = choose_runtime(srv);
	if (rc == 0)
		rc = tako__table_new(&srv->routes, router);
	if (rc == 0)
		rc = make_parts(srv);
	if (rc < 0) {
		tako_server_free(srv);
		return rc;
	}
	srv->tick_ns = choose_tick(&srv->cfg);
	atomic_store(&srv->drain_ms, srv->cfg.drain_timeout_ms);
	atomic_store(&srv->post_count, 1);
	*out = srv;
	return 0;
}

void tako_server_free(tako_server *srv)
{
	if (!srv)
		return;
	tako__signals_release(srv);
	if (srv->threads && !atomic_load(&srv->waited)) {
		tako_server_stop(srv);
		tako_server_stop(srv);
		(void)tako_server_wait(srv);
	}
	if (srv->stepping && srv->workers)
		tako__worker_close(&srv->workers[0]);
	tako__offload_free(srv->offload);
	tako__resolver_free(srv->resolver);
	tako__log_free(srv->log);
	for (unsigned i = 0; i < srv->address_count; i++)
		tako__address_free(srv, srv->addresses[i]);
	/* A deferral that never ended still points to its worker, its exchange and its routes. */
	if (srv->leaked)
		return;
	/* What is told in the following has nobody any more to begin another one. */
	atomic_store(&srv->post_count, 0);
	for (unsigned i = 0; i < srv->worker_count; i++)
		tako__worker_fini(&srv->workers[i]);
	tako__free(srv->workers, srv->cfg.worker_count * sizeof *srv->workers);
	tako__ip_free(srv->ips);
	tako__table_free(srv->routes);
	if (srv->server_header)
		tako__free(srv->server_header, strlen(srv->server_header) + 1);
	pthread_mutex_destroy(&srv->fds_lock);
	tako__free(srv, sizeof *srv);
}

/* ---- Running ---------------------------------------------------------------------------------------- */

/* sendfile(2) has no MSG_NOSIGNAL: where a loop runs, SIGPIPE is held back. */
static void hold_sigpipe(sigset_t *old)
{
	sigset_t pipe_only;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, old);
}

static void release_sigpipe(const sigset_t *old)
{
	struct timespec none = {0};
	sigset_t pipe_only;

	/* It was held back before: nothing has changed. */
	if (sigismember(old, SIGPIPE))
		return;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	/* Ours may be pending; it must not hit a program that never heard of it. */
	while (sigtimedwait(&pipe_only, NULL, &none) == -1 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

static void serve(struct tako__worker *w)
{
	sigset_t old;
	int rc;

	hold_sigpipe(&old);
	do {
		rc = tako__worker_turn(w, UINT64_MAX);
	} while (rc == 0);
	if (rc < 0) {
		w->result = rc;
		/* One worker alone must not leave the others serving half a server. */
		tako_server_stop(w->srv);
	}
	tako__worker_close(w);
	release_sigpipe(&old);
}

static void *worker_thread(void *arg)
{
	struct tako__worker *w = arg;
	int rc = tako__worker_open(w);

	if (tako__gate_pass(w->srv->gate, rc))
		serve(w);
	else
		tako__worker_close(w);
	return NULL;
}

static int start_thread(struct tako__worker *w)
{
	sigset_t all;
	sigset_t old;
	int err;

	/* Signals belong to the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, worker_thread, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->has_thread = err == 0;
	errno = err;
	return err ? tako__fail_errno("worker thread") : 0;
}

static int may_start(struct tako_server *srv)
{
	if (!srv)
		return tako__fail(TAKO_EINVAL, "no server");
	if (srv->started)
		return tako__fail(TAKO_ESTATE, "the server is started already");
	if (!srv->address_count)
		return tako__fail(TAKO_ESTATE, "the server has nothing to listen on");
	return 0;
}

/* What cut the drain short, in words. */
static int tell_result(const struct tako_server *srv, int result)
{
	unsigned cut = 0;

	if (result != TAKO_ETIMEDOUT)
		return result;
	for (unsigned i = 0; i < srv->worker_count; i++)
		cut += srv->workers[i].cut_count;
	if (!cut)
		return tako__fail(result, "drain: a deferral was never given back");
	return tako__fail(result, "drain: %u connection%s cut off", cut,
	                  cut == 1 ? " was" : "s were");
}

static int join_all(struct tako_server *srv)
{
	int result = 0;

	for (unsigned i = 0; i < srv->worker_count; i++) {
		struct tako__worker *w = &srv->workers[i];

		if (w->has_thread)
			pthread_join(w->thread, NULL);
		w->has_thread = false;
		if (w->result < 0)
			result = w->result;
	}
	return tell_result(srv, result);
}

/* Threads for the workers from `first` on; each opens its loop on its own thread, and none
 * serves before all could. */
static int start_threads(struct tako_server *srv, struct tako__gate *gate, unsigned first)
{
	unsigned started = first;
	int rc = 0;

	while (rc == 0 && started < srv->worker_count) {
		rc = start_thread(&srv->workers[started]);
		if (rc == 0)
			started++;
	}
	if (rc < 0)
		tako__gate_fail(gate, rc, srv->worker_count - started);
	return rc;
}

/* All of its workers are there, and so nobody needs what they have not taken. */
static void announce(struct tako_server *srv)
{
	if (srv->cfg.inherit)
		tako__inherit_end();
	tako__notify_started(srv);
}

static int run_here(struct tako_server *srv, struct tako__gate *gate)
{
	bool ok;

	(void)start_threads(srv, gate, 1);
	ok = tako__gate_pass(gate, tako__worker_open(&srv->workers[0]));
	if (ok) {
		announce(srv);
		serve(&srv->workers[0]);
	} else {
		tako__worker_close(&srv->workers[0]);
	}
	return ok;
}

int tako_server_run(tako_server *srv)
{
	struct tako__gate gate;
	int rc = may_start(srv);

	if (rc < 0)
		return rc;
	srv->started = true;
	atomic_store(&srv->post_count, srv->worker_count);
	tako__gate_init(&gate, srv->worker_count);
	/* Until every thread has passed it. */
	srv->gate = &gate; /* cppcheck-suppress autoVariables */
	run_here(srv, &gate);
	rc = join_all(srv);
	if (gate.err < 0)
		rc = tako__fail(gate.err, "%s", gate.text);
	tako__gate_fini(&gate);
	return rc;
}

int tako_server_start(tako_server *srv)
{
	struct tako__gate gate;
	int rc = may_start(srv);

	if (rc < 0)
		return rc;
	srv->started = true;
	atomic_store(&srv->post_count, srv->worker_count);
	tako__gate_init(&gate, srv->worker_count);
	/* Until every thread has passed it. */
	srv->gate = &gate; /* cppcheck-suppress autoVariables */
	(void)start_threads(srv, &gate, 0);
	tako__gate_wait(&gate);
	if (gate.err < 0) {
		join_all(srv);
		rc = tako__fail(gate.err, "%s", gate.text);
	} else {
		srv->threads = true;
		announce(srv);
	}
	tako__gate_fini(&gate);
	return rc;
}

/* Before anybody waits: a thread does not see the end of itself. */
static int may_wait(const struct tako_server *srv)
{
	for (unsigned i = 0; srv && i < srv->worker_count; i++) {
		if (pthread_equal(srv->workers[i].thread, pthread_self()))
			return tako__fail(TAKO_ESTATE, "a callback cannot wait for its own server");
	}
	if (!srv || !srv->threads || atomic_load(&srv->waited))
		return tako__fail(TAKO_ESTATE, "not started with tako_server_start, or waited for");
	return 0;
}

int tako_server_wait(tako_server *srv)
{
	int rc = may_wait(srv);

	if (rc == 0 && atomic_exchange(&srv->waited, true))
		rc = tako__fail(TAKO_ESTATE, "waited for already");
	if (rc < 0)
		return rc;
	rc = join_all(srv);
	atomic_store(&srv->joined, true);
	return rc;
}

/* ---- Stopping ------------------------------------------------------------------------------------------ */

void tako_server_stop(tako_server *srv)
{
	if (!srv)
		return;
	atomic_fetch_add(&srv->stop_calls, 1);
	for (unsigned i = 0; i < srv->worker_count; i++)
		tako__worker_wake(&srv->workers[i]);
}

int tako_server_shutdown(tako_server *srv, uint32_t timeout_ms)
{
	int rc = may_wait(srv);

	if (rc < 0)
		return rc;
	atomic_store(&srv->drain_ms, timeout_ms);
	tako_server_stop(srv);
	if (timeout_ms == 0)
		tako_server_stop(srv);
	return tako_server_wait(srv);
}

/* ---- Inside another loop ---------------------------------------------------------------------------------- */

/* One worker is what a foreign loop can turn.  Where nobody asked for a number, the others that
 * the default made are given up, and with them their shares of the listening sockets. */
static int keep_one_worker(struct tako_server *srv)
{
	if (srv->worker_count == 1)
		return 0;
	if (!srv->default_workers)
		return tako__fail(TAKO_EINVAL, "worker_count must be 1 to run inside another loop");
	/* Each of these may have connections in its backlog. */
	for (unsigned a = 0; a < srv->address_count; a++) {
		if (srv->addresses[a]->inherited)
			return tako__fail(TAKO_EINVAL, "worker_count must be 1 to run inside "
			                               "another loop on inherited sockets");
	}
	for (unsigned i = 1; i < srv->worker_count; i++) {
		for (unsigned a = 0; a < srv->address_count; a++) {
			close(srv->addresses[a]->fds[i]);
			srv->addresses[a]->fds[i] = -1;
		}
		tako__worker_fini(&srv->workers[i]);
	}
	srv->worker_count = 1;
	return 0;
}

int tako_server_fd(tako_server *srv)
{
	struct tako__worker *w;
	int rc;

	if (srv && srv->stepping)
		return srv->rt->pollable(srv->workers[0].loop, tako__worker_next(&srv->workers[0]));
	rc = may_start(srv);
	if (rc == 0)
		rc = keep_one_worker(srv);
	if (rc < 0)
		return rc;
	w = &srv->workers[0];
	srv->started = true;
	rc = tako__worker_open(w);
	if (rc < 0) {
		tako__worker_close(w);
		return rc;
	}
	srv->stepping = true;
	announce(srv);
	return srv->rt->pollable(w->loop, tako__worker_next(w));
}

int tako_server_step(tako_server *srv, uint32_t timeout_ms)
{
	struct tako__worker *w;
	uint64_t deadline = 0;
	sigset_t old;
	int rc;

	if (!srv)
		return tako__fail(TAKO_ESTATE, "no server");
	w = &srv->workers[0];
	if (w->state == TAKO__STOPPED)
		return w->result;
	if (!srv->stepping)
		return tako__fail(TAKO_ESTATE, "tako_server_fd was not called first");
	/* It would receive into what the handler's request is still read from. */
	if (srv->turning)
		return tako__fail(TAKO_ESTATE, "tako_server_step: called from inside itself");
	if (timeout_ms == TAKO_OFF)
		deadline = UINT64_MAX;
	else if (timeout_ms)
		deadline = tako__clock_ns() + (uint64_t)timeout_ms * 1000000;
	hold_sigpipe(&old);
	srv->turning = true;
	rc = tako__worker_turn(w, deadline);
	srv->turning = false;
	if (rc == 0)
		rc = srv->rt->pollable(w->loop, tako__worker_next(w));
	else if (rc > 0)
		w->state = TAKO__STOPPED;
	release_sigpipe(&old);
	if (w->state == TAKO__STOPPED) {
		tako__worker_close(w);
		srv->stepping = w->loop != NULL;
		return tell_result(srv, w->result);
	}
	return rc < 0 ? rc : 1;
}

/* ---- In one line ------------------------------------------------------------------------------------------- */

static int serve_all(tako_server *srv, const char *addr)
{
	int rc = tako_server_listen(srv, tako_http1(), addr, NULL);

	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	return rc == 0 ? tako_server_run(srv) : rc;
}

int tako_serve(const char *addr, tako_router *router)
{
	tako_server *srv = NULL;
	int rc = tako_server_new(&srv, router, NULL);

	if (rc == 0)
		rc = serve_all(srv, addr);
	if (rc < 0)
		fprintf(stderr, "tako: %s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	return rc;
}
