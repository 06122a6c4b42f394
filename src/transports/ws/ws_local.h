/* SPDX-License-Identifier: MIT
 *
 * What the WebSockets of one worker share: configurations, buffers for messages that come in pieces,
 * ops for what goes out.  So that an idle one has none of it.
 */
#ifndef TAKO_WS_LOCAL_H
#define TAKO_WS_LOCAL_H

#include <tako/ws.h>

#include "core/worker.h"
#include "transports/ws/ws_zlib.h"

struct tako__ws_rule;

/* ---- Configurations: the same for thousands -------------------------------------------- */

struct tako__ws_conf {
	struct tako__list link;
	unsigned refs;
	unsigned reserved;
	tako_ws_config cfg;      /* with defaults; without pointers to what is not ours */
	tako_ws_deflate deflate; /* size 0: none */
};

/* Fill in defaults, refuse what cannot apply.  TAKO_EINVAL, TAKO_ENOTSUP. */
int tako__ws_conf_import(struct tako__ws_conf *ret, const tako_ws_config *from);

/* ---- Buffers ----------------------------------------------------------------------------- */

struct tako__ws_buf {
	char *p;
	size_t n;
	size_t cap;
};

enum { TAKO__WS_BUFS_KEPT = 8, TAKO__WS_BUF_KEPT_BYTES = 256 << 10 };

struct tako__ws_local {
	struct tako__worker_local base;
	struct tako__worker *worker;
	struct tako__list confs;
	struct tako__ws_zpool zpool;
	struct tako__ws_buf packed; /* the last message that was compressed */
	struct tako__pool ops;
	struct tako__ws_rule *rules; /* free ones */
	unsigned rule_count;
	unsigned buf_count;
	struct tako__ws_buf bufs[TAKO__WS_BUFS_KEPT]; /* free ones, empty */
};

/* A worker's, made when it is first asked for.  NULL: no memory. */
struct tako__ws_local *tako__ws_local(struct tako__worker *w);

/* The one that is like `c`, with a reference; NULL: no memory. */
struct tako__ws_conf *tako__ws_conf_get(struct tako__ws_local *l, const struct tako__ws_conf *c);
void tako__ws_conf_put(struct tako__ws_conf *c);

/* Room for `more` bytes behind what is in it.  TAKO_ENOMEM. */
int tako__ws_buf_room(struct tako__ws_local *l, struct tako__ws_buf *b, size_t more);
/* Empty it; its memory may serve others. */
void tako__ws_buf_put(struct tako__ws_local *l, struct tako__ws_buf *b);

#endif /* TAKO_WS_LOCAL_H */
