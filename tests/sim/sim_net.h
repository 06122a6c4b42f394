/* SPDX-License-Identifier: MIT
 *
 * A network in memory: links between a client, which the test is, and a server, which is
 * whatever runtime takes the other end.  Bytes travel in pieces that arrive later, in order,
 * into a receive buffer of bounded size; ends and resets travel too.  Time is a number that
 * the caller moves.  Knows no socket of any kind and calls nobody back.
 *
 * A server connects, too: sim_net_dial() makes such a link, whose other end, which is then no client, is
 * the test's by sim_dialled().  Names stay as they are: "up" is towards the server.
 *
 * What is modelled of TCP is what servers get wrong: a close with input unread, or input that
 * comes after a close, is a reset, and a reset takes from the client whatever it has not read.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/sim_rand.h"

#define SIM_NEVER UINT64_MAX

/* How links made from now on behave. */
struct sim_net_options {
	uint64_t delay_ns_max;  /* of each piece; 0: arrives at once */
	size_t piece_bytes_max; /* 0: whatever is on the way arrives as one */
	size_t send_bytes;      /* the server's send buffer; 0: 4 MiB */
	size_t window_bytes;    /* either receive buffer; 0: 4 MiB */
};

/* One direction of a link. */
struct sim_pipe {
	char *data; /* from `start` on: what has arrived, then what is on the way */
	size_t start;
	size_t n;
	size_t cap;
	size_t arrived;
	size_t send_max;   /* on the way at most */
	size_t window_max; /* arrived and unread at most */
	uint64_t next_ns;  /* when the next piece arrives */
	uint64_t total;    /* bytes ever written */
	bool fin;          /* no more will be written */
	bool fin_arrived;
};

struct sim_link {
	struct sim_net *net;
	struct sim_link *next;
	struct sim_pipe up;   /* client to server */
	struct sim_pipe down; /* server to client */
	uint64_t delay_ns_max;
	size_t piece_bytes_max;
	unsigned small_left; /* pieces until they grow, so that a bytewise megabyte ends */
	struct sockaddr_in from;
	uint64_t syn_ns;      /* when the connection is made */
	uint64_t up_rst_ns;   /* when a reset reaches the server */
	uint64_t down_rst_ns; /* … the client */
	bool backlogged;      /* connected and not accepted */
	bool accepted;
	bool client_closed;
	bool server_closed;
	bool client_reset; /* a reset has reached the client, or the connection was refused */
	bool server_reset; /* … the server */
	void *owner;       /* the runtime's, as is: */
	int fd;            /* given out for it; -1 */
	/* Of one that the server made: */
	bool dialled;
	bool decided;     /* connected, or it has failed */
	bool taken;       /* by the test */
	int dial_err;     /* what becomes of it: 0, or an errno */
	uint64_t dial_ns; /* when; SIM_NEVER: not at all, or no more */
	struct sockaddr_storage to;
};

struct sim_net {
	struct sim_rand *rand;
	struct sim_net_options options;
	struct sim_link *links; /* oldest first */
	struct sim_link **links_tail;
	uint64_t now_ns;
	unsigned listeners; /* without any, connections are refused */
};

void sim_net_init(struct sim_net *net, struct sim_rand *rand, uint64_t now_ns);
void sim_net_fini(struct sim_net *net);
/* When the next thing arrives anywhere; SIM_NEVER. */
uint64_t sim_net_next(const struct sim_net *net);
/* Move time on and let arrive what is due, one piece a pipe. */
void sim_net_advance(struct sim_net *net, uint64_t now_ns);

/* ---- The client's end ----------------------------------------------------------- */

/* Never fails; the link lives as long as the net. */
struct sim_link *sim_connect(struct sim_net *net);
/* Takes everything, however much is unread at the other end. */
void sim_write(struct sim_link *l, const char *p, size_t n);
/* What has arrived, at most n bytes; reading makes room for more. */
size_t sim_read(struct sim_link *l, char *p, size_t n);
size_t sim_readable(const struct sim_link *l);
/* The server's end of stream has arrived and everything before it was read, or a reset has. */
bool sim_ended(const struct sim_link *l);
/* Send the end of our side. */
void sim_shut(struct sim_link *l);
/* Close: what the server sends from now on is answered by a reset. */
void sim_close(struct sim_link *l);
void sim_reset(struct sim_link *l);

/* The oldest link that the server made and nobody has taken yet, once it is connected; or NULL. */
struct sim_link *sim_dialled(struct sim_net *net);

/* ---- The server's end ------------------------------------------------------------- */

/* The oldest connection that waits to be accepted, or NULL. */
struct sim_link *sim_net_accept(struct sim_net *net);
/* Connect to `to`: decided at `at_ns` (SIM_NEVER: not at all), with 0 or an errno. */
struct sim_link *sim_net_dial(struct sim_net *net, const struct sockaddr *to, socklen_t n,
                              int errno_value, uint64_t at_ns);
/* It is given up before it was decided. */
void sim_link_forget(struct sim_link *l);
size_t sim_link_readable(const struct sim_link *l);
/* The client's end of stream is next. */
bool sim_link_ended(const struct sim_link *l);
size_t sim_link_read(struct sim_link *l, char *p, size_t n);
size_t sim_link_room(const struct sim_link *l);
void sim_link_write(struct sim_link *l, const char *p, size_t n);
void sim_link_shut(struct sim_link *l);
void sim_link_close(struct sim_link *l, bool reset);
/* Written and not arrived. */
size_t sim_link_unacked(const struct sim_link *l);

#endif /* TESTS_SIM_NET_H */
