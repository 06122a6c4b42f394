/* SPDX-License-Identifier: MIT
 *
 * The Priority field (RFC 9218 section 4): urgency, and whether a response is of use in parts.
 */
#ifndef TAKO_H2_PRIORITY_H
#define TAKO_H2_PRIORITY_H

#include <tako/base.h>

struct tako__priority {
	uint8_t urgency; /* 0, the most, to 7 */
	bool incremental;
};

/* What a value says; what it does not say, or says wrongly, is the default: 3, not. */
struct tako__priority tako__priority_parse(tako_str value);

#endif /* TAKO_H2_PRIORITY_H */
