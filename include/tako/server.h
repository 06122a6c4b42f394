/* SPDX-License-Identifier: MIT
 *
 * tako/server.h: a router on addresses: config, listeners, run, stop, figures.
 *
 * In one line: tako_serve(addr, router).  In full: tako_server_new(), one or more
 * tako_server_listen(), then tako_server_run() on this thread, or tako_server_start()
 * and tako_server_wait(), or tako_server_step() from a loop of your own; at last
 * tako_server_free().
 */
#ifndef TAKO_SERVER_H
#define TAKO_SERVER_H

#include <tako/base.h>
#include <tako/http.h>
#include <tako/router.h>
#include <tako/tls.h>

TAKO_BEGIN

/* A server: its config, listeners, workers and threads.  Everything it hands out dies with it. */
typedef struct tako_server tako_server;
/* What speaks on a listener: which protocols, over which layers.  Static. */
typedef struct tako_transport tako_transport;
typedef struct tako_runtime tako_runtime; /* <tako/sys/runtime.h> to write one */

/* ---- Access log --------------------------------------------------------- */

/* One finished exchange.  Borrowed for the call. */
typedef struct tako_access {
	size_t size;
	tako_str method;
	tako_str path;    /* as received, without the query: queries hold secrets */
	tako_str pattern; /* of the route; {NULL, 0} if none matched */
	tako_str host;
	tako_str user_agent;
	tako_str referer;
	tako_str request_id;
	const char *peer;
	uint64_t wall_time_ms;       /* of the request, since the epoch */
	uint64_t duration_ns;        /* from its head being complete to the end of its response */
	uint64_t received_bytes;     /* of the request's body */
	uint64_t sent_bytes;         /* of the response's body */
	int32_t status;              /* 0: none was sent */
	int32_t version;             /* 10, 11, 20, 30 */
	int32_t error;               /* 0, or the TAKO_E* that cut the exchange */
	uint32_t connection_request; /* 1: the first on its connection */
	const char *client; /* as tako_client_info.node, where forwarded_log says so; else NULL */
} tako_access;

/* Called on the loop for every exchange, parser-level errors included; must not
 * block.  [loop] */
typedef void (*tako_access_fn)(const tako_access *a, void *arg);

enum {
	TAKO_LOG_TEXT = 0, /* the combined format of NCSA httpd, and the duration in µs */
	TAKO_LOG_JSON = 1  /* one object a line */
};

/* ---- Config --------------------------------------------------------------- */

/* RFC 8312, RFC 9002 section 7, draft-cardwell-iccrg-bbr-congestion-control. */
enum { TAKO_H3_CUBIC = 0, TAKO_H3_RENO = 1, TAKO_H3_BBR = 2 };

/* Every field: 0 is the default named beside it, TAKO_OFF (TAKO_OFF64) is "none" where that
 * makes sense.  A setting that this build or its transports cannot honour is refused by
 * tako_server_new() or _listen() with TAKO_ENOTSUP and a sentence, never ignored. */
