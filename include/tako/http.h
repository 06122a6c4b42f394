/* SPDX-License-Identifier: MIT
 *
 * tako/http.h: one request and its response, on whatever HTTP version carried it.
 *
 * A request and its response are one exchange.  Both live until the response has
 * ended, its deferrals are done and its bodies are finished; whatever a getter
 * returned lives as long, unless it becomes a WebSocket (tako_ws_accept()).  All of it belongs to one loop: functions marked [loop] are
 * called from a handler or callback of that exchange and from nowhere else; other
 * threads reach it through a tako_deferred.
 */
#ifndef TAKO_HTTP_H
#define TAKO_HTTP_H

#include <tako/base.h>
#include <tako/router.h>

TAKO_BEGIN

/* ---- Request: the line ---------------------------------------------------- */

/* The method as received, "GET".  {NULL, 0} if the parser never got so far.  An extended CONNECT (RFC
 * 8441) is the GET with Upgrade that HTTP/1.1 has in its place.  [loop] */
TAKO_API tako_str tako_req_method(const tako_req *req);

/* The path that was matched: percent-decoded once, dot segments removed (RFC 3986
 * sections 2.1 and 5.2.4), without the query.  An encoded slash stays "%2F", since it
 * separates nothing.  "*" for OPTIONS *, "" for CONNECT.  [loop] */
TAKO_API tako_str tako_req_path(const tako_req *req);

/* The path exactly as received, still encoded.  [loop] */
TAKO_API tako_str tako_req_raw_path(const tako_req *req);

/* The whole request-target as received (RFC 9112 section 3.2).  [loop] */
TAKO_API tako_str tako_req_target(const tako_req *req);

/* The query as received, without "?"; {NULL, 0} if there is no "?".  [loop] */
TAKO_API tako_str tako_req_query(const tako_req *req);

/* The host asked for, with its port if one was given: the authority of an absolute
 * target, else the Host field (RFC 9112 section 3.3).  [loop] */
TAKO_API tako_str tako_req_host(const tako_req *req);

/* 10, 11, 20 or 30; 0 if the parser never got so far.  [loop] */
TAKO_API int tako_req_version(const tako_req *req);

/* The pattern of the route that answers, "/users/{id}"; {NULL, 0} when none matched.
 * A small, bounded set: fit for labels of metrics.  [loop] */
TAKO_API tako_str tako_req_pattern(const tako_req *req);

/* ---- Request: fields -------------------------------------------------------- */

/* The value of the first field of that name (no matter the case), without the white
 * space around it; {NULL, 0} if absent.  [loop] */
TAKO_API tako_str tako_req_header(const tako_req *req, const char *name);

/* All values of that name, joined by ", " as RFC 9110 section 5.3 allows; {NULL, 0} if
 * absent or without memory.  Not for Cookie and Set-Cookie.  [loop] */
TAKO_API tako_str tako_req_header_all(tako_req *req, const char *name);

/* The fields in the order they came.  `i` past the end gives false.  [loop] */
TAKO_API bool tako_req_header_at(const tako_req *req, size_t i, tako_str *name, tako_str *value);

/* A trailer field; absent until the body has ended.  [loop] */
TAKO_API tako_str tako_req_trailer(const tako_req *req, const char *name);

/* The trailer fields in the order they came, those that must not be in a trailer left out
 * (RFC 9110 section 6.5.1).  `i` past the end gives false.  [loop] */
TAKO_API bool tako_req_trailer_at(const tako_req *req, size_t i, tako_str *name, tako_str *value);

/* The value of a cookie, without quotes (RFC 6265 section 5.4); {NULL, 0} if
 * absent.  [loop] */
TAKO_API tako_str tako_req_cookie(const tako_req *req, const char *name);

/* ---- Request: parameters ----------------------------------------------------- */

/* What a "{name}" of the pattern matched, percent-decoded; {NULL, 0} if the pattern has
 * none of that name.  A decoded value may hold any byte but NUL, also "/".  [loop] */
TAKO_API tako_str tako_req_param(const tako_req *req, const char *name);

/* The same, as a decimal.  TAKO_EINVAL if absent, malformed or out of range; *out is
 * then unchanged.  [loop] */
