/* SPDX-License-Identifier: MIT
 *
 * Events as text/event-stream has them (HTML standard, section 9.2.6).  Bytes in, bytes out: no
 * allocation, no idea of who receives them.
 */
#ifndef TAKO_SSE_FORMAT_H
#define TAKO_SSE_FORMAT_H

#include <tako/sse.h>

/* Copy a user's event into ours and see whether it can be sent.  TAKO_EINVAL, TAKO_ENOTSUP, with a
 * sentence. */
int tako__sse_event_import(tako_sse_event *ret, const tako_sse_event *event);

/* The most bytes that the event becomes, and that many at most at `to`; returns how many. */
size_t tako__sse_event_bound(const tako_sse_event *event);
size_t tako__sse_event_write(char *to, const tako_sse_event *event);

/* The same for a comment. */
size_t tako__sse_comment_bound(tako_str text);
size_t tako__sse_comment_write(char *to, tako_str text);

/* Could this have been the id of an event? */
bool tako__sse_id_ok(tako_str id);

#endif /* TAKO_SSE_FORMAT_H */
