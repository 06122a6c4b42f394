/* SPDX-License-Identifier: MIT
 *
 * One worker: a thread with a loop, a wheel, a mailbox, pools and connections of its own.
 * Workers share the frozen routes, the config and a handful of counters, nothing else.
 */
#ifndef TAKO_CORE_WORKER_H
#define TAKO_CORE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include <tako/server.h>
#include <tako/sys/runtime.h>

#include "core/alarm.h"
#include "core/balance.h"
#include "core/clock.h"
#include "core/conn.h"
#include "core/exchange.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "core/mem.h"
#include "core/stats.h"
#include "core/wheel.h"

struct tako__local_sock;
struct tako__log_ring;
struct tako__proxy_rule;
struct tako__raw_rule;

/* One listening socket of one worker. */
struct tako__listener {
	struct tako_sock sock;
	struct tako__worker *worker;
	const struct tako_transport *transport;
	void *shared;                             /* the transport's, for this address */
	void *state;                              /* … on this worker */
	const struct tako__proxy_rule *proxy;     /* NULL: connections begin with their protocol */
	struct tako__raw_rule *raw;               /* NULL: they are HTTP's */
	const struct tako__forward_rule *forward; /* NULL: the client is who connected */
	struct tako__local_sock *local; /* … and of the address's socket, if it is not TCP's */
	int *fd_slot;                   /* where the address keeps our descriptor */
	struct tako__timer backoff;
	uint32_t backoff_ms;
	bool open;       /* given to the loop and not yet reaped */
	bool over_limit; /* paused because of max_connections */
	bool records;    /* connections keep what is sent apart (record.h) */
	int parked_fd;   /* accepted when the last place was just taken: the first one in; or -1 */
	socklen_t parked_n;
	struct sockaddr_in6 parked_from;
};

/* Runs of exchanges whose duration is taken by one reading of the clock: at most, and how many
 * deliveries wait for each other.  What they answered leaves together as well, and to read the clock after
 * each was 1 % of a small request. */
enum { TAKO__TIMED_MAX = 64, TAKO__TIMED_RUNS = 4 };

/* Heads as the protocol wrote them, up to what differs from one answer to the next; for each of
 * the few (status, type) that most answers have. */
enum { TAKO__STARTS = 4, TAKO__START_TYPE_BYTES = 48, TAKO__START_COPY_BYTES = 128 };

struct tako__start {
	uint64_t
		date_until_ns; /* the worker's, when it was written: another Date since otherwise */
	int32_t status;
	uint32_t n;
	char type[TAKO__START_TYPE_BYTES]; /* NUL-terminated */
	char text[TAKO__START_COPY_BYTES * 3];
};

enum tako__worker_state { TAKO__SERVING, TAKO__DRAINING, TAKO__STOPPED };

/* What a protocol keeps on a worker beside its connections; its own struct begins with it.  What ends it
 * tells whose it is. */
struct tako__worker_local {
	struct tako__worker_local *next;
	void (*fini)(struct tako__worker_local *l);
};

