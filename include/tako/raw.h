/* SPDX-License-Identifier: MIT
 *
 * tako/raw.h: what is not HTTP: connections, bytes in, bytes out, by callbacks, over TCP, vsock, Unix
 * sockets and TLS; and datagrams over UDP.  What is around them is the server's: workers, limits, the
 * PROXY protocol, figures, drain.
 *
 * A listener is tako_server_listen() with one of the transports below and tako_listen_config.raw, for
 * datagrams tako_listen_config.udp.  A connection, and a socket of datagrams, belongs to one worker, on
 * whose thread all its callbacks run; what is [loop] is called from a callback on the same worker.
 * docs/raw.md has examples.
 */
#ifndef TAKO_RAW_H
#define TAKO_RAW_H

#include <tako/base.h>
#include <tako/http.h>
#include <tako/proxy.h>
#include <tako/server.h>

struct sockaddr; /* <sys/socket.h> */

TAKO_BEGIN

/* One connection.  Valid until its on_close() has returned. */
typedef struct tako_raw tako_raw;

/* What is done with the connections of a listener.  Copied by tako_server_listen(); `arg`, which every
 * callback gets, must live as long as the server.  NULL for what is of no interest; on_data is. */
typedef struct tako_raw_config {
	size_t size;
	/* It is there: accepted, its PROXY header read, its TLS handshake through.  A negative code
	 * closes it; on_close() follows. */
	int (*on_open)(tako_raw *c, void *arg);
	/* Bytes have come: some, as the network cuts them; borrowed for the call.  A negative code resets
	 * the connection. */
	int (*on_data)(tako_raw *c, tako_str data, void *arg);
	/* The peer sends no more, and may still read.  NULL: as if it called tako_raw_end(). */
	int (*on_end)(tako_raw *c, void *arg);
	/* After write_high_bytes were unsent: they are write_low_bytes or fewer now. */
	void (*on_writable)(tako_raw *c, void *arg);
	/* The server stops: come to an end within drain_timeout_ms.  NULL: as if it called
	 * tako_raw_close(), after on_data() has had what was there to read. */
	void (*on_drain)(tako_raw *c, void *arg);
	/* It is over, and freed when this returns: once for each on_open(); and with `c` NULL where a connection
	 * of tako/connect.h could not be made.  `why`: 0, both sides have
	 * ended in order; TAKO_ECLOSED, the peer or the server cut it; TAKO_ETIMEDOUT; or what a callback
	 * has returned. */
	void (*on_close)(tako_raw *c, int why, void *arg);
	void *arg;
	size_t user_bytes;         /* 0: none; to 1 MiB of zeroed memory for tako_raw_user() */
	uint64_t write_high_bytes; /* 0: 256 KiB; from 1 */
	uint64_t write_low_bytes;  /* 0: a quarter of that; less than it */
	/* 0: four times write_high_bytes, or 1 MiB more than that, which is what may come in one on_data(), where that is
	 * more; not less than write_high_bytes.  More is refused: TAKO_EBUSY */
	uint64_t max_unsent_bytes;
	/* TLS only: what a client that asks is answered (RFC 7301), "mqtt" or "a,b"; who asks for others
	 * only is refused.  NULL: asking is not answered. */
	const char *alpn;
	uint32_t idle_timeout_ms; /* 0: 60000 without a byte, either way; TAKO_OFF: none */
	uint32_t lifetime_ms;     /* 0: none */
	uint32_t max_connections; /* 0: the server's; of this listener, more are closed at once */
	/* 1, for tako_raw_unix() only: connections keep what is sent apart (SOCK_SEQPACKET, unix(7)).
	 * on_data() gets a record, whole, and tako_raw_send() makes one, to 64 KiB; longer ones end the
	 * connection with TAKO_ETOOBIG.  There are no empty ones.  Each counts 128 bytes more while it is
	 * unsent. */
	uint32_t records;
} tako_raw_config;
#define TAKO_RAW_CONFIG(...) (&(tako_raw_config){.size = sizeof(tako_raw_config), __VA_ARGS__})