TAKO_API TAKO_CHECK int tako_req_param_u64(const tako_req *req, const char *name, uint64_t *out);
TAKO_API TAKO_CHECK int tako_req_param_i64(const tako_req *req, const char *name, int64_t *out);

/* The first value of a name in the query, form-decoded ("+" is a space); {NULL, 0} if
 * absent, malformed or without memory.  [loop] */
TAKO_API tako_str tako_req_query_value(tako_req *req, const char *name);

/* Name and value are decoded, in the exchange's memory, and live as long as it does.  Return 0
 * for the next pair.  [loop] */
typedef int (*tako_pair_fn)(tako_str name, tako_str value, void *arg);
/* Call `fn` for each pair of the query, in order; a non-zero return ends the walk and is
 * returned.  TAKO_ENOMEM, TAKO_EINVAL (malformed escape).  [loop] */
TAKO_API int tako_req_query_each(tako_req *req, tako_pair_fn fn, void *arg);

/* ---- Request: where it came from ------------------------------------------------ */

/* The certificate that a TLS client has proved to own, and whose signer is one of the
 * listener's client_ca.  Borrowed, as long as the exchange lives. */
typedef struct tako_peer_cert {
	size_t size;
	const char *subject;      /* "/C=JP/O=Example/CN=alice" */
	const char *issuer;       /* the same of who signed it */
	const char *sha256;       /* of the DER form, in hexadecimal */
	const char *serial;       /* in hexadecimal */
	const char *const *names; /* "DNS:a.example", "email:a@b.example", "URI:…", "IP:192.0.2.1";
				   * NULL ends them */
	tako_str der;
	int64_t not_before_s; /* since the epoch */
	int64_t not_after_s;
} tako_peer_cert;

/* Facts of the connection.  Borrowed, as long as the exchange lives. */
typedef struct tako_conn_info {
	size_t size;
	const char *peer;       /* "192.0.2.1:4711", "[2001:db8::1]:4711", "unix:", "vsock:3:80" */
	const char *local;      /* the address the connection came in on */
	const char *transport;  /* "http/1.1", "h2", "h3" */
	const char *tls;        /* "TLSv1.3"; NULL without TLS */
	uint64_t id;            /* unique in the process */
	uint64_t request_count; /* on this connection so far, this one included */
	const char *cipher;     /* "TLS13-AES128-GCM-SHA256"; this and the rest: NULL without TLS */
	const char *alpn;       /* agreed on; NULL if the client did not ask */
	const char *server_name;         /* that the client asked for; NULL if it named none */
	const tako_peer_cert *peer_cert; /* NULL: none was asked for, or sent */
	uint64_t resumed;                /* 1: the session is an earlier one's */
	const char
		*via; /* who connected to us, where a PROXY header (tako/proxy.h) has named `peer`
			  * and `local`; NULL: peer did */
	/* Of the process that connected by a Unix socket, as it was then (SO_PEERCRED, unix(7)); `via`
	 * where there is one. */
	uint32_t has_peer_cred; /* 1: these three are known */
	int32_t peer_pid;       /* 0: one of another PID namespace */
	uint32_t peer_uid;
	uint32_t peer_gid;
	uint64_t rtt_us; /* a round trip to whoever connected, smoothed; 0: not known */
} tako_conn_info;

/* Fill `out`, whose size field the caller has set.  TAKO_EINVAL: size not set;
 * TAKO_ENOMEM.  [loop] */
TAKO_API int tako_req_conn_info(tako_req *req, tako_conn_info *out);

/* ---- Request: memory and state -------------------------------------------------- */

/* Zeroed memory, aligned for anything, that is freed with the exchange; NULL without
 * memory.  [loop] */
TAKO_API void *tako_req_alloc(tako_req *req, size_t bytes);

/* Hang a value on the exchange, for middleware and handler to share.  `key` is an address
 * of yours, compared as such.  Replaces.  TAKO_ENOMEM.  [loop] */
TAKO_API int tako_req_set(tako_req *req, const void *key, void *value);
/* What was set, or NULL.  [loop] */
TAKO_API void *tako_req_get(const tako_req *req, const void *key);