typedef struct tako_server_config {
	size_t size;                 /* sizeof the struct the caller was compiled with */
	const tako_runtime *runtime; /* NULL: the best that this machine can, io_uring before
				      * epoll, unless the environment's TAKO_RUNTIME names one */
	const char *server_header;   /* NULL: "tako"; "": no Server field */
	tako_access_fn access_fn;    /* NULL: none */
	void *access_arg;
	/* Memory that one exchange may take, beside its head: a streamed body is never kept, and a
	 * writer that heeds tako_res_on_drain() never goes far beyond write_high_bytes. */
	uint64_t max_body_bytes;   /* 0: 1 MiB; for tako_req_whole_body() */
	uint64_t write_high_bytes; /* 0: 256 KiB unsent per exchange, then back-pressure */
	/* Threads and connections.  What has no room waits in the kernel's backlog, whose length
	 * is the listener's. */
	uint32_t worker_count;    /* 0: one per CPU in the affinity mask; at most 256 */
	uint32_t max_connections; /* 0: 10000, everything counted; TAKO_OFF: no ceiling.  At the
				    * ceiling accepting pauses until 90 % of it */
	uint32_t max_connections_per_ip; /* 0: none; IPv6 counts by /64.  More are closed at once.
					  * Peers on Unix sockets and vsock are not counted */
	/* How long a peer may take.  Transfers are looked at once a second at most, so these are
	 * met within a quarter of the shortest or a second.  An idle connection is closed without
	 * a word. */
	uint32_t header_timeout_ms;       /* 0: 30000 for a whole request head; then 408 */
	uint32_t keepalive_timeout_ms;    /* 0: 60000 idle between requests */
	uint32_t keepalive_request_count; /* 0: no limit a connection; 1: no keep-alive */
	uint32_t body_timeout_ms;   /* 0: 30000 without a byte of an expected body; then 408 */
	uint32_t write_timeout_ms;  /* 0: 30000 without a byte taken by the peer */
	uint32_t min_rate_bytes;    /* 0: 64 a second, bodies either way, averaged since the first
				    * min_rate_grace_ms; slower peers are cut; TAKO_OFF: none */
	uint32_t min_rate_grace_ms; /* 0: 10000 */
	/* How much a request may say (RFC 9112 sections 2.3 and 3, RFC 6585 section 5). */
	uint32_t max_head_bytes;   /* 0: 32 KiB of request line and fields; then 431 */
	uint32_t max_line_bytes;   /* 0: 8 KiB of request line; then 414 */
	uint32_t max_header_count; /* 0: 100 fields; then 431 */
	/* Ends: of one connection (RFC 9112 section 9.6), and of the server. */
	uint32_t linger_timeout_ms; /* 0: 2000 to read on after a final response, so that the
				      * peer gets it instead of a reset */
	uint32_t drain_timeout_ms;  /* 0: 30000; TAKO_OFF: wait for the last one */
	/* After a failed accept, as when descriptors run out: how long to leave the rest waiting. */
	uint32_t accept_backoff_min_ms; /* 0: 5 after a failed accept, doubling */
	uint32_t accept_backoff_max_ms; /* 0: 1000 */
	/* The pool of tako_offload(); a full queue is TAKO_EBUSY. */
	uint32_t offload_thread_count; /* 0: 4 threads for tako_offload(), made on first use */
	uint32_t offload_queue_count;  /* 0: 1024 waiting jobs */
	/* The access log that tako writes by itself, beside access_fn. */
	uint32_t access_log_fd;              /* 0: none; stays yours, must outlive the server */
	uint32_t access_log_format;          /* TAKO_LOG_TEXT, TAKO_LOG_JSON */
	uint32_t access_log_queue_bytes;     /* 0: 256 KiB a worker; what does not fit is counted
					  * and dropped, a loop never waits */
	uint32_t proxy_read_timeout_ms;      /* 0: 10000 from accept to a whole PROXY header */
	uint32_t tls_handshake_timeout_ms;   /* 0: 10000 from accept to a finished handshake */
	uint32_t h2_max_concurrent_streams;  /* 0: 100 a connection */
	uint32_t h2_max_header_list_bytes;   /* 0: 16 KiB of fields and 32 bytes for each; then
					       * 431 */
	uint32_t h2_max_send_buffer_bytes;   /* 0: 1 MiB of frames a connection that the socket
					       * has not taken; then its streams wait */
	uint32_t h2_max_pending_reset_count; /* 0: 50 requests a connection that the peer has
					       * reset and that are still answered; then GOAWAY */
	uint32_t h2_keepalive_interval_ms;   /* 0: none; a PING when nothing was heard for so long
					       * while requests are answered */
	/* QUIC, and so HTTP/3 (RFC 9000): what a connection may have and how it ends. */
	uint32_t h3_max_bidi_streams; /* 0: 100 that the peer may have open at once: its requests */
	uint32_t h3_max_uni_streams;  /* 0: 8 of those that go one way; at least 3 */
	uint32_t h3_idle_timeout_ms;  /* 0: 30000 without a packet, or what the peer says if it is
				       * less; TAKO_OFF: only the peer's */
	uint32_t h3_congestion;       /* TAKO_H3_CUBIC, TAKO_H3_RENO, TAKO_H3_BBR */
	uint32_t h3_datagrams;        /* 1: datagrams are received (RFC 9221) also where nothing
				       * has a use for them, as WebTransport has */
	uint32_t h3_retry;            /* 1: who comes first proves his address, which costs a round
				       * trip (RFC 9000 section 8.1.2); 0: from the second time on */
	uint32_t h3_goaway_grace_ms;  /* 0: 10000 for requests that have begun when the server
				       * stops; at most drain_timeout_ms */
	/* More of HTTP/2 (RFC 9113): windows, and what a flood may cost.  See docs/http2.md. */
	uint32_t h2_keepalive_timeout_ms;    /* 0: 20000 for an answer to it */
	uint32_t h2_stream_window_bytes;     /* 0: 256 KiB of a request's body that may wait */
	uint32_t h2_connection_window_bytes; /* 0: 1 MiB of all of them; at least 65535 */
	uint32_t h2_max_frame_bytes;         /* 0: 16 KiB received, which is the least */
	uint32_t h2_header_table_bytes;      /* 0: 4 KiB of HPACK table for received fields */
	uint32_t h2_max_continuation_count;  /* 0: 8 frames that a field block may go on in */
	uint32_t h2_max_reset_count;   /* 0: 200 streams at once that end by an error, by the peer
					 * or because of it, and as many again in 30 seconds */
	uint32_t h2_max_control_count; /* 0: 1000 frames at once that bring nothing (SETTINGS,
					 * PING, empty DATA, …), and as many in 30 seconds */
	uint32_t accept_balance;       /* 0: a worker passes a new connection to one that has fewer;
				  * TAKO_OFF: each keeps what the kernel gives it */
	/* For experts and for tests: what a loop receives into and sends at once.  The runtimes'
	 * own choices were measured. */
	uint32_t recv_buffer_bytes; /* 0: the runtime's choice; at most 1 MiB a receive */
	uint32_t
		recv_buffer_count; /* 0: the runtime's choice; at most 1024 of them, rounded up to a
				      * power of two where the kernel wants that; also how many are
				      * filled for one connection before others get their turn */
	uint32_t send_max_bytes;   /* 0: no limit on what one call may send */
	uint32_t h3_stream_window_bytes;     /* 0: 256 KiB of a request's body that may wait */
	uint32_t h3_connection_window_bytes; /* 0: 1 MiB of all of them */
	/* More of HTTP/3 (RFC 9114): see docs/http3.md. */
	uint32_t h3_max_header_list_bytes; /* 0: 16 KiB of fields and 32 bytes for each; then 431 */
	uint32_t h3_qpack_table_bytes;     /* 0: 4 KiB of QPACK table a connection for received
					     * fields; TAKO_OFF: none */
	uint32_t h3_qpack_blocked_streams; /* 0: 16 a connection that may wait for its entries;
					     * TAKO_OFF: none */
	uint32_t h3_max_reset_count;       /* 0: 200 streams at once that the peer resets, or whose
					     * requests are malformed, and as many in 30 seconds */
	uint32_t h3_max_control_count;     /* 0: 1000 frames at once that bring nothing (empty DATA,
					     * unknown ones, PRIORITY_UPDATE, …), and as many in
					     * 30 seconds */
	uint32_t alt_svc; /* 0: where the server also has HTTP/3, the first response of each
			    * connection over TLS says so by "Alt-Svc" (RFC 7838), unless it has
			    * that field; TAKO_OFF: none does */
	uint32_t proxy_max_header_bytes; /* 0: 4096 of PROXY header, TLVs included; then the
					   * connection is closed.  From 232 */
	/* WebTransport over HTTP/3: see tako/webtransport.h and docs/webtransport.md. */
	uint32_t wt_max_sessions;        /* 0: 16 a connection; TAKO_OFF: it is not offered */
	uint32_t wt_max_early_streams;   /* 0: 16 a connection that may come before their session;
					  * TAKO_OFF: none */
	uint32_t wt_max_early_datagrams; /* 0: 32; TAKO_OFF: none */
	/* Connections to others: see tako/connect.h and docs/connect.md. */
	uint32_t max_outgoing_connections; /* 0: 10000 that are made or being made; more are
					     * TAKO_EBUSY; TAKO_OFF: no ceiling */
	uint32_t connect_timeout_ms; /* 0: 10000 for one to be made, with its name looked up and
				       * its TLS handshake through */
	/* How names become addresses (RFC 8305) */
	uint32_t connect_attempt_delay_ms; /* 0: 250 until the next address of a name is tried as
					     * well; from 10 to 2000 */
	uint32_t resolve_delay_ms;     /* 0: 50 to wait for IPv6 addresses when there are others; at
				     * most 1000; TAKO_OFF: none */
	uint32_t resolve_thread_count; /* 0: 4 that look up names, made on first use */
	uint32_t resolve_queue_count; /* 0: 256 names that may wait for them; more are TAKO_EBUSY */
	uint32_t
		resolve_cache_count; /* 0: 512 names, for each family, that are looked up or kept */
	uint32_t resolve_cache_ms;   /* 0: 5000 that an answer is kept, one that there is none for
				     * a second at most; TAKO_OFF: none is */
	/* Who starts this process and who comes after it: see tako/inherit.h and docs/restart.md. */
	uint32_t inherit; /* 1: a listener takes the sockets of its address that this process was
			   * started with, if there are any, in place of new ones */
	uint32_t notify; /* 1: the supervisor that NOTIFY_SOCKET names is told READY when the server
			   * serves, STOPPING when it stops, and WATCHDOG while all loops turn */
} tako_server_config;