struct tako__worker {
	struct tako_server *srv;
	struct tako_loop *loop;
	unsigned index;
	enum tako__worker_state state;
	int result;                             /* of the drain */
	const struct tako__endpoint *unmatched; /* what stands for it until a route is found */
	struct tako__wheel wheel;
	struct tako__alarms alarms;
	struct tako__mailbox mailbox;
	struct tako__pool conns;
	struct tako__pool outs;
	struct tako__pool exchanges;
	struct tako__list conn_list;
	struct tako__conn *dirty;
	struct tako__list dials; /* connections that are being made */
	struct tako_sock *dead;  /* of carried connections (conn.h), to be told at the turn's end */
	struct tako__listener *listeners;
	unsigned listener_count;
	unsigned conn_count;
	unsigned exchange_count;
	unsigned offload_count; /* jobs that will mail us */
	struct tako__balance balance;
	struct tako__field *fields; /* the parser's scratch, srv->cfg.max_header_count of them */
	char *common;               /* "Server: …\r\nDate: …\r\n", renewed each second */
	uint32_t common_n;
	uint32_t date_off;      /* of the date in it */
	uint64_t date_until_ns; /* on the loop's clock */
	struct tako__start starts[TAKO__STARTS];
	struct tako__ticker ticker;
	struct tako__stats stats;
	unsigned timed_count; /* runs of exchanges over since the last reading of the clock */
	struct {
		uint32_t route;
		uint32_t count; /* of the same route, begun at the same moment */
		uint64_t start_ticks;
	} timed[TAKO__TIMED_MAX];
	struct tako__worker_local *locals;
	struct tako__log_ring *log;
	struct tako__timer drain_timer;
	struct tako__timer watchdog;
	_Atomic uint64_t
		beat_ns; /* when the loop was last seen to turn; UINT64_MAX: it has ended */
	uint64_t
		last_call_ns; /* until then a draining connection may ask once more; 0: it may not */
	uint32_t stop_seen;
	unsigned cut_count;      /* connections that the drain did not wait for */
	bool cut;                /* the drain is over, what is left is being closed */
	bool no_dials;           /* … and nothing more is connected to */
	bool abandoned;          /* and somebody's deferral did not end even so */
	bool mail_left;          /* more than one drain takes */
	_Atomic bool over_limit; /* some listener of ours waits for room: wake us */
	unsigned held_count;     /* how many do */
	int spare_fd;            /* given up to accept and close one when there are no others */
	_Atomic(struct tako_loop *) wake_loop; /* loop, for other threads; NULL outside its life */
	_Atomic unsigned waking;               /* threads that may have read it and not rung yet */
	/* Mails of tako__worker_call() that are on their way; the top bit: no more of them. */
	_Atomic uint32_t callers;
	pthread_t thread;
	bool has_thread;
};

static inline uint64_t tako__now_ns(const struct tako__worker *w)
{
	return w->loop->now_ns;
}

/* What was kept with that `fini`, of which each worker has one; NULL: nothing yet. */
static inline void *tako__worker_local(const struct tako__worker *w,
                                       void (*fini)(struct tako__worker_local *l))
{
	struct tako__worker_local *l = w->locals;

	while (l && l->fini != fini)
		l = l->next;
	return l;
}

/* Until the worker's end, which calls `fini`. */
static inline void tako__worker_keep(struct tako__worker *w, struct tako__worker_local *l,
                                     void (*fini)(struct tako__worker_local *l))
{
	*l = (struct tako__worker_local){.next = w->locals, .fini = fini};
	w->locals = l;
}

int tako__worker_init(struct tako__worker *w, struct tako_server *srv, unsigned index);
void tako__worker_fini(struct tako__worker *w);
/* On the worker's own thread: make the loop, take the listeners. */
int tako__worker_open(struct tako__worker *w);
void tako__worker_close(struct tako__worker *w);
/* One turn, waiting until `deadline_ns` at most.  0: go on; 1: stopped; negative: broken. */
int tako__worker_turn(struct tako__worker *w, uint64_t deadline_ns);
/* When the next turn is due if nothing happens. */
uint64_t tako__worker_next(struct tako__worker *w);
/* Send mail and wake the worker if need be.  [any] */
void tako__worker_post(struct tako__worker *w, struct tako__mail *m);
/* A worker of the server that reads one mail of somebody who is on none of its threads, and does not end before
 * it has, which tako__worker_called() tells; they take turns.  NULL: none runs.  [any] */
struct tako__worker *tako__worker_call(struct tako_server *srv);
/* The same, beginning with that one (modulo how many there are): the same one as long as all run.  [any] */
struct tako__worker *tako__worker_call_at(struct tako_server *srv, uint32_t first);
/* From that mail. */
void tako__worker_called(struct tako__worker *w);
/* There will be no mail.  [any] */
void tako__worker_uncalled(struct tako__worker *w);
/* Account for the exchanges that ended since the last call: their responses are on their way
 * out now.  One reading of the clock for all that a few deliveries answered. */
void tako__worker_time(struct tako__worker *w);
/* Make its turn return.  [signal] */
void tako__worker_wake(struct tako__worker *w);
/* "Server: …\r\nDate: …\r\n" of this second. */
tako_str tako__worker_common(struct tako__worker *w);

#endif /* TAKO_CORE_WORKER_H */
