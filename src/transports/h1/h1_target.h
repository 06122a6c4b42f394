/* SPDX-License-Identifier: MIT
 *
 * The forms of a request-target (RFC 9112 3.2) and the host they or a Host field name.
 */
#ifndef TAKO_H1_TARGET_H
#define TAKO_H1_TARGET_H

#include "transports/h1/h1_head.h"

/* Split head->target, which consists of TAKO__H1_TARGET bytes, by its form and head's method.
 * For what does not start with '/'; false if it is none of the forms. */
bool tako__h1_target_split(struct tako__h1_head *h);

/* Whether this is uri-host [ ":" port ] (RFC 9110 7.2), an empty host without a port included. */
bool tako__h1_host_ok(const char *p, size_t n);

/* Whether this is the port after a ':': *DIGIT (RFC 3986 3.2.3), at most 65535. */
bool tako__h1_port_ok(const char *p, size_t n);

#endif /* TAKO_H1_TARGET_H */
