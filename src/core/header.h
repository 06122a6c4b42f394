/* SPDX-License-Identifier: MIT
 *
 * One header field as every protocol hands it up: views into the bytes received, never
 * copies.  Knows nothing about any one protocol's framing.
 */
#ifndef TAKO_CORE_HEADER_H
#define TAKO_CORE_HEADER_H

#include <stdint.h>

/* Names keep the case they came in; values have no surrounding white space.  Neither is
 * NUL-terminated; an empty value is value_n == 0 with `value` still pointing into the line. */
struct tako__field {
	const char *name;
	const char *value;
	uint32_t name_n;
	uint32_t value_n;
};

#endif /* TAKO_CORE_HEADER_H */