/* TAKO_SERVER_CONFIG(.worker_count = 4): named arguments, size filled in.
 * From C++ or a binding: zero the struct and set size. */
#define TAKO_SERVER_CONFIG(...)                                                                    \
	(&(tako_server_config){.size = sizeof(tako_server_config), __VA_ARGS__})

/* Whether clients show a certificate (RFC 8446 section 4.3.2); what was verified of it is in
 * tako_conn_info. */
enum {
	TAKO_CLIENT_AUTH_NONE = 0,     /* no certificate is asked for */
	TAKO_CLIENT_AUTH_OPTIONAL = 1, /* one that is sent must be good */
	TAKO_CLIENT_AUTH_REQUIRED = 2  /* … and one must be sent */
};

/* Knobs of one listener; the same rules as above.  Certificates, clients' and sessions are TLS's, from
 * cert_file on; TAKO_ENOTSUP where there is none, as for whatever else its transport has no use for. */
typedef struct tako_listen_config {
	size_t size;
	const char *cert_file; /* with key_file: as in tako_cert_config, without the rest of it */
	const char *key_file;
	uint32_t proxy_protocol; /* TAKO_PROXY_*, see tako/proxy.h: whether connections begin with a
				  * PROXY header */
	uint32_t backlog;        /* 0: 1024 */
	tako_cert *cert;         /* in place of the two files; gets another reference */
	tako_cert_fn cert_fn;    /* chooses by server name; what it has none for gets the above */
	void *cert_arg;
	const char *client_ca_file;  /* PEM: who signs clients' certificates; */
	const char *client_ca_dir;   /* every file in it; */
	tako_str client_ca;          /* PEM or DER in memory: one of the three for client_auth */
	const char *client_crl_file; /* PEM: certificates that are revoked; then one of each signer
				      * is needed */
	tako_ticket_keys *ticket_keys; /* NULL: the listener's own; gets another reference */
	uint32_t client_auth;          /* TAKO_CLIENT_AUTH_*; without session tickets, so that each
					* connection proves itself */
	uint32_t tls_min_version;      /* 0: 12, which is TLS 1.2; 13 */
	uint32_t tls_tickets;          /* TAKO_OFF: no session tickets */
	uint32_t no_h2;                /* 1: HTTP/1.1 only, even where the build has HTTP/2 */
	/* 0: none; to 65536: of what a client that comes back may send before the handshake is
	 * through (0-RTT, RFC 8446 section 2.3).  Requests that arrive so carry "Early-Data: 1", as
	 * they may be replayed by others, and where their method is not a safe one are answered
	 * 425 (RFC 8470).  Not with ticket_keys, which other processes may have too.  Over QUIC any
	 * number allows it, and the windows are what bounds it (RFC 9001 section 4.6.1). */
	uint32_t tls_max_early_data_bytes;
	uint32_t unix_mode; /* of the file of "unix:/path", to 0777; 0: 0777 less the umask */
	/* Whose PROXY header is believed: addresses and prefixes, "10.0.0.0/8, 2001:db8::1, unix:"
	 * (peers on Unix sockets).  Others are closed, or with TAKO_PROXY_OPTIONAL served as who they
	 * are.  NULL with TAKO_PROXY_REQUIRED: everybody's, where nobody else can connect. */
	const char *proxy_trusted;
	/* Whose that file is, as names or numbers: who may write to it may connect. */
	const char *unix_owner; /* NULL: this process's user; another one takes privileges */
	const char *unix_group; /* NULL: this process's group */
	/* QUIC's: NULL: none; a directory, in which each connection leaves a trace of what it did (qlog,
	 * JSON text sequences, RFC 7464), named by the connection id that its client began with.  One
	 * that cannot be written to is refused.  Records are written 16 KiB together by the loop, into
	 * the system's buffers: not for a directory that may be slow, or for ever. */
	const char *h3_qlog_dir;
	uint32_t h3_qlog_max_files; /* 0: 1000 of them, counted from the start; then no more */
	uint32_t h3_qlog_max_bytes; /* 0: 16 MiB each; then it ends; at least 4096 */
	/* For tako_quic_raw(), TAKO_ENOTSUP elsewhere. */
	const char *quic_alpn;           /* the protocol's name (RFC 7301), up to 48 bytes */
	const struct tako_wt_config *wt; /* what becomes of its sessions; copied */
	void *wt_arg;                    /* … and what their callbacks get */
	/* What connections without HTTP are (tako/raw.h); for its transports, and for no others. */
	const struct tako_raw_config *raw;
	/* What is done with datagrams (tako/raw.h); for tako_raw_udp(), and for no other. */
	const struct tako_udp_config *udp;
	/* HTTP's: whom tako_req_client() believes about the client (tako/forwarded.h), and in which field. */
	const char *forwarded_trusted; /* proxies, listed as in proxy_trusted; to be set where
					* `forwarded` is */
	const char *forwarded_name;    /* TAKO_FORWARDED_NAMED's: "X-Real-IP", "CF-Connecting-IP" */
	uint32_t forwarded;            /* TAKO_FORWARDED_*: nobody is believed, or in what */
	uint32_t forwarded_max_hops;   /* 0: 16 proxies in a row; at most 100 */
	uint32_t forwarded_log;        /* 1: the access log names that client; 0: who connected */
	uint32_t reserved;
} tako_listen_config;
#define TAKO_LISTEN_CONFIG(...)                                                                    \
	(&(tako_listen_config){.size = sizeof(tako_listen_config), __VA_ARGS__})

