/* SPDX-License-Identifier: MIT
 *
 * tako/client.h: requests that a server makes of others, on the loops it has: for proxies, webhooks, and
 * handlers that need an answer from somewhere else.
 *
 * A client is settings; what it keeps is on each worker: connections by origin (RFC 9110 section 4.3.1),
 * which nothing shares.  A request and its response together are a fetch.  One that a handler starts runs on
 * the handler's worker, keeps the handler's exchange until its end, and its callbacks may answer:
 *
 *	static int done(tako_fetch *f, int err, void *arg)
 *	{
 *		(void)arg;
 *		if (err < 0)
 *			return tako_res_error(tako_fetch_res(f), 502);
 *		return tako_res_send(tako_fetch_res(f), 200, "text/plain", tako_fetch_body(f));
 *	}
 *	static int handler(tako_req *req, tako_res *res, void *client)
 *	{
 *		(void)req;
 *		return tako_fetch_start(NULL, client, res,
 *		                        TAKO_FETCH(.url = "http://127.0.0.1:8081/", .on_end = done));
 *	}
 *
 * No callback ever runs inside a call of this header.  docs/client.md has more examples.
 */
#ifndef TAKO_CLIENT_H
#define TAKO_CLIENT_H

#include <tako/base.h>
#include <tako/connect.h>
#include <tako/http.h>
#include <tako/server.h>

TAKO_BEGIN

/* ---- Clients ---------------------------------------------------------------------- */

/* Settings, and the pools of connections that workers have by them. */
typedef struct tako_client tako_client;

/* A version of HTTP beside HTTP/1.1.  By a pointer, so that a program that does not want it is not linked with the
 * library for it. */
typedef struct tako_http_version tako_http_version;
/* HTTP/2 (RFC 9113), for tako_client_config.http2; lives for ever.  [any] */
TAKO_API const tako_http_version *tako_client_http2(void);

/* Limits are each worker's own.  Copied. */
typedef struct tako_client_config {
	size_t size;
	const char *user_agent; /* NULL: "tako"; "": none.  For requests that have no User-Agent */
	uint64_t write_high_bytes;           /* 0: 256 KiB; see tako_fetch_write() */
	uint32_t max_connections;            /* 0: 256; to all origins, TAKO_OFF is not possible */
	uint32_t max_connections_per_origin; /* 0: 32 */
	uint32_t max_idle_per_origin;        /* 0: 8; TAKO_OFF: none are kept */
	uint32_t
		max_queue_count; /* 0: 1024 fetches that wait for a connection; TAKO_OFF: none may */
	uint32_t
		keepalive_timeout_ms; /* 0: 30000; how long a connection is kept without a request */
	/* From the start to a connection, waiting for one of max_connections included. */
	uint32_t connect_timeout_ms; /* 0: 10000 */
	/* From the request's last byte to the head of its response. */
	uint32_t head_timeout_ms; /* 0: 30000 */
	/* Without a byte, while the peer is to send some or to take some. */
	uint32_t idle_timeout_ms;  /* 0: 30000 */
	uint32_t total_timeout_ms; /* 0: 120000; from start to end; TAKO_OFF: none */
	/* For "100 Continue", after which a body is sent without (RFC 9110 section 10.1.1). */
	uint32_t continue_timeout_ms; /* 0: 1000 */
	uint32_t max_header_bytes;    /* 0: 32 KiB; of a response */
	uint32_t max_header_count;    /* 0: 100 */
	/* How often a request is sent anew that is idempotent (RFC 9110 section 9.2.2), after a connection
	 * that was there before it has ended without a byte of a response; and over HTTP/2 any that was
	 * refused.  One that a server has left out which leaves (RFC 9113 section 6.8) is besides sent anew up
	 * to 16 times.  0: 2; TAKO_OFF: never, neither. */
	uint32_t max_retry_count;
	uint32_t reserved; /* must be 0 */
	/* For https: whom to believe (tako/connect.h).  Gets another reference; its alpn is not asked, as what
	 * the client speaks is offered.  NULL: https is refused. */
	tako_tls_client *tls;
	/* tako_client_http2(): HTTP/2 too, for as many requests at a time on one connection.  Over TLS it is
	 * offered before HTTP/1.1, and the server chooses.  NULL: HTTP/1.1 only. */
	const tako_http_version *http2;
	/* 1: http:// is HTTP/2 from its first byte (RFC 9113 section 3.3), for servers that are known to speak
	 * it.  0: HTTP/1.1. */
	uint32_t http2_prior_knowledge;
	/* 0: 100; requests on one connection, of which the server may allow less.  Another one is made when
	 * those that there are have no room. */
	uint32_t http2_max_stream_count;
	/* What a response may have sent that its fetch, paused, has not taken; and all of a connection's
	 * together, of what is not yet looked at. */
	uint32_t http2_stream_window_bytes;     /* 0: 256 KiB, to 1 GiB; at least 1024 */
	uint32_t http2_connection_window_bytes; /* 0: 1 MiB, to 1 GiB; at least 65535 */
} tako_client_config;
#define TAKO_CLIENT_CONFIG(...)                                                                    \
	(&(tako_client_config){.size = sizeof(tako_client_config), __VA_ARGS__})

