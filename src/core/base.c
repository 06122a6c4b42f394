/* SPDX-License-Identifier: MIT
 *
 * Version, error texts, the thread's last failure, borrowed strings, and the import of
 * size-first config structs.  Allocates nothing, so that it can report running out of
 * memory.
 */
#include "core/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/str.h"

enum { LAST_ERROR_BYTES = 256 };

static _Thread_local char last_error[LAST_ERROR_BYTES];

uint32_t tako_version(void)
{
	return TAKO_VERSION_NUM;
}

const char *tako_strerror(int err)
{
	switch (err) {
	case TAKO_OK:
		return "success";
#define X(name, num, text)                                                                         \
	case TAKO_##name:                                                                          \
		return text;
		TAKO_ERROR_MAP(X)
#undef X
	default:
		return "unknown error";
	}
}

const char *tako_last_error(void)
{
	return last_error;
}

void tako__clear_error(void)
{
	last_error[0] = '\0';
}

/* Arguments may hold a peer's or a user's bytes, and may be tako_last_error() itself: hence
 * a scratch copy, and control characters replaced so that the message stays one line. */
static void remember(const char *fmt, va_list ap, const char *suffix)
{
	char text[LAST_ERROR_BYTES];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n < 0)
		n = 0;
	if (suffix && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s", suffix);
	text[sizeof(text) - 1] = '\0';
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	memcpy(last_error, text, strlen(text) + 1);
}

void tako__note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	remember(fmt, ap, NULL);
	va_end(ap);
}

int tako__note_errno(const char *fmt, ...)
{
	int saved = errno;
	char scratch[128];
	va_list ap;

	va_start(ap, fmt);
	remember(fmt, ap, strerror_r(saved, scratch, sizeof(scratch)));
	va_end(ap);
	errno = saved;
	return saved;
}

/* The size is the first member of every config struct.  `dst` then carries our own size,
 * whatever the caller was compiled against. */
int tako__import(void *dst, size_t want, const void *src, size_t first_bytes, const char *what)
{
	const unsigned char *from = src;
	size_t have = want;

	memset(dst, 0, want);
	if (from) {
		memcpy(&have, from, sizeof(have));
		if (have < first_bytes)
			return tako__fail(TAKO_EINVAL, "%s: size is %zu, at least %zu expected",
			                  what, have, first_bytes);
		for (size_t i = want; i < have; i++) {
			if (from[i])
				return tako__fail(TAKO_ENOTSUP,
				                  "%s: byte %zu is set, this library knows %zu",
				                  what, i, want);
		}
		memcpy(dst, from, have < want ? have : want);
	}
	memcpy(dst, &want, sizeof(want));
	return TAKO_OK;
}

tako_str tako_str_z(const char *z)
{
	return (tako_str){z, z ? strlen(z) : 0};
}

bool tako_str_eq(tako_str a, tako_str b)
{
	if (!a.p || !b.p)
		return !a.p && !b.p;
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

bool tako_str_ieq(tako_str a, tako_str b)
{
	if (!a.p || !b.p)
		return !a.p && !b.p;
	return a.n == b.n && tako__str_ieq(a.p, b.p, a.n);
}
