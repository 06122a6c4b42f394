/* SPDX-License-Identifier: MIT
 *
 * tako/proxy.h: the PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2): what a load balancer
 * says of the client it speaks for, before the first byte of the connection proper.
 *
 * A listener reads it with tako_listen_config.proxy_protocol and .proxy_trusted, before TLS and any
 * version of HTTP.  tako_conn_info.peer is then the client, .local what it connected to, and .via the
 * balancer; tako_req_proxy_info() has the rest.  tako_proxy_write() is the other side: what a client
 * or proxy of yours sends ahead.
 */
#ifndef TAKO_PROXY_H
#define TAKO_PROXY_H

#include <tako/base.h>
#include <tako/http.h>

TAKO_BEGIN

/* tako_listen_config.proxy_protocol */
enum {
	TAKO_PROXY_OFF = 0,
	/* A header comes first, or the connection is closed without a word. */
	TAKO_PROXY_REQUIRED = 1,
	/* … of those in proxy_trusted, which must be set: who is in it may send one, and what others
	 * send is not looked at.  Until the first byte is there it is not known which it is, so that a
	 * peer that waits to be spoken to waits for proxy_read_timeout_ms. */
	TAKO_PROXY_OPTIONAL = 2
};

/* Types of version 2's TLVs (section 2.2), and what some load balancers add. */
enum {
	TAKO_PROXY_TLV_ALPN = 0x01,
	TAKO_PROXY_TLV_AUTHORITY = 0x02,
	TAKO_PROXY_TLV_CRC32C = 0x03,
	TAKO_PROXY_TLV_NOOP = 0x04,
	TAKO_PROXY_TLV_UNIQUE_ID = 0x05,
	TAKO_PROXY_TLV_SSL = 0x20,
	TAKO_PROXY_TLV_NETNS = 0x30,
	TAKO_PROXY_TLV_GCP = 0xe0, /* eight bytes: the connection's id in Private Service Connect */
	TAKO_PROXY_TLV_AWS = 0xea, /* 1: the id of a VPC endpoint follows */
	TAKO_PROXY_TLV_AZURE = 0xee, /* 1: the id of a private endpoint follows, four bytes */
	/* Inside TAKO_PROXY_TLV_SSL, behind its first five bytes (section 2.2.6). */
	TAKO_PROXY_TLV_SSL_VERSION = 0x21,
	TAKO_PROXY_TLV_SSL_CN = 0x22,
	TAKO_PROXY_TLV_SSL_CIPHER = 0x23,
	TAKO_PROXY_TLV_SSL_SIG_ALG = 0x24,
	TAKO_PROXY_TLV_SSL_KEY_ALG = 0x25,
	TAKO_PROXY_TLV_SSL_GROUP = 0x26,
	TAKO_PROXY_TLV_SSL_SIG_SCHEME = 0x27,
	TAKO_PROXY_TLV_SSL_CLIENT_CERT = 0x28
};

/* tako_proxy_info.ssl_client */
enum {
	TAKO_PROXY_CLIENT_SSL = 1,       /* the client's side is TLS */
	TAKO_PROXY_CLIENT_CERT_CONN = 2, /* it showed a certificate on this connection, */
	TAKO_PROXY_CLIENT_CERT_SESS = 4  /* … or when the session began */
};

/* What a header said.  Text is borrowed as long as the exchange lives; what was not in it is {NULL, 0},
 * NULL or 0.  Of a TLV that is there twice this has the first. */
typedef struct tako_proxy_info {
	size_t size;
	uint32_t version;    /* 1 or 2 */
	uint32_t local;      /* 1: the balancer speaks for itself (LOCAL, UNKNOWN, UNSPEC) */
	uint32_t datagram;   /* 1: the client's side is a datagram socket, as QUIC's */
	uint32_t ssl_client; /* TAKO_PROXY_CLIENT_*, OR'd */
	const char *source;  /* "192.0.2.1:4711", "[2001:db8::1]:4711", "unix:/run/x", "unix:" */
	const char *destination; /* what the client connected to */
	tako_str alpn;           /* these six as they came: bytes that a peer chose */
	tako_str authority;
	tako_str unique_id;
	tako_str netns;
	tako_str ssl_version; /* "TLSv1.3" */
	tako_str ssl_cn;
	tako_str ssl_cipher;
	tako_str ssl_sig_alg;
	tako_str ssl_key_alg;
	uint32_t ssl_verify; /* 0: the client's certificate was good, or it showed none */
	uint32_t reserved;
	tako_str tlvs; /* all of them, raw: tako_proxy_next_tlv() */
} tako_proxy_info;

/* Fill `out`, whose size field the caller has set.  TAKO_ENOENT: the connection began without a header;
 * TAKO_EINVAL: size not set; TAKO_ENOMEM.  [loop] */
TAKO_API int tako_req_proxy_info(tako_req *req, tako_proxy_info *out);

/* Take the first type-length-value off `rest`, as of tako_proxy_info.tlvs, or of the value of
 * TAKO_PROXY_TLV_SSL behind its first five bytes: true, with its type and value, or false at the end.
 * Borrows what `rest` does.  [any] */
TAKO_API bool tako_proxy_next_tlv(tako_str *rest, uint32_t *type, tako_str *value);

/* What to say of a client, to a server that reads the PROXY protocol. */
typedef struct tako_proxy_header {
	size_t size;
	const char *source; /* as tako_conn_info has them; both of one family.  NULL: version 1's */
	const char *destination; /* UNKNOWN, version 2's LOCAL */
	uint32_t version;        /* 0: 2; or 1, which has no TLVs */
	uint32_t datagram;       /* 1: the client's side is a datagram socket.  Version 2 */
	tako_str tlvs;           /* put together by tako_proxy_put_tlv().  Version 2 */
	uint32_t checksum;       /* 1: with a CRC-32C.  Version 2 */
	uint32_t reserved;       /* must be 0 */
} tako_proxy_header;
#define TAKO_PROXY_HEADER(...)                                                                     \
	(&(tako_proxy_header){.size = sizeof(tako_proxy_header), __VA_ARGS__})

/* Write a header to buf; returns its length.  TAKO_ETOOBIG: it does not fit (107 bytes always do for
 * version 1, 232 and what its TLVs have for version 2); TAKO_EINVAL: an address is malformed, or they are
 * of different families, or version 1 cannot say it.  [any] */
TAKO_API int tako_proxy_write(char *buf, size_t buf_bytes, const tako_proxy_header *header);

/* Append a TLV to the `n` bytes that are in `buf`; returns how many there are then.  TAKO_ETOOBIG: it
 * does not fit, or has more than 65,535 bytes.  [any] */
TAKO_API int tako_proxy_put_tlv(char *buf, size_t buf_bytes, size_t n, uint32_t type,
                                tako_str value);

TAKO_END

#endif /* TAKO_PROXY_H */