/* Make a client for any number of servers; NULL takes every default.  *ret is set on success only.
 * TAKO_EINVAL, TAKO_ENOTSUP (a field that this library does not know), TAKO_ENOMEM.  [any] */
TAKO_API int tako_client_new(tako_client **ret, const tako_client_config *cfg);
/* Give it up: nothing may be started by it any more.  What servers have of it lives as long as they need it.
 * NULL is fine.  [any] */
TAKO_API void tako_client_free(tako_client *client);

/* ---- Fetches ------------------------------------------------------------------------ */

/* One request and its response.  Valid until its on_end() has returned; all of it [loop]: from its own
 * callbacks, or from another one's of the same worker. */
typedef struct tako_fetch tako_fetch;

typedef struct tako_fetch_field {
	tako_str name;
	tako_str value;
} tako_fetch_field;

/* What to ask for, and what becomes of the answer.  Everything but `arg` is copied, strings, fields and body
 * too. */
typedef struct tako_fetch_config {
	size_t size;
	const char *method; /* NULL: "GET", or "POST" with a body; not CONNECT */
	const char *url;    /* "https://host:port/path?query", or http; a fragment is left out */
	/* Where to connect instead of to the URL's host: "192.0.2.1:80", "[::1]:80", "unix:/path",
	 * "unix:@name".  NULL: there. */
	const char *connect;
	const tako_fetch_field
		*fields;      /* field_count of them; framing and Host are the client's own */
	uint64_t field_count; /* at most 100 */
	tako_str body;        /* {NULL, 0}: none, or a `stream` */
	/* With `stream`: the length of the body; TAKO_OFF64: not known, it is sent chunked. */
	uint64_t stream_bytes;
	/* A longer one ends in TAKO_ETOOBIG.  0: 8 MiB, with on_data() none; TAKO_OFF64: none. */
	uint64_t max_body_bytes;
	/* An interim response (RFC 9110 section 15.2) has come, whose status and fields the getters give for
	 * the length of the call.  NULL: of no interest. */
	int (*on_inform)(tako_fetch *f, void *arg);
	/* Status and fields of the response are there.  NULL: they are read in on_end(). */
	int (*on_head)(tako_fetch *f, void *arg);
	/* Bytes of its body, borrowed for the call.  NULL: they are collected for tako_fetch_body().
	 * A negative code from these three ends the fetch, with that code. */
	int (*on_data)(tako_fetch *f, tako_str data, void *arg);
	/* After write_high_bytes were unsent: less than half of it is now. */
	void (*on_writable)(tako_fetch *f, void *arg);
	/* The end, exactly once for each success of tako_fetch_start(): the last call for this fetch, which
	 * is freed when it returns.  What it returns becomes of its exchange as what a handler returns, and
	 * of nothing without one.  `err`: 0, the response is complete; or
	 *   TAKO_ESYS, TAKO_ENOENT  no connection: refused, no such host
	 *   TAKO_ETLS       … whose certificate is believed
	 *   TAKO_ECLOSED    the peer has closed before the response was complete; the fetch was
	 *                   cancelled; the server has stopped
	 *   TAKO_ETIMEDOUT  one of the timeouts
	 *   TAKO_EPROTO     what came is no HTTP response, or not one that may be
	 *   TAKO_ETOOBIG    over a limit
	 *   TAKO_EBUSY      max_outgoing_connections of the server
	 *   TAKO_ENOMEM     or what a callback has returned; tako_fetch_why() is a sentence about it */
	int (*on_end)(tako_fetch *f, int err, void *arg);
	void *arg;
	uint32_t stream; /* 1: the body comes by tako_fetch_write() and tako_fetch_finish() */
	/* 1: ask with "Expect: 100-continue" before the body is sent (RFC 9110 section 10.1.1). */
	uint32_t expect_continue;
	uint32_t no_retry;         /* 1: never send it twice */
	uint32_t total_timeout_ms; /* 0: the client's; TAKO_OFF: none */
	/* How many redirects are followed (RFC 9110 section 15.4), at most 20.  0: none.  One that is not, for
	 * whatever reason, is a response like any other, and tako_fetch_why() says why. */
	uint32_t max_redirects;
	uint32_t redirect_to_http; /* 1: they may lead from https to http */
} tako_fetch_config;
#define TAKO_FETCH(...) (&(tako_fetch_config){.size = sizeof(tako_fetch_config), __VA_ARGS__})