/* ---- Transports and runtimes ------------------------------------------------ */

/* HTTP/1.1 and 1.0 over TCP (RFC 9112).  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_http1(void);

/* HTTP/2 over TCP, by prior knowledge (RFC 9113 section 3.3).  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_h2c(void);

/* Either of them on one port: a connection that begins with HTTP/2's preface is HTTP/2, every other
 * one HTTP/1.  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_http(void);

/* HTTP over TLS 1.2 or 1.3 (RFC 8446), the version of HTTP chosen by ALPN (RFC 7301):
 * h2 or http/1.1.  Needs a certificate: cert_file and key_file, cert, or cert_fn.  In a build without
 * TLS tako_server_listen() refuses it with TAKO_ENOTSUP.  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_tls(void);

/* HTTP/3 over QUIC (RFC 9114, RFC 9000), on UDP: "[::]:443" beside tako_tls() on the same address
 * serves both, and responses of the latter then tell browsers of it (see alt_svc).  Takes the same
 * certificates and clients' as tako_tls(); TLS 1.3 is all there is (RFC 9001 section 4.2).  In a
 * build without HTTP/3 tako_server_listen() refuses it with TAKO_ENOTSUP.  Static; never freed.
 * [any] */
TAKO_API const tako_transport *tako_h3(void);

