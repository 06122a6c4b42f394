/* SPDX-License-Identifier: MIT
 *
 * TLS around whatever a script says: sim_over_tls and sim_over_h2 (sim_carrier.h), by wolfSSL's client.
 * Whether it resumes a session, which version it speaks and how it cuts records is up to chance;
 * the lengths of what it and the server say are not up to wolfSSL's, so that a seed is
 * one run here too.
 */
#ifndef TESTS_SIM_TLS_H
#define TESTS_SIM_TLS_H

#include "sim/sim_script.h"

/* A fixture for cmocka: the certificate, the ticket keys, and a session to resume.  After
 * sim_alloc_install(). */
int sim_tls_begin(void **state);
int sim_tls_end(void **state);

enum sim_tls_wish { SIM_TLS_ANY, SIM_TLS_FULL, SIM_TLS_RESUMED, SIM_TLS_12 };

/* Of clients from now on, until the next sim_tls_wish(SIM_TLS_ANY). */
void sim_tls_wish(enum sim_tls_wish wish);
/* It is over with the session: an alert has come, or something that was no record. */
bool sim_tls_failed(const struct sim_script *c);
bool sim_tls_resumed(const struct sim_script *c);

#endif /* TESTS_SIM_TLS_H */
