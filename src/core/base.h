/* SPDX-License-Identifier: MIT
 *
 * The library's own side of base.h: how a failure leaves its one line of detail.
 */
#ifndef TAKO_CORE_BASE_H
#define TAKO_CORE_BASE_H

#include <errno.h>

#include <tako/base.h>

#define TAKO__LIKELY(x) __builtin_expect(!!(x), 1)
#define TAKO__UNLIKELY(x) __builtin_expect(!!(x), 0)
/* For what is seldom: so that the usual way needs few registers and hardly any stack. */
#define TAKO__OUTLINE __attribute__((noinline))
#define TAKO__COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TAKO__CONTAINER(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Remember one line for tako_last_error() and return `err`, so that a failure is
 * `return tako__fail(TAKO_EINVAL, "…")`.  No "failed to": the line says what and why. */
#define tako__fail(err, ...) (tako__note(__VA_ARGS__), tako__code(err))
void tako__note(const char *fmt, ...) TAKO_PRINTF(1, 2);
/* Seen by whoever reads the caller, compilers and their analyzers too: the code comes back. */
static inline int tako__code(int err)
{
	return err;
}
/* The same for a failed system call: appends ": " and strerror(errno), returns TAKO_ESYS
 * (TAKO_ENOMEM where errno says so). */
#define tako__fail_errno(...)                                                                      \
	tako__code(tako__note_errno(__VA_ARGS__) == ENOMEM ? TAKO_ENOMEM : TAKO_ESYS)
/* Returns errno, which stays as it was. */
int tako__note_errno(const char *fmt, ...) TAKO_PRINTF(1, 2);
/* Forget what was said. */
void tako__clear_error(void);

/* Copy a size-first config struct of the caller's into ours: shorter ones leave our
 * new fields 0, longer ones must have nothing set that we do not know.
 * `first_bytes` is the size of the first published version.
 * TAKO_EINVAL: too short; TAKO_ENOTSUP: an unknown field is set. */
int tako__import(void *dst, size_t want, const void *src, size_t first_bytes, const char *what);

#endif /* TAKO_CORE_BASE_H */