/* Sessions of streams and datagrams over QUIC without HTTP, on UDP: each connection that agrees on
 * quic_alpn is one, with the callbacks of `wt` (tako/webtransport.h), and no router is asked.  Takes the
 * certificates of tako_h3(); refused as that in a build without.  Static; never freed.  [any] */
TAKO_API const tako_transport *tako_quic_raw(void);

/* The runtime over epoll(7): works on every Linux.  Static; never freed.  [any] */
TAKO_API const tako_runtime *tako_runtime_epoll(void);

/* The runtime over io_uring(7): fewer system calls.  Needs Linux 6.1, and a sandbox that allows
 * io_uring_setup(2); a server that was told to use it where it cannot work is refused with
 * TAKO_ENOTSUP and the reason, one that was told nothing uses epoll.  Static; never freed.
 * [any] */
TAKO_API const tako_runtime *tako_runtime_io_uring(void);

/* ---- Life of a server --------------------------------------------------------- */

/* Make a server.  *out is set on success only.  Freezes `router` and takes a reference.
 * `cfg` is copied; NULL takes every default.  [setup]
 *   TAKO_EINVAL   a value out of range; or the router's own error; or TAKO_RUNTIME in the
 *                 environment names no runtime
 *   TAKO_EEXIST   the router's: two routes collide
 *   TAKO_ENOTSUP  cfg->size is larger than this library's and a field it does not know is
 *                 set; or a setting this build has no use for; or the runtime cannot work
 *                 here, the one that was asked for or any
 *   TAKO_ENOMEM, TAKO_ESYS */
