/* SPDX-License-Identifier: MIT
 *
 * What the core knows of connections without HTTP: that a listener has rules for them.  The rest is
 * src/transports/raw's.
 */
#ifndef TAKO_CORE_RAWED_H
#define TAKO_CORE_RAWED_H

#include <tako/server.h>

struct tako__raw_rule;

/* Check and keep a listener's settings; *ret is NULL for transports of HTTP.  TAKO_EINVAL, TAKO_ENOTSUP,
 * TAKO_ENOMEM. */
int tako__raw_rule_new(struct tako__raw_rule **ret, const tako_transport *t, const char *addr,
                       const tako_listen_config *cfg);
/* Do its connections keep what is sent apart?  NULL: HTTP's do not. */
bool tako__raw_records(const struct tako__raw_rule *rule);
/* NULL is fine. */
void tako__raw_rule_free(struct tako__raw_rule *rule);

#endif /* TAKO_CORE_RAWED_H */