/* Start a fetch for the exchange of `res`, which stays at least until on_end() has returned, also when its
 * peer has left (tako_res_closed()); on its worker.  *ret (NULL: not wanted) is set on success only.  Every
 * error means that on_end() is not called.  [loop]
 *   TAKO_EINVAL   a URL, method, field or setting that is not allowed: tako_last_error() says which
 *   TAKO_ENOTSUP  https without tako_client_config.tls; CONNECT; a setting that this library does not know
 *   TAKO_EBUSY    max_queue_count fetches wait already, or max_outgoing_connections are made
 *   TAKO_ESTATE   the exchange is over
 *   TAKO_ECLOSED  the server has stopped
 *   TAKO_ENOMEM */
TAKO_API int tako_fetch_start(tako_fetch **ret, tako_client *client, tako_res *res,
                              const tako_fetch_config *cfg);

/* Start a fetch without an exchange, on one of the workers of `srv`, one after the other; also before the server
 * has started, which is when it begins.  From then on its callbacks, and what they call, are as those of any
 * other.  A server that stops waits for it as for a request; one that has stopped ends it with
 * TAKO_ECLOSED, at the latest from tako_server_free(); from what that calls nothing can be posted any more
 * (TAKO_ECLOSED).  Errors as above.  [any] */
TAKO_API int tako_fetch_post(tako_client *client, tako_server *srv, const tako_fetch_config *cfg);

/* Give it up: nothing but on_end() is called any more, with TAKO_ECLOSED and after this call.  What was sent
 * may have been acted on.  May be repeated.  [loop] */
TAKO_API void tako_fetch_cancel(tako_fetch *f);

/* The response that was handed to tako_fetch_start(); NULL: there was none.  [loop] */
TAKO_API tako_res *tako_fetch_res(const tako_fetch *f);

/* ---- The request's body --------------------------------------------------------------- */

/* Send bytes of a `stream`: copied.  They may come before there is a connection, and wait for it.  Returns how
 * many are unsent: with write_high_bytes or more, write nothing until on_writable().  [loop]
 *   TAKO_EINVAL   more than stream_bytes
 *   TAKO_EBUSY    more than four times write_high_bytes would be unsent, and more than 1 MiB beyond that: nothing
 *                 of it was taken
 *   TAKO_ESTATE   no stream, or finished already
 *   TAKO_ECLOSED  the fetch is about to end
 *   TAKO_ENOMEM   likewise */
TAKO_API int64_t tako_fetch_write(tako_fetch *f, tako_str data);
/* The body is complete.  TAKO_EINVAL: less than stream_bytes; TAKO_ESTATE, TAKO_ECLOSED, TAKO_ENOMEM: as
 * above.  [loop] */
TAKO_API int tako_fetch_finish(tako_fetch *f);
/* Bytes that were written and not taken by the kernel yet; over HTTP/2 those that its connection has not.  [loop] */
TAKO_API uint64_t tako_fetch_unsent(const tako_fetch *f);

/* ---- The response ------------------------------------------------------------------------ */

/* Its status; 0: no response has come.  [loop] */
TAKO_API int tako_fetch_status(const tako_fetch *f);
/* 10, 11 or 20; 0: no response has come.  [loop] */
TAKO_API int tako_fetch_version(const tako_fetch *f);
/* The first field of that name (no matter the case), without the white space around it; {NULL, 0} if absent.
 * Lives as long as the fetch.  [loop] */
TAKO_API tako_str tako_fetch_header(const tako_fetch *f, const char *name);
/* The fields in the order they came.  `i` past the end gives false.  [loop] */
TAKO_API bool tako_fetch_header_at(const tako_fetch *f, size_t i, tako_str *name, tako_str *value);
/* A trailer field, in on_end().  Those that must not be in a trailer are left out (RFC 9110 section
 * 6.5.1).  [loop] */
TAKO_API tako_str tako_fetch_trailer(const tako_fetch *f, const char *name);
/* What Content-Length has announced; TAKO_OFF64: nothing.  [loop] */
TAKO_API uint64_t tako_fetch_content_length(const tako_fetch *f);
/* The URL whose response this is, after redirects; {NULL, 0}: there was none, it is that of tako_fetch_config.url.  Lives
 * as long as the fetch.  [loop] */
TAKO_API tako_str tako_fetch_redirected(const tako_fetch *f);
/* The body, collected, in on_end(); {NULL, 0} with on_data().  After an error, what there is of it.  [loop] */
TAKO_API tako_str tako_fetch_body(const tako_fetch *f);
/* Hold its body back, and let it flow again: the peer is slowed down by the flow control of TCP or of HTTP/2, where
 * other fetches of the same connection go on.  [loop] */
TAKO_API void tako_fetch_pause(tako_fetch *f);
TAKO_API void tako_fetch_resume(tako_fetch *f);
/* In on_end(), after an error or a redirect that was not followed: a sentence.  "" without one.  [loop] */
TAKO_API const char *tako_fetch_why(const tako_fetch *f);

TAKO_END

#endif /* TAKO_CLIENT_H */
