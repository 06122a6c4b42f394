/* SPDX-License-Identifier: MIT
 *
 * What HTTP/3 asks of sessions on its connections (draft-ietf-webtrans-http3): which requests, streams and
 * datagrams are theirs.  Whether it has any is wt_max_sessions's to say.
 */
#ifndef TAKO_WT_H3_H
#define TAKO_WT_H3_H

#include <tako/server.h>

struct tako__h2_head;
struct tako__h3;
struct tako__h3_stream;
struct tako__h3_uni;
struct tako__conn;

static inline bool tako__wt_offered(const tako_server_config *cfg)
{
	return cfg->wt_max_sessions != TAKO_OFF;
}

/* ---- Requests ------------------------------------------------------------------------------ */

/* Is the head's request one for a session? */
bool tako__wt_asked(const struct tako__h2_head *head);
/* … whose fields are good.  It runs when it may, if it may. */
void tako__wt_request(struct tako__h3_stream *s, const struct tako__h2_head *head);
/* A request's stream is gone. */
void tako__wt_request_over(struct tako__h3_stream *s);
/* The peer's SETTINGS have come: what waited for them goes on.  Negative: the connection ends. */
int tako__wt_settings_came(struct tako__h3 *h);

/* ---- Streams and datagrams ---------------------------------------------------------------------- */

/* The stream has begun as one of session `s->frame.left`; its next bytes follow.  `s` is gone. */
int tako__wt_take_bidi(struct tako__h3_stream *s, const char *p, size_t n, bool fin);
/* The same of one that goes one way. */
int tako__wt_take_uni(struct tako__h3_uni *u, uint64_t session, const char *p, size_t n, bool fin);
/* Of struct tako__quic_app. */
int tako__wt_h3_datagram(struct tako__conn *c, const char *p, size_t n);
int tako__wt_streams_allowed(struct tako__conn *c, bool uni);

#endif /* TAKO_WT_H3_H */