TAKO_API TAKO_CHECK int tako_server_new(tako_server **out, tako_router *router,
                                        const tako_server_config *cfg);

/* Bind now, so that errors surface here; serve once started.  addr: "1.2.3.4:80",
 * "[::]:80", ":80" (every IPv4 and IPv6 address), "localhost:80" (127.0.0.1), "name:80" (the
 * first address it has); port 0 lets the kernel choose.  But for HTTP/3 also "unix:/path" and, without
 * a file, "unix:@name" (unix(7), abstract; at most 107 bytes either), and "vsock:80" (from everywhere)
 * or "vsock:2:80" (vsock(7)).  "systemd:NAME" and "fd:3" are sockets that this process was started with
 * (tako/inherit.h).  A socket's file that nobody listens on any more is replaced; ours is
 * removed when the server stops or is freed.  May be called many times.  [setup]
 *   TAKO_EINVAL   malformed address, or cfg; or an inherited descriptor is no socket for this transport
 *   TAKO_ENOENT   nothing of that name was inherited
 *   TAKO_EEXIST   somebody listens on that Unix or vsock address, or what has the path is no socket
 *   TAKO_ESYS     socket, bind or listen: tako_last_error() says which and why
 *   TAKO_ESTATE   started already
 *   TAKO_ETLS     the certificate, its key or the clients' signers are not usable
 *   TAKO_ENOTSUP  a setting this build or transport has no use for */