/* The request id: set by tako_request_id(), else {NULL, 0}.  [loop] */
TAKO_API tako_str tako_req_id(const tako_req *req);

/* Middleware, for tako_before(router, TAKO_PHASE_EARLY, tako_request_id, NULL): takes
 * over X-Request-Id when it is 1 to 256 printable bytes, else makes a random UUID, and
 * puts it on the response.  `arg`: another field name, as const char *.  [loop] */
TAKO_API int tako_request_id(tako_req *req, tako_res *res, void *arg);

/* ---- Request: body -------------------------------------------------------------- */

/* The length announced; TAKO_OFF64 when it is not known before the end; 0 without a
 * body.  [loop] */
TAKO_API uint64_t tako_req_content_length(const tako_req *req);

/* Handlers run when the head is complete; the body is asked for, once, before the
 * handler returns or while the exchange is deferred.
 * on_body delivers it as it arrives; whole_body collects it, up to the body limit (then
 * 413), and calls once.  `data` is borrowed for the call (for whole_body: lives as the
 * exchange does); `end` is true exactly once, on the last call, whose data may be
 * empty.  Return 0 to go on or a negative code to stop and be answered for.  When the
 * body breaks off -- peer gone, timeout, malformed, too big -- fn is not called again:
 * see tako_res_on_end().  Reading pauses by itself while `res` has more than
 * write_high_bytes unsent.  A body nobody asks for is discarded.  "100 Continue" is sent
 * when the client expects it and the body is asked for.
 * TAKO_ESTATE: asked for already; TAKO_ETOOBIG: announced longer than the limit (return
 * it, and 413 is answered).  [loop] */
typedef int (*tako_body_fn)(tako_req *req, tako_res *res, tako_str data, bool end, void *arg);
TAKO_API int tako_req_whole_body(tako_req *req, tako_body_fn fn, void *arg);
TAKO_API int tako_req_on_body(tako_req *req, tako_body_fn fn, void *arg);

/* Hold the body back, and let it flow again: the peer is slowed down through the
 * transport's own flow control.  [loop] */
TAKO_API void tako_req_pause(tako_req *req);
TAKO_API void tako_req_resume(tako_req *req);

/* A parsed form, as long as its exchange lives. */
typedef struct tako_form tako_form;
/* Returns as a handler does.  [loop] */
typedef int (*tako_form_fn)(tako_req *req, tako_res *res, const tako_form *form, void *arg);
/* Collect an application/x-www-form-urlencoded body and call `fn` once with it parsed;
 * any other content type: TAKO_EINVAL.  Values by tako_form_value(), borrowed as long as
 * the exchange lives.  Errors as tako_req_whole_body().  [loop] */
TAKO_API int tako_req_form(tako_req *req, tako_form_fn fn, void *arg);
/* The first value of that name; {NULL, 0} if absent.  [loop] */
TAKO_API tako_str tako_form_value(const tako_form *form, const char *name);
/* Every pair in order, as tako_req_query_each().  [loop] */
TAKO_API int tako_form_each(const tako_form *form, tako_pair_fn fn, void *arg);

/* One part of a multipart/form-data body (RFC 7578).  Borrowed for the callback. */
typedef struct tako_part {
	size_t size;
	tako_str name;
	tako_str filename; /* as sent: never a path to open as it is; {NULL, 0} if absent */
	tako_str type;     /* of the content; {NULL, 0} if absent */
} tako_part;

/* What to do with a multipart body as it streams in. */
typedef struct tako_multipart_config {
	size_t size;
	/* A part begins.  A negative return stops the body, as in tako_body_fn. */
	int (*on_part)(tako_req *req, const tako_part *part, void *arg);
	/* Bytes of the part that began last; `end`: it is complete. */
	int (*on_data)(tako_req *req, tako_str data, bool end, void *arg);
	/* All parts are there: answer now. */
	int (*on_done)(tako_req *req, tako_res *res, void *arg);
	uint64_t max_part_bytes;      /* 0: 1 MiB; TAKO_OFF64: none */
	uint32_t max_part_count;      /* 0: 100 */
	uint32_t max_part_head_bytes; /* 0: 8 KiB */
} tako_multipart_config;
#define TAKO_MULTIPART_CONFIG(...)                                                                 \
	(&(tako_multipart_config){.size = sizeof(tako_multipart_config), __VA_ARGS__})

