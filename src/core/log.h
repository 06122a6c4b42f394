/* SPDX-License-Identifier: MIT
 *
 * The access log: lines are formatted on the loop into a bounded ring per worker and
 * written by one thread, so that a slow disk or pipe costs lines, never latency.
 */
#ifndef TAKO_CORE_LOG_H
#define TAKO_CORE_LOG_H

#include <tako/server.h>

struct tako__log;
struct tako__log_ring;
struct tako__exchange;

/* Check the descriptor and make the rings; the writer's thread comes with the first line.
 * `format` is TAKO_LOG_*. */
int tako__log_new(struct tako__log **out, int fd, uint32_t format, unsigned worker_count,
                  uint32_t ring_bytes);
/* Write what is left (for a bounded time), end the thread. */
void tako__log_free(struct tako__log *log);
struct tako__log_ring *tako__log_ring(struct tako__log *log, unsigned worker);
/* Queue one line; counts it as dropped when there is no room.  The ring's worker only. */
void tako__log_put(struct tako__log_ring *ring, const tako_access *a);
/* Lines dropped so far, over all rings.  [any] */
uint64_t tako__log_dropped(const struct tako__log *log);
/* Format one line without its newline; returns its length, at most n.  For tests. */
size_t tako__log_format(char *buf, size_t n, const tako_access *a, uint32_t format);

#endif /* TAKO_CORE_LOG_H */