TAKO_API TAKO_CHECK int tako_server_listen(tako_server *srv, const tako_transport *t,
                                           const char *addr, const tako_listen_config *cfg);

/* Write the address of the `index`th listener, "127.0.0.1:8080", with the port that the
 * kernel chose, to buf; returns its length.  TAKO_ENOENT: no such listener; TAKO_ETOOBIG:
 * it does not fit (64 bytes always do for TCP, 128 for any).  [any] */
TAKO_API int tako_server_local_addr(const tako_server *srv, size_t index, char *buf,
                                    size_t buf_bytes);

/* Serve until stopped.  Returns 0 after a clean drain, TAKO_ETIMEDOUT after a cut one.
 * Threads: this one plus worker_count - 1.  TAKO_ESTATE: started already, or nothing to
 * listen on; TAKO_ESYS, TAKO_ENOMEM: the threads or loops could not be made.  [setup] */
TAKO_API TAKO_CHECK int tako_server_run(tako_server *srv);

/* Serve on worker_count background threads and return at once.  Errors as
 * tako_server_run(); none of its threads is left on failure.  [setup] */
TAKO_API TAKO_CHECK int tako_server_start(tako_server *srv);

/* Wait until a started server has stopped; returns as tako_server_run() does.
 * TAKO_ESTATE: not started with tako_server_start(), or waited for already, by another thread too;
 * or from a callback of this server, which would wait for itself.  [any] */
TAKO_API int tako_server_wait(tako_server *srv);

/* Stop accepting, finish what is in flight within drain_timeout_ms, make run() and wait()
 * return.  The second call cuts the drain short.  NULL is fine.  [signal] */
TAKO_API void tako_server_stop(tako_server *srv);

/* Stop, and wait at most `timeout_ms` for what is in flight; then cut it.  The return value
 * of tako_server_wait().  0: do not wait for anything in flight.  For servers of
 * tako_server_start() only, where nobody else waits for it already (who does has
 * tako_server_stop()), and not from a callback of this server: TAKO_ESTATE, and nothing is
 * done.  [any] */
TAKO_API int tako_server_shutdown(tako_server *srv, uint32_t timeout_ms);

/* Call tako_server_stop() on SIGINT and SIGTERM.  Off by default: a library does not own
 * the process's signals.  One server a process.  TAKO_ESTATE: another one has them;
 * TAKO_ESYS.  [setup] */
TAKO_API int tako_server_stop_on_signals(tako_server *srv);

/* NULL is fine; not while running: stop and wait first.  Restores what
 * tako_server_stop_on_signals() changed.  [setup] */
TAKO_API void tako_server_free(tako_server *srv);

/* All of the above with defaults: HTTP/1.1 on addr until SIGINT or SIGTERM.  A failure is
 * also printed to stderr, as this is the whole of a small main().  [setup] */
TAKO_API int tako_serve(const char *addr, tako_router *router);

/* ---- Inside a loop of your own --------------------------------------------------- */

/* A descriptor that polls readable when tako_server_step() has something to do, timers
 * included: put it into your poll, select, libuv or glib loop.  Starts the server with one
 * worker, on the thread that will call step (worker_count must be 0 or 1, TAKO_EINVAL
 * else).  Borrowed; negative TAKO_E* as tako_server_run().  [setup] */
TAKO_API TAKO_CHECK int tako_server_fd(tako_server *srv);

/* Run one turn: do what there is to do, waiting at most `timeout_ms` for it (0: not at
 * all, TAKO_OFF: as long as it takes).  1: go on; 0: the server has stopped cleanly;
 * TAKO_ETIMEDOUT: stopped after a cut drain.  TAKO_ESTATE: tako_server_fd() was not called
 * first, or this is a handler or callback of that server, which runs inside such a turn
 * already.  [setup], always from the same thread. */
TAKO_API TAKO_CHECK int tako_server_step(tako_server *srv, uint32_t timeout_ms);

/* ---- Figures ------------------------------------------------------------------------ */