/* Ask for the body as multipart/form-data.  TAKO_EINVAL: another content type, or no
 * usable boundary; else as tako_req_on_body().  A malformed body is answered 400, one over
 * a limit 413.  [loop] */
TAKO_API int tako_req_multipart(tako_req *req, const tako_multipart_config *cfg, void *arg);

/* ---- Response: head --------------------------------------------------------------- */

/* Set the status, 200 to 599; 200 if never set.  TAKO_ESTATE once the head is sent,
 * TAKO_EINVAL out of range.  [loop] */
TAKO_API int tako_res_status(tako_res *res, int status);
/* The status set or sent.  [loop] */
TAKO_API int tako_res_get_status(const tako_res *res);

/* Add a field before the first body byte.  Name and value are copied, the value without the white
 * space around it.  TAKO_EINVAL: not a token, or control characters in the value, or a field that
 * tako itself frames with (Connection, Transfer-Encoding, Content-Length other than by the calls
 * below); TAKO_ETOOBIG: over 64 fields; TAKO_ESTATE: head sent; TAKO_ENOMEM.  [loop] */
TAKO_API int tako_res_header(tako_res *res, const char *name, const char *value);
TAKO_API int tako_res_header_str(tako_res *res, tako_str name, tako_str value);
/* The same, in place of all fields of that name; value NULL removes them.  [loop] */
TAKO_API int tako_res_set_header(tako_res *res, const char *name, const char *value);
/* The first field of that name set so far; {NULL, 0} if none.  [loop] */
TAKO_API tako_str tako_res_get_header(const tako_res *res, const char *name);

/* A cookie to set (RFC 6265 section 4.1).  Zero fields are left out, but cookies are
 * HttpOnly and SameSite=Lax unless said otherwise. */
typedef struct tako_cookie {
	size_t size;
	const char *name;
	const char *value;
	const char *path;         /* NULL: "/" */
	const char *domain;       /* NULL: this host only */
	const char *same_site;    /* NULL: "Lax"; "Strict"; "None" (needs secure) */
	int64_t max_age_s;        /* 0: a session cookie; negative: delete it now */
	uint32_t secure;          /* 1: over TLS only */
	uint32_t script_readable; /* 1: without HttpOnly */
} tako_cookie;
#define TAKO_COOKIE(...) (&(tako_cookie){.size = sizeof(tako_cookie), __VA_ARGS__})
/* Add Set-Cookie.  Errors as tako_res_header(); TAKO_EINVAL also for a name, value or
 * attribute that the grammar does not allow.  [loop] */
TAKO_API int tako_res_cookie(tako_res *res, const tako_cookie *cookie);

/* Send an interim response (RFC 9110 section 15.2): 102 or 103 with the fields set so far,
 * which are kept for the final one too.  TAKO_EINVAL: another status; TAKO_ESTATE: head
 * sent; ignored for HTTP/1.0, which has none.  [loop] */
TAKO_API int tako_res_inform(tako_res *res, int status);

/* ---- Response: whole ------------------------------------------------------------- */

/* Answer whole: status, type (NULL: no Content-Type), body (copied).  The one-liner of
 * most handlers.  TAKO_ESTATE: answered already; TAKO_ECLOSED; TAKO_ENOMEM; TAKO_EINVAL: a status
 * out of range, or control characters in the type.  [loop] */
TAKO_API int tako_res_send(tako_res *res, int status, const char *type, tako_str body);
/* The same as text/plain; charset=utf-8, from a format.  [loop] */
TAKO_API int tako_res_text(tako_res *res, int status, const char *fmt, ...) TAKO_PRINTF(3, 4);
/* The same with a body that stays yours, unchanged, until done(arg) runs, which it does
 * exactly once, also on failure.  `done` may be NULL for bytes that never die.  [loop] */
TAKO_API int tako_res_send_ref(tako_res *res, int status, const char *type, tako_str body,
                               void (*done)(void *arg), void *arg);
