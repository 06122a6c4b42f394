/* SPDX-License-Identifier: MIT
 *
 * Accepting by call, as runtimes do it that are told when a listener has something.
 */
#ifndef TAKO_CORE_ACCEPT_H
#define TAKO_CORE_ACCEPT_H

#include <tako/sys/runtime.h>

/* Accept what has come, a bounded number of connections, until the listener is paused or closing;
 * a failure pauses it and is told to its owner.  False: nothing is left for now. */
bool tako__accept_some(struct tako_sock *ls);
/* Accept all that is in the backlog, paused or not: closing would reset it. */
void tako__accept_last(struct tako_sock *ls);

#endif /* TAKO_CORE_ACCEPT_H */
