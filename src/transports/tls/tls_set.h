/* SPDX-License-Identifier: MIT
 *
 * Certificates by name, from the side of who must be sure that what it found stays.
 */
#ifndef TAKO_TLS_SET_H
#define TAKO_TLS_SET_H

#include <tako/tls.h>

/* As tako_cert_set_find(), with a reference: the set may drop its own at any time. */
struct tako_cert *tako__cert_set_take(struct tako_cert_set *set, tako_str name);

#endif /* TAKO_TLS_SET_H */