/* Transports for tako_server_listen(): over TCP and vsock, over Unix sockets, and over TLS on any of them,
 * which takes the certificates and clients' of tako_tls(), but no early data.  In a build without TLS
 * tako_server_listen() refuses the last with TAKO_ENOTSUP.  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_raw_tcp(void);
TAKO_API const tako_transport *tako_raw_unix(void);
TAKO_API const tako_transport *tako_raw_tls(void);

/* Send: copied, and on its way before the loop sleeps.  Returns how many bytes are unsent now: with
 * write_high_bytes or more, send nothing until on_writable().  [loop]
 *   TAKO_EBUSY    max_unsent_bytes: nothing of it was taken
 *   TAKO_ETOOBIG  a record over 64 KiB
 *   TAKO_ESTATE   after tako_raw_end() or tako_raw_close()
 *   TAKO_ECLOSED  the connection is gone
 *   TAKO_ENOMEM   … and going, since some of it may have left */
TAKO_API int64_t tako_raw_send(tako_raw *c, tako_str data);

/* Bytes that were accepted and not taken by the kernel yet.  [loop] */
TAKO_API uint64_t tako_raw_unsent(const tako_raw *c);

/* End our side behind what was sent; the peer can send on.  When its side has ended, too, the connection
 * is over.  May be repeated.  [loop] */
TAKO_API void tako_raw_end(tako_raw *c);

/* End the connection when what was sent has left; what the peer sends from now on is thrown away, and its
 * end waited for no longer than linger_timeout_ms.  on_close() follows, after this call.  [loop] */
TAKO_API void tako_raw_close(tako_raw *c);

/* Cut it off, so that the peer sees a reset (on a Unix socket, which has none, an end); what is unsent is
 * lost.  on_close() follows, after this call, with TAKO_ECLOSED.  [loop] */
TAKO_API void tako_raw_abort(tako_raw *c);

/* Deliver nothing, the end included, until resumed; then the peer has to wait, too.  Over TLS, and of
 * records, what was received already may still come.  [loop] */
TAKO_API void tako_raw_pause(tako_raw *c);
TAKO_API void tako_raw_resume(tako_raw *c);

/* The connection's user_bytes, aligned for anything; NULL: there are none.  [loop] */
TAKO_API void *tako_raw_user(const tako_raw *c);

/* As tako_req_conn_info(); the strings live as long as the connection, and each call takes memory for them
 * anew.  [loop] */
TAKO_API int tako_raw_conn_info(tako_raw *c, tako_conn_info *out);

/* As tako_req_proxy_info(), likewise.  [loop] */
TAKO_API int tako_raw_proxy_info(tako_raw *c, tako_proxy_info *out);

/* ---- Datagrams ------------------------------------------------------------------------------------ */

/* What one worker has of a listener of tako_raw_udp(): a socket, which shares the port with those of the
 * other workers (SO_REUSEPORT).  The kernel chooses by both addresses, so that a peer's datagrams come to
 * one of them.  Valid from on_start() on, as long as the worker runs. */
typedef struct tako_udp tako_udp;

/* One whose datagrams a listener has had, where it keeps a table of them (max_peers): an address and a port.
 * Valid until its on_peer_close() has returned. */
typedef struct tako_udp_peer tako_udp_peer;

/* A datagram that has come.  All of it is borrowed for the call. */
typedef struct tako_udp_in {
	tako_str data; /* maybe empty */
	const struct sockaddr *from;
	const struct sockaddr
		*to; /* the address of ours that an answer comes from; NULL: unknown */
	uint32_t from_bytes;
	uint32_t to_bytes;
	uint32_t
		ifindex; /* the interface that it came in on (if_indextoname(3)); 0: not known, as where
			   * the listener has one address */
	uint32_t reserved;
	tako_udp_peer *peer; /* whose it is; NULL where no table is kept */
} tako_udp_in;

/* What is done with the datagrams of a listener.  Copied by tako_server_listen(); `arg`, which every
 * callback gets, must live as long as the server.  NULL for what is of no interest; on_datagram is. */