/* Redirect: 301, 302, 303, 307 or 308 and a Location.  TAKO_EINVAL: another status, or
 * control characters in `location`.  [loop] */
TAKO_API int tako_res_redirect(tako_res *res, int status, const char *location);
/* Answer with a range of an open regular file: the status and fields set so far, no copy
 * through user space where the transport allows.  Takes over `fd`, which is closed exactly
 * once, also on failure.  Errors as tako_res_send(); TAKO_EINVAL: a negative `fd`.  A file that ends
 * before that range does cuts the connection; over HTTP/2, where it can, and HTTP/3 only its
 * stream.  [loop] */
TAKO_API int tako_res_send_fd(tako_res *res, int fd, uint64_t offset_bytes, uint64_t length_bytes);
/* Let tako answer `status` for you, through the error handlers; once the head is sent,
 * cut the response off instead, so that the peer sees it incomplete.  [loop] */
TAKO_API int tako_res_error(tako_res *res, int status);
/* The same from a TAKO_E* code, as if the handler had returned it.  [loop] */
TAKO_API int tako_res_fail(tako_res *res, int err);

/* ---- Response: in pieces ---------------------------------------------------------- */

/* Announce the length of a body written in pieces; else HTTP/1.1 sends it chunked.  More
 * bytes than announced are TAKO_EINVAL, fewer cut the connection.  TAKO_ESTATE: head
 * sent, or about to be, in tako_after().  [loop] */
TAKO_API int tako_res_length(tako_res *res, uint64_t length_bytes);

/* Answer in pieces.  The first write sends the head.  `data` is copied unless `done` is
 * given; then it stays yours, unchanged, until done(arg) runs, which it does exactly once,
 * also on failure.  Returns the bytes now queued; past write_high_bytes wait for
 * tako_res_on_drain().  What is written leaves at the end of the loop's turn at the latest.
 * TAKO_ECLOSED once the peer is gone; TAKO_ESTATE: ended already; TAKO_ENOMEM.  [loop] */
TAKO_API int64_t tako_res_write(tako_res *res, tako_str data, void (*done)(void *arg), void *arg);
/* Add a trailer field, sent after a body written in pieces (RFC 9110 section 6.5; dropped
 * for HTTP/1.0 and for announced lengths, as those cannot carry one).  Errors as
 * tako_res_header(); TAKO_ESTATE: ended.  [loop] */
TAKO_API int tako_res_trailer(tako_res *res, const char *name, const char *value);
TAKO_API int tako_res_trailer_str(tako_res *res, tako_str name, tako_str value);
/* End the response.  Required once after tako_res_write(); without any write it sends an
 * empty body.  [loop] */
TAKO_API int tako_res_end(tako_res *res);
/* A callback about a response: which event, the function that takes it says.  [loop] */
typedef void (*tako_res_fn)(tako_res *res, void *arg);
/* Call `fn` once, from the loop, when less than half of write_high_bytes is unsent; set it
 * anew for each time.  Never called from inside this call.  [loop] */
TAKO_API int tako_res_on_drain(tako_res *res, tako_res_fn fn, void *arg);
/* Bytes accepted by tako_res_write() that the transport has not taken yet.  [loop] */
TAKO_API uint64_t tako_res_unsent(const tako_res *res);

/* ---- The end of an exchange --------------------------------------------------------- */

/* The peer can no longer be reached; every write gives TAKO_ECLOSED.  [loop] */
TAKO_API bool tako_res_closed(const tako_res *res);
/* Call `fn` once if the peer leaves before the response has ended: it reset the
 * connection or stream, or closed its side (an answer can then still be tried).  [loop] */
TAKO_API int tako_res_on_abort(tako_res *res, tako_res_fn fn, void *arg);
/* Call `fn` exactly once when the exchange is over, with 0 if the whole response was handed
 * to the transport, else the TAKO_E* that cut it.  The last call for this exchange: free
 * what you kept for it.  [loop] */
typedef void (*tako_end_fn)(tako_req *req, int err, void *arg);
TAKO_API int tako_res_on_end(tako_res *res, tako_end_fn fn, void *arg);

/* ---- Later, and from other threads ---------------------------------------------------- */

