/* SPDX-License-Identifier: MIT
 *
 * What a server tells its supervisor by itself: that it serves, that it ends, and that none of its loops hangs.
 */
#ifndef TAKO_CORE_NOTIFY_H
#define TAKO_CORE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct tako_server;
struct tako__worker;

/* Refuse a NOTIFY_SOCKET that nothing can be sent to, and a WATCHDOG_USEC that is no time: TAKO_EINVAL,
 * TAKO_ENOTSUP.  Otherwise sets srv->watchdog_ns. */
int tako__notify_prepare(struct tako_server *srv);
/* Whether the environment wants to hear of this process that it is well, as sd_watchdog_enabled(3) has it. */
bool tako__notify_is_watched(void);
/* Every worker has its loop. */
void tako__notify_started(struct tako_server *srv);
/* The first worker has begun to drain; others may say so too. */
void tako__notify_stopping(struct tako_server *srv);
/* The worker's loop is about to turn, or will no more. */
void tako__notify_watch(struct tako__worker *w);
void tako__notify_unwatch(struct tako__worker *w);

#endif /* TAKO_CORE_NOTIFY_H */