typedef struct tako_udp_config {
	size_t size;
	/* A datagram has come.  One that was joined with others on its way is told alone. */
	void (*on_datagram)(tako_udp *u, const tako_udp_in *in, void *arg);
	/* A worker has begun: once on each, before anything else. */
	void (*on_start)(tako_udp *u, void *arg);
	/* After a send was refused with TAKO_EBUSY: a quarter of send_queue_bytes or less waits now. */
	void (*on_writable)(tako_udp *u, void *arg);
	/* The server stops: nothing comes any more.  What is queued by the time this returns is still
	 * sent. */
	void (*on_stop)(tako_udp *u, void *arg);
	void *arg;
	uint64_t
		send_queue_bytes; /* 0: 1 MiB a worker that the kernel has not taken, and 64 for each
				    * datagram; more are refused: TAKO_EBUSY.  From 4096 */
	uint32_t recv_buffer_bytes; /* SO_RCVBUF of each socket, which holds what comes while its
				     * worker is busy.  0: 2 MiB, or what the system allows if that is
				     * less; else less is TAKO_ENOTSUP */
	uint32_t send_buffer_bytes; /* SO_SNDBUF; the same */
	/* Peers, if max_peers is set: somebody new, who has sent `first`, which on_datagram() is told next.
	 * A negative code: that is not told, and on_peer_close() follows. */
	int (*on_peer_open)(tako_udp_peer *p, const tako_udp_in *first, void *arg);
	/* It is over, and freed when this returns: once for each on_peer_open().  `why`: 0, closed by
	 * tako_udp_peer_close(); TAKO_ETIMEDOUT; TAKO_ECLOSED, the server stops; or what on_peer_open()
	 * has returned.  What is sent to it here still leaves. */
	void (*on_peer_close)(tako_udp_peer *p, int why, void *arg);
	size_t peer_user_bytes; /* 0: none; to 1 MiB of zeroed memory for tako_udp_peer_user() */
	uint32_t max_peers; /* 0: no table; of this listener, on all workers.  Datagrams of more are
				 * dropped, and counted */
	uint32_t peer_idle_timeout_ms; /* 0: 60000 without a datagram, either way; TAKO_OFF: none */
	/* Multicast groups to join: "239.1.2.3, 239.1.2.4%eth0, ff15::1%2", with the name or number of the
	 * interface, which the system chooses without; to 20.  The kernel gives a copy to every socket that
	 * has joined, so the first worker does it for all, and is told alone. */
	const char *multicast;
	const char
		*multicast_interface; /* what is sent to groups leaves by it; NULL: by the route */
	uint32_t multicast_ttl;       /* of what is sent to groups: 0: 1, this network; to 255 */
	uint32_t multicast_loop;      /* TAKO_OFF: … is not heard on this machine */
	uint32_t broadcast;           /* 1: broadcast addresses may be sent to */
	uint32_t reserved;            /* must be 0 */
} tako_udp_config;
#define TAKO_UDP_CONFIG(...) (&(tako_udp_config){.size = sizeof(tako_udp_config), __VA_ARGS__})

/* The longest datagram that can be sent, or received, over IPv4. */
enum { TAKO_UDP_BYTES_MAX = 65507 };

/* Transport for tako_server_listen(): datagrams over UDP, on an address with a port.  A Unix socket is refused with
 * TAKO_EINVAL: what keeps messages apart there is tako_raw_config.records, whose peers can be answered without a
 * socket file of their own, and are told of an end.  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_raw_udp(void);

/* Answer a datagram: to where it came from, from the address that it was sent to.  The bytes are copied,
 * and on their way before the loop sleeps.
 *
 * segment_bytes 0: one datagram, which may be empty.  Else `data` leaves as datagrams of so many bytes,
 * the last maybe shorter, by as few system calls as the kernel has for that (UDP_SEGMENT); so do datagrams
 * of one length that are sent behind each other to one peer.  All of it is queued, or nothing.
 *
 * Returns how many bytes wait for the kernel now.  That one was queued does not say that it arrives, nor
 * that it left: what the system refuses later is counted.  [loop]
 *   TAKO_EBUSY    send_queue_bytes: dropped, and counted as that
 *   TAKO_ENOMEM   likewise
 *   TAKO_ETOOBIG  a datagram is over TAKO_UDP_BYTES_MAX
 *   TAKO_EINVAL   the address's family is not the listener's
 *   TAKO_ECLOSED  the server has stopped, and what was queued has left */
TAKO_API int64_t tako_udp_reply(tako_udp *u, const tako_udp_in *in, tako_str data,
                                uint32_t segment_bytes);

/* The same to any address, from the one that the system chooses.  A listener on every address (":53",
 * "[::]:53") takes IPv4 addresses, too; one on an IPv6 address IPv6 only.  [loop] */
