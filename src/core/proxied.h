/* SPDX-License-Identifier: MIT
 *
 * What the core knows of the PROXY protocol: that connections of a listener may begin with a header, and
 * what one keeps of it.  The header itself is src/transports/proxy's.
 */
#ifndef TAKO_CORE_PROXIED_H
#define TAKO_CORE_PROXIED_H

#include <netinet/in.h>
#include <tako/server.h>

#include "core/proto.h"

struct tako__arena;
struct tako__proxy_rule;
struct tako_proxy_info;

/* Check and keep a listener's settings; *ret is NULL where it has none.  TAKO_EINVAL, TAKO_ENOMEM. */
int tako__proxy_rule_new(struct tako__proxy_rule **ret, const tako_listen_config *cfg);
/* NULL is fine. */
void tako__proxy_rule_free(struct tako__proxy_rule *rule);

/* With what a connection of a listener with such a rule begins: reads the header, then becomes the
 * transport's own.  Bytes behind the header are that one's. */
extern const struct tako__proto_ops tako__proxy_ops;

union tako__proxy_addr {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* What was said, for as long as the connection is there; it is the connection's peer that was named. */
struct tako__proxied {
	size_t bytes; /* of this block */
	uint32_t version;
	bool local; /* nobody was named: the addresses are the connection's own */
	bool dgram;
	union tako__proxy_addr via; /* who connected to us */
	union tako__proxy_addr dst;
	uint32_t src_path_n; /* in data[], one behind the other; of AF_UNIX */
	uint32_t dst_path_n;
	uint32_t tlv_n;
	char data[];
};

void tako__proxied_free(struct tako__proxied *d);

/* What a header said, with its text in `arena`; `c` NULL: it is gone.  As tako_req_proxy_info(). */
int tako__proxied_info(struct tako__conn *c, struct tako__arena *arena,
                       struct tako_proxy_info *out);

#endif /* TAKO_CORE_PROXIED_H */
