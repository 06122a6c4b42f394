/* SPDX-License-Identifier: MIT
 *
 * The server object: what its workers share, and how it starts and ends.
 */
#ifndef TAKO_CORE_SERVER_H
#define TAKO_CORE_SERVER_H

#include <stdatomic.h>

#include <tako/server.h>

#include "core/inherit.h"
#include "core/local.h"
#include "core/router.h"
#include "core/worker.h"

struct tako__offload;
struct tako__ip_table;
struct tako__log;
struct tako__resolver;

enum {
	TAKO__WORKERS_MAX = 256,
	TAKO__LISTENERS_MAX = 64,
	TAKO__ADDRESSES_MAX =
		512, /* those included whose sockets are more than there are workers */
};

/* What a listener over datagrams has instead of accepting. */
struct tako__dgram_ops {
	/* A socket is bound: the options that are the transport's own.  NULL: none. */
	int (*bound)(int fd, unsigned worker, const void *shared);
	/* The loop has it.  NULL: nothing to do. */
	void (*started)(struct tako__listener *ls);
	/* Of its socket; on_closed is the listener's. */
	void (*on_dgrams)(struct tako_sock *s, const struct tako_dgram *v, unsigned count);
	void (*on_recv)(struct tako_sock *s, char *p, ssize_t res);
	/* No new connections from now on.  Those that there are may still need the socket: it is the
	 * transport's to close when they do not, any more or at all.  May be called again: the drain
	 * is over. */
	void (*stop)(struct tako__listener *ls);
};

/* How a listener makes connections of what it accepts. */
struct tako_transport {
	const char *name;
	const char *alt_svc; /* the protocol that connections over TLS are told of; NULL: none */
	const struct tako__dgram_ops *dgram; /* NULL: over streams */
	bool sessions;                       /* it has a use for quic_alpn, wt and wt_arg */
	bool raw; /* connections are tako_listen_config.raw's, and no handler's */
	bool udp; /* datagrams are tako_listen_config.udp's, and there are no connections */
	/* What a connection begins with, NULL if it is not in this build.  One that needs layers
	 * pushes them from open, and goes on as another by tako__conn_become(). */
	const struct tako__proto_ops *proto;
	/* What connections of one address share: made from its settings, or refused with a
	 * sentence, before anything is bound.  NULL: nothing, and no setting of layers applies. */
	int (*prepare)(void **ret_shared, const struct tako_server *srv,
	               const tako_listen_config *cfg);
	void (*release)(void *shared);
	/* The same for those on one worker, on its thread: ls->state, from ls->shared. */
	int (*open)(struct tako__listener *ls);
	void (*close)(struct tako__listener *ls);
};

/* What a listener's settings have become. */
struct tako__rules {
	void *shared; /* the transport's own */
	struct tako__proxy_rule *proxy;
	struct tako__raw_rule *raw;
	struct tako__forward_rule *forward;
};

/* One address: a descriptor per worker.  Of a server that had more workers than this one the sockets that
 * are left over are as many addresses more as it takes, `extra`, which own nothing but these. */
struct tako__address {
	struct tako__address *next; /* its first extra one; while it is being made */
	bool extra;
	bool inherited;
	const struct tako_transport *transport;
	struct tako__rules rules; /* all of a listener's addresses have the same */
	struct tako__local_sock local;
	char text[TAKO__LOCAL_TEXT_BYTES];
	char name[TAKO__INHERIT_NAME_BYTES]; /* "": it is our own */
	/* worker_count of them; -1: none for this worker.  Then as many of datagram sockets that its
	 * loop has: the loop's to close. */
	int fds[];
};

struct tako_server {
	tako_server_config cfg; /* every default filled in */
	struct tako__table *routes;
	const tako_runtime *rt;
	char rt_why[128];             /* chosen */
	struct tako__worker *workers; /* worker_count of them */
	struct tako__address *addresses[TAKO__ADDRESSES_MAX];
	unsigned address_count;
	unsigned listener_count; /* of them not extra */
	unsigned worker_count;   /* of them set up */
	char *server_header;
	char alt_svc[96]; /* "h3=\":443\"; ma=86400" for each port that has it */
	size_t alt_svc_n;
	struct tako__log *log;
	struct tako__offload *offload;
	struct tako__resolver *resolver;
	struct tako__ip_table *ips;
	uint64_t watchdog_ns; /* what the supervisor allows without a word; 0: any time */
	_Atomic uint64_t watchdog_last_ns;
	_Atomic bool told_stopping;
	_Atomic bool handed_over; /* another process has our listeners, and goes on in our place */
	_Atomic bool restarting;
	_Atomic uint32_t last_call_ms;
	pthread_mutex_t fds_lock; /* closing a listener's descriptor, and handing it on */
	uint64_t tick_ns;         /* how often transfers are looked at, for timeouts and rates */
	_Atomic uint64_t next_conn_id;
	_Atomic uint32_t conn_count;
	_Atomic uint32_t next_caller;
	_Atomic uint32_t dial_count;      /* connections that we have made or are making */
	_Atomic uint32_t waiting_workers; /* those with a listener over the limit */
	/* Workers that others may post fetches to: before it starts the first, which there is however it will be
	 * started; none when it is being freed. */
	_Atomic uint32_t post_count;
	_Atomic uint32_t stop_calls;
	_Atomic uint32_t drain_ms; /* shutdown() may shorten what the config says */
	struct tako__gate *gate;   /* while threads start */
	bool started;
	bool threads;        /* by tako_server_start() */
	bool stepping;       /* by tako_server_fd() */
	bool turning;        /* inside tako_server_step() */
	_Atomic bool waited; /* somebody waits for the threads, or has */
	_Atomic bool joined; /* they have ended */
	bool has_signals;
	bool default_workers; /* nobody chose their number */
	bool leaked;          /* a deferral never ended: its worker must stay */
	int result;
};

/* Give the signals back, if this server has them. */
void tako__signals_release(struct tako_server *srv);

/* Fill in defaults and refuse what cannot apply. */
int tako__config_import(tako_server_config *out, const tako_server_config *cfg);

/* Bind `addr` for each worker, by sockets of this type (SOCK_*). */
int tako__listen_bind(struct tako__address **out, struct tako_server *srv, const char *addr,
                      int type, const tako_listen_config *cfg);
void tako__address_free(struct tako_server *srv, struct tako__address *a);
void tako__rules_free(const struct tako__rules *r, const struct tako_transport *t);
/* The `index`th that its user has asked for; NULL: there are not so many. */
const struct tako__address *tako__server_listener(const struct tako_server *srv, size_t index);

/* A worker's end of it. */
int tako__listener_open(struct tako__listener *ls, struct tako__worker *w, struct tako__address *a);
void tako__listener_close(struct tako__listener *ls);
/* Take a place for one more connection; false: there is none. */
bool tako__listener_reserve(struct tako_server *srv);
/* A connection has ended: wake those who wait for room. */
void tako__listener_release(struct tako_server *srv);
void tako__listener_try_resume(struct tako__listener *ls);

/* max_connections_per_ip.  False: one too many. */
bool tako__ip_enter(struct tako__ip_table *t, const struct sockaddr *sa, uint32_t max);
void tako__ip_leave(struct tako__ip_table *t, const struct sockaddr *sa);
struct tako__ip_table *tako__ip_new(uint32_t max_connections);
void tako__ip_free(struct tako__ip_table *t);

#endif /* TAKO_CORE_SERVER_H */
