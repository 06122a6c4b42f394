/* SPDX-License-Identifier: MIT
 *
 * What a test's requests travel over.  A scenario is written once; SIM_TEST_OVER() runs it over
 * another one.
 */
#ifndef TESTS_SIM_CARRIER_H
#define TESTS_SIM_CARRIER_H

#include <tako/tako.h>

#include "sim/sim_rand.h"

/* The client's half of a layer below HTTP.  Everything it has to say it says through `say`, all
 * it understood goes to `sink`, both with the same argument. */
struct sim_shell {
	const tako_transport *(*transport)(void);
	const tako_listen_config *(*config)(void);
	void *(*open)(const struct sim_shell *shell, struct sim_rand *rand,
	              void (*say)(void *, const char *, size_t),
	              void (*sink)(void *, const char *, size_t), void *arg);
	void (*free)(void *state);
	void (*say)(void *state, const char *p, size_t n);
	void (*feed)(void *state, const char *p, size_t n);
	/* Say that nothing will be said any more. */
	void (*shut)(void *state);
	/* What is said reaches the server. */
	bool (*ready)(const void *state);
	/* The server has said that it says no more. */
	bool (*ended)(const void *state);
	/* What was wrong with what came, or NULL. */
	const char *(*bad)(const void *state);
};

struct sim_carrier {
	const char *name;
	bool h2;
	const struct sim_shell *shell; /* NULL: none */
};

extern const struct sim_carrier sim_over_h1;
extern const struct sim_carrier sim_over_h2c;
/* In builds with TLS: */
extern const struct sim_carrier sim_over_tls;
extern const struct sim_carrier sim_over_h2;

/* The present test's. */
extern const struct sim_carrier *sim_carrier;

#endif /* TESTS_SIM_CARRIER_H */
