/* SPDX-License-Identifier: MIT
 *
 * tako/forwarded.h: who the client is behind proxies that speak HTTP: Forwarded (RFC 7239), the
 * X-Forwarded-* fields that were there before it, and fields with one address, as X-Real-IP.
 *
 * Anybody may send them.  What a listener believes begins at whoever connected (the client of a PROXY
 * header, where there was one: tako/proxy.h) and goes from the end of the list to its beginning, one
 * element for each address of tako_listen_config.forwarded_trusted, and no further: what an address that
 * is not trusted has written is never looked at.  Costs nothing until it is asked for.
 */
#ifndef TAKO_FORWARDED_H
#define TAKO_FORWARDED_H

#include <tako/base.h>
#include <tako/http.h>

TAKO_BEGIN

/* tako_listen_config.forwarded: the one field, or family of them, that is looked at.  Proxies pass on
 * what they do not know: two of them at once would be the client's choice. */
enum {
	TAKO_FORWARDED_OFF = 0,
	TAKO_FORWARDED_STANDARD = 1, /* Forwarded, its parameters for, by, host and proto */
	TAKO_FORWARDED_X = 2,        /* X-Forwarded-For; -Proto and -Host beside it */
	TAKO_FORWARDED_NAMED = 3 /* forwarded_name, which must be there once, with one address */
};

/* tako_client_info.why: what ended the walk. */
enum {
	TAKO_CLIENT_FOUND = 0,   /* `addr` is not trusted to speak for others: it is the client */
	TAKO_CLIENT_NO_MORE = 1, /* `addr` is trusted, and has named nobody */
	TAKO_CLIENT_HIDDEN = 2,  /* a trusted one keeps it to itself ("unknown", "_x", no "for") */
	TAKO_CLIENT_MALFORMED = 3, /* `addr` is trusted, and what it has sent is malformed */
	TAKO_CLIENT_TOO_MANY = 4   /* `addr` is trusted, and forwarded_max_hops are behind it */
};

/* The client of a request, as far as it is believed.  Borrowed, as long as the exchange lives. */
typedef struct tako_client_info {
	size_t size;
	const char *
		addr; /* "192.0.2.1", "2001:db8::1"; "unknown" or "_x" where it is hidden; "unix:" and
			   * "vsock:3:80" of whoever connected */
	const char *node; /* the same with its port, if that is known: "192.0.2.1:4711",
			   * "[2001:db8::1]:4711", "[2001:db8::1]" */
	const char *
		scheme; /* "https", "http": what the believed proxy nearest to the client says; else of
			     * this connection, or its PROXY header */
	tako_str host; /* the host that the client asked for, with its port if it named one: said by
			     * the same; else tako_req_host() */
	tako_str by;   /* where that proxy was reached, "by" of RFC 7239; {NULL, 0} if not said */
	uint32_t port; /* 0: not known */
	uint32_t hop_count; /* proxies that were believed; 0: `addr` is whoever connected */
	uint32_t why;       /* TAKO_CLIENT_* */
	uint32_t reserved;
} tako_client_info;

/* Fill `out`, whose size field the caller has set.  A decision by `addr` should look at `why`, too: all but
 * TAKO_CLIENT_FOUND and _HIDDEN mean that `addr` is one of your own proxies.
 *   TAKO_EINVAL   size not set
 *   TAKO_ECLOSED  the connection is gone, and nobody has asked before
 *   TAKO_ENOMEM
 * [loop] */
TAKO_API int tako_req_client(tako_req *req, tako_client_info *out);

/* A field that tako_req_forward() makes. */
enum {
	TAKO_FORWARD_STANDARD = 0, /* Forwarded */
	TAKO_FORWARD_FOR = 1,      /* X-Forwarded-For */
	TAKO_FORWARD_PROTO = 2,    /* X-Forwarded-Proto */
	TAKO_FORWARD_HOST = 3      /* X-Forwarded-Host */
};

/* How a request's origin is told to a server behind. */
typedef struct tako_forward_config {
	size_t size;
	const char *
		node; /* what whoever connected is called, in place of the address: "unknown", or "_"
			   * and letters, digits, ".", "_", "-" (RFC 7239 section 6.3); NULL: the
			   * address */
	const char
		*by; /* what we are called: such a name, or an address, "[2001:db8::1]:80"; NULL: it
			   * is not said.  Forwarded's */
	uint32_t replace;   /* 1: without what the request has brought along */
	uint32_t with_port; /* 1: an address with its port */
} tako_forward_config;
#define TAKO_FORWARD_CONFIG(...)                                                                   \
	(&(tako_forward_config){.size = sizeof(tako_forward_config), __VA_ARGS__})

/* Write the value of a field for the request that is sent on, without a NUL; returns its length.
 * TAKO_FORWARD_STANDARD and _FOR: what came with this request, as far from its end as it is well-formed,
 * and behind it an element for whoever connected; _PROTO and _HOST: the scheme and host of
 * tako_req_client().  `cfg` NULL takes every default.
 *   TAKO_ETOOBIG  it does not fit
 *   TAKO_EINVAL   no such field; node or by is none
 *   TAKO_ENOENT   the request has no host
 *   TAKO_ENOTSUP  cfg->size is larger than this library's and a field it does not know is set
 *   TAKO_ECLOSED  the connection is gone
 *   TAKO_ENOMEM
 * [loop] */
TAKO_API int tako_req_forward(tako_req *req, uint32_t field, const tako_forward_config *cfg,
                              char *buf, size_t buf_bytes);

TAKO_END

#endif /* TAKO_FORWARDED_H */