TAKO_API int64_t tako_udp_send(tako_udp *u, const struct sockaddr *to, uint32_t to_bytes,
                               tako_str data, uint32_t segment_bytes);

/* The same from any thread, by the `index`th listener, in the order of tako_server_listen(): copied, and sent
 * by one of the workers.  What goes to one address keeps its order, as long as one thread sends it.  On its way to
 * the workers as much may be, of all threads together, as may wait in the queue of one: send_queue_bytes.
 * 0: some worker has it; what became of it is seen in the figures.  [any]
 *   TAKO_EBUSY    send_queue_bytes: dropped, and counted as that
 *   TAKO_ENOMEM   likewise
 *   TAKO_ETOOBIG  a datagram is over TAKO_UDP_BYTES_MAX
 *   TAKO_EINVAL   no address, or its family is not the listener's
 *   TAKO_ENOENT   there is no such listener, or it is not one of tako_raw_udp()
 *   TAKO_ESTATE   the server does not run */
TAKO_API int tako_server_udp_send(tako_server *srv, size_t index, const struct sockaddr *to,
                                  uint32_t to_bytes, tako_str data, uint32_t segment_bytes);

/* Join or leave a multicast group, written as in tako_udp_config.multicast, one at a time.  On this worker's
 * socket only: joined from each on_start(), every worker is told of every datagram.  [loop]
 *   TAKO_EINVAL   no group, or no such interface
 *   TAKO_ESYS     the system does not want to: joined already, or not at all, or too many
 *   TAKO_ECLOSED  the server stops */
TAKO_API int tako_udp_join(tako_udp *u, const char *group);
TAKO_API int tako_udp_leave(tako_udp *u, const char *group);

/* As tako_udp_reply(), to a peer, from the address that it sent to last.  TAKO_ESTATE: it is closed.
 * [loop] */
TAKO_API int64_t tako_udp_peer_send(tako_udp_peer *p, tako_str data, uint32_t segment_bytes);

/* Forget a peer: the next datagram of that address makes a new one.  on_peer_close() follows, after this
 * call.  May be repeated.  [loop] */
TAKO_API void tako_udp_peer_close(tako_udp_peer *p);

/* Its peer_user_bytes, aligned for anything; NULL: there are none.  [loop] */
TAKO_API void *tako_udp_peer_user(const tako_udp_peer *p);

/* Its address, and how many bytes that has; the peer's.  [loop] */
TAKO_API const struct sockaddr *tako_udp_peer_addr(const tako_udp_peer *p, uint32_t *bytes);

/* Whose peer it is.  [loop] */
TAKO_API tako_udp *tako_udp_peer_udp(const tako_udp_peer *p);

/* Bytes that wait for the kernel.  [loop] */
TAKO_API uint64_t tako_udp_unsent(const tako_udp *u);

/* Figures of a listener since the start, in datagrams; new ones are added at the end. */
typedef struct tako_udp_stats {
	size_t size;
	uint64_t received; /* told to on_datagram() */
	uint64_t sent;     /* taken by the kernel */
	uint64_t dropped;  /* sends that were refused: no room in the queue, or no memory; or still
			    * queued when a drain was cut, or the sender's worker had stopped */
	uint64_t
		failed; /* queued, then refused by the kernel: too long for the path, no route, … */
	uint64_t
		lost; /* come and dropped by the kernel, mostly as recv_buffer_bytes was full: as far
			    * as the last datagram that was received behind them tells (SO_RXQ_OVFL), all
			    * of them when the server has stopped */
	uint64_t errors; /* told by the system of something sent earlier (ICMP) */
	uint64_t peers_opened;
	uint64_t peers_closed;
	uint64_t
		peers_refused; /* datagrams of somebody new that were dropped: max_peers, or no memory */
} tako_udp_stats;

/* Fill `out`, whose size field the caller has set, for the `index`th listener, in the order of
 * tako_server_listen().  Sums over the workers, each figure exact.  [any]
 *   TAKO_EINVAL  size not set
 *   TAKO_ENOENT  there is no such listener, or it is not one of tako_raw_udp() */
TAKO_API int tako_server_udp_stats(const tako_server *srv, size_t index, tako_udp_stats *out);

TAKO_END

#endif /* TAKO_RAW_H */
