/* SPDX-License-Identifier: MIT
 *
 * See sim_carrier.h.  Those with TLS are in sim_tls.c.
 */
#include "sim/sim_carrier.h"

const struct sim_carrier sim_over_h1 = {.name = "h1"};
const struct sim_carrier sim_over_h2c = {.name = "h2c", .h2 = true};

const struct sim_carrier *sim_carrier = &sim_over_h1;