/* A hold on an exchange.  It may be given to one other thread at a time, or shared with a lock
 * of yours around tako_deferred_done(): nothing may use it after that. */
typedef struct tako_deferred tako_deferred;
/* Keep the exchange after the handler returns.  The handle is [any]-safe until
 * tako_deferred_done(), which every deferral must end in, even if the peer left
 * meanwhile.  NULL without memory or after the end.  [loop] */
TAKO_API TAKO_CHECK tako_deferred *tako_res_defer(tako_res *res);
/* Run fn(res, arg) on the exchange's loop, in the order of the calls, also when the peer
 * has left (then tako_res_closed()).  TAKO_ENOMEM: it will not run.  [any] */
TAKO_API int tako_deferred_post(tako_deferred *d, tako_res_fn fn, void *arg);
/* Give the handle back, after what was posted has run.  An exchange with no deferral left
 * and no answer is answered 500.  [any] */
TAKO_API void tako_deferred_done(tako_deferred *d);

/* Run fn(res, arg) on this loop after `delay_ms`, keeping the exchange until then; at once
 * if the peer leaves earlier (tako_res_closed()).  Exactly once.  TAKO_ENOMEM; TAKO_ESTATE: the
 * exchange is over.  [loop] */
TAKO_API int tako_res_after(tako_res *res, uint32_t delay_ms, tako_res_fn fn, void *arg);

/* Run work(arg) on a thread of the server's pool, where it may block, then fn(res, arg) on
 * the loop.  TAKO_EBUSY: the pool's queue is full (return it, and 503 is answered);
 * TAKO_ENOMEM; TAKO_ESTATE: the exchange is over.  [loop] */
TAKO_API int tako_offload(tako_res *res, void (*work)(void *arg), tako_res_fn fn, void *arg);

/* ---- Files ------------------------------------------------------------------------------ */

/* Knobs of tako_static_with(). */
typedef struct tako_static_config {
	size_t size;
	const char *index;         /* NULL: "index.html"; "": none */
	const char *cache_control; /* NULL: no Cache-Control field */
	const char *fallback;      /* file for paths that do not exist, "index.html"; NULL: 404 */
	uint32_t dotfiles;         /* 1: serve names that begin with a dot */
	uint32_t no_precompressed; /* 1: do not look for .br and .gz beside a file */
	uint32_t max_range_count;  /* 0: 16, at most 64; a request for more gets the whole file;
				    * TAKO_OFF: ranges are not served */
	uint32_t reserved;         /* must be 0 */
} tako_static_config;
#define TAKO_STATIC_CONFIG(...)                                                                    \
	(&(tako_static_config){.size = sizeof(tako_static_config), __VA_ARGS__})

/* Serve the files below directory `dir` at `prefix`/...: GET and HEAD, types by extension,
 * ETag and Last-Modified, conditional requests in the order of RFC 9110 section 13.2.2,
 * ranges (also several, and If-Range), an index file, .br and .gz beside a file where the
 * client takes them (unless it is more than two seconds older than the file).  `prefix` without
 * its slash is redirected there, unless it has a route of its own.
 * Nothing outside `dir` is ever opened, symbolic links included, and names that begin with a
 * dot are not found.  Links that stay inside are followed, under their own names; where the
 * kernel or a sandbox has no openat2(2), none are.  ETags are strong and those of one machine:
 * replace files by renaming, as what is overwritten while it is sent arrives mixed.
 * `dir` is opened now and stays the same directory, whatever becomes of its name: a failure
 * sticks to the router.  `cfg` and its strings are copied; NULL takes every default.  [setup]
 *   TAKO_ESYS    `dir` cannot be opened
 *   TAKO_EINVAL  no prefix or dir; an index or fallback that leads out of it; control characters
 *                in cache_control; max_range_count out of range
 *   TAKO_ENOTSUP cfg->size is larger than this library's and a field it does not know is set
 *   TAKO_ENOMEM; and those of tako_route() */
TAKO_API void tako_static(tako_router *router, const char *prefix, const char *dir);
TAKO_API void tako_static_with(tako_router *router, const char *prefix, const char *dir,
                               const tako_static_config *cfg);

TAKO_END

#endif /* TAKO_HTTP_H */
