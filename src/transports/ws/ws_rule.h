/* SPDX-License-Identifier: MIT
 *
 * A worker's states of wslay: see ws_rule.c.
 */
#ifndef TAKO_WS_RULE_H
#define TAKO_WS_RULE_H

struct tako__ws_local;

void tako__ws_rules_free(struct tako__ws_local *l);

#endif /* TAKO_WS_RULE_H */
