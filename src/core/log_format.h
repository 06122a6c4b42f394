/* SPDX-License-Identifier: MIT
 *
 * How a line of the access log looks.  A line has a bound whatever the request holds, so
 * that nobody downstream has to check for room.
 */
#ifndef TAKO_CORE_LOG_FORMAT_H
#define TAKO_CORE_LOG_FORMAT_H

#include "core/log.h"

enum { TAKO__LOG_LINE_MAX = 10240 };

/* The text of a second in both formats, made anew when the second changes.  Zeroed, it is
 * that of no second that a clock will show again. */
struct tako__log_date {
	uint64_t second;
	char clf[26]; /* "06/Nov/1994:08:49:37 +0000" */
	char iso[19]; /* "1994-11-06T08:49:37" */
};

/* Write one line without its newline to `to`, which has TAKO__LOG_LINE_MAX bytes; returns its
 * length.  Fields of excessive length are cut, and end in "..." then. */
size_t tako__log_line(char *to, const tako_access *a, uint32_t format, struct tako__log_date *date);

#endif /* TAKO_CORE_LOG_FORMAT_H */
