/* SPDX-License-Identifier: MIT
 *
 * Session tickets: what a client brings back, sealed under keys that only servers have.
 */
#ifndef TAKO_TLS_TICKET_H
#define TAKO_TLS_TICKET_H

#include <tako/tls.h>

#include "transports/tls/tls_lib.h"

/* Keys of our own, exchanged by themselves. */
int tako__ticket_keys_own(struct tako_ticket_keys **out);
struct tako_ticket_keys *tako__ticket_keys_ref(struct tako_ticket_keys *k);
/* Let a context seal with them; NULL: it gives out no tickets. */
int tako__ticket_apply(WOLFSSL_CTX *ctx, struct tako_ticket_keys *k);

#endif /* TAKO_TLS_TICKET_H */