/* Figures of a server since it was made; new ones are added at the end. */
typedef struct tako_stats {
	size_t size;
	const char *runtime;           /* the name of the one in use */
	uint64_t connections_accepted; /* since the start */
	uint64_t connections_open;     /* now */
	uint64_t connections_refused;  /* over max_connections_per_ip, or a raw listener's own */
	uint64_t accept_errors;
	/* Each request ends in one of the responses, or is counted as aborted without one. */
	uint64_t requests;        /* heads parsed, or refused */
	uint64_t requests_active; /* exchanges now */
	uint64_t responses_1xx;
	uint64_t responses_2xx;
	uint64_t responses_3xx;
	uint64_t responses_4xx;
	uint64_t responses_5xx;
	/* What went wrong, whoever's fault it was. */
	uint64_t aborted;  /* exchanges cut before their end */
	uint64_t timeouts; /* of any kind */
	/* As sockets carry them: heads, framing and encryption included. */
	uint64_t received_bytes;
	uint64_t sent_bytes;
	uint64_t log_dropped;       /* access log lines that found no room */
	uint64_t connections_moved; /* passed to a worker with fewer when accepted */
	const char
		*runtime_why; /* why that one: a line for a log; the server's, until it is freed */
	/* TLS handshakes; those that are under way are in none of these. */
	uint64_t tls_handshakes; /* that went through; */
	uint64_t tls_resumed;    /* … and of these, from a session ticket */
	uint64_t tls_failures;   /* that did not */
	uint64_t proxy_errors;   /* connections closed for their PROXY header, or for having none */
	/* QUIC, which HTTP/3 is on.  Its connections are among those above, its handshakes among
	 * TLS's. */
	uint64_t quic_connections;          /* begun by a client's first packet */
	uint64_t quic_handshakes;           /* that went through, */
	uint64_t quic_handshake_failures;   /* that did not */
	uint64_t quic_retries;              /* sent: prove your address (RFC 9000 section 8.1.2) */
	uint64_t quic_stateless_resets;     /* sent, to who speaks of a connection nobody knows */
	uint64_t quic_version_negotiations; /* sent */
	uint64_t quic_datagrams_received;
	uint64_t quic_datagrams_sent;
	uint64_t quic_datagrams_dropped; /* received: not QUIC, of nobody's, or no room for it */
	uint64_t quic_handed_over;       /* … and: passed to the worker that has the connection */
	uint64_t quic_packets_lost;      /* sent in vain; 0 where ngtcp2 does not tell */
	uint64_t quic_migrations;        /* connections that went on from another address */
	/* Connections that this server makes to others (tako/connect.h); they are in none of the
	 * connections_* above, but their bytes are in received_bytes and sent_bytes. */
	uint64_t outgoing_connections; /* made since the start */
	uint64_t outgoing_open;        /* now */
	uint64_t outgoing_errors;      /* that did not come to be */
	/* Raw datagrams of all listeners; of each: tako_server_udp_stats(). */
	uint64_t udp_received; /* told to their user */
	uint64_t udp_sent;     /* taken by the kernel */
	uint64_t udp_dropped;  /* not sent: the queue was full, or cut */
	uint64_t udp_failed;   /* not sent: refused by the kernel */
	uint64_t udp_lost;     /* dropped by the kernel before they were received */
	uint64_t udp_peers;    /* now */
} tako_stats;

/* Fill `out`, whose size field the caller has set.  Sums over the workers, each figure
 * exact, all of them not of the same instant.  TAKO_EINVAL: size not set.  [any] */
TAKO_API int tako_server_stats(const tako_server *srv, tako_stats *out);

/* A handler: every figure in the Prometheus text format, with counters and latency
 * histograms per route pattern: tako_get(router, "/metrics", tako_metrics, NULL).  [loop] */
TAKO_API int tako_metrics(tako_req *req, tako_res *res, void *arg);

TAKO_END

#endif /* TAKO_SERVER_H */
