/* SPDX-License-Identifier: MIT
 *
 * tako/base.h: what every other header needs: visibility, version, errors,
 * borrowed strings and the allocator hook.
 *
 * Conventions, true for every function of the library unless its comment says
 * otherwise:
 *   Errors     int returns: 0 (or a count) on success, a negative TAKO_E* on
 *              failure.  Nothing is changed and nothing leaks on failure.
 *   Ownership  new/free pairs own.  A pointer from a getter is borrowed and dies
 *              with the object it came from.  Config structs are copied.
 *   Pointers   are not NULL where nothing says what NULL means, names and callbacks included.
 *   Threads    [loop]   only from a handler or callback of the same exchange;
 *              [any]    from any thread;
 *              [signal] from any thread and from a signal handler;
 *              [setup]  from one thread at a time, before the server starts.
 *   Units      are in the name: _ms, _bytes, _count.  0 means "the default" and
 *              TAKO_OFF means "none", in every config field.
 */
#ifndef TAKO_BASE_H
#define TAKO_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TAKO_API __attribute__((visibility("default")))
#define TAKO_CHECK __attribute__((warn_unused_result))
#define TAKO_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define TAKO_API
#define TAKO_CHECK
#define TAKO_PRINTF(fmt, first)
#endif

#ifdef __cplusplus
#define TAKO_BEGIN extern "C" {
#define TAKO_END }
#else
#define TAKO_BEGIN
#define TAKO_END
#endif

TAKO_BEGIN

/* The version these headers describe, 0xMMmmpp. */
#define TAKO_VERSION_NUM 0x000100
#define TAKO_VERSION "0.1.0"

/* The version that is linked, in the form of TAKO_VERSION_NUM.  [any] */
TAKO_API uint32_t tako_version(void);

/* ---- Errors ------------------------------------------------------------- */

#define TAKO_ERROR_MAP(X)                                                                          \
	X(EINVAL, -1, "invalid argument")                                                          \
	X(ENOMEM, -2, "out of memory")                                                             \
	X(ESTATE, -3, "not allowed in this state")                                                 \
	X(ECLOSED, -4, "peer went away")                                                           \
	X(ETIMEDOUT, -5, "deadline passed")                                                        \
	X(ETOOBIG, -6, "over a configured limit")                                                  \
	X(EPROTO, -7, "peer broke the protocol")                                                   \
	X(ETLS, -8, "TLS failure")                                                                 \
	X(ESYS, -9, "system call failed")                                                          \
	X(ENOTSUP, -10, "not built in, or newer than this library")                                \
	X(EEXIST, -11, "already there")                                                            \
	X(ENOENT, -12, "no such thing")                                                            \
	X(EBUSY, -13, "no room for it now")

enum {
	TAKO_OK = 0,
#define TAKO__X(name, num, text) TAKO_##name = num,
	TAKO_ERROR_MAP(TAKO__X)
#undef TAKO__X
};

/* Text for a code: never NULL, static, never to be freed.  A code that is not
 * ours gives "unknown error".  [any] */
TAKO_API const char *tako_strerror(int err);

/* Longer text about this thread's last failure ("bind 0.0.0.0:80: permission
 * denied"), or "".  Valid until this thread's next tako call.  [any] */
TAKO_API const char *tako_last_error(void);

/* ---- Strings ------------------------------------------------------------ */

/* A borrowed run of bytes.  Not NUL-terminated.  {NULL, 0} means absent, which
 * differs from empty: an empty value has a non-NULL p. */
typedef struct tako_str {
	const char *p;
	size_t n;
} tako_str;

/* A string literal as a tako_str. */
#ifdef __cplusplus
#define TAKO_STR(lit) (tako_str{"" lit, sizeof(lit) - 1})
#else
#define TAKO_STR(lit) ((tako_str){"" lit, sizeof(lit) - 1})
#endif

/* For printf: printf("%.*s", TAKO_FMT(s)). */
#define TAKO_FMT(s) (int)(s).n, (s).p

/* The bytes of a NUL-terminated string; NULL gives {NULL, 0}.  Borrows `z`.  [any] */
TAKO_API tako_str tako_str_z(const char *z);

/* Byte-for-byte equality; an absent string equals only an absent one.  [any] */
TAKO_API bool tako_str_eq(tako_str a, tako_str b);

/* Equality that ignores ASCII case, as header names compare (RFC 9110 section 5.1).  [any] */
TAKO_API bool tako_str_ieq(tako_str a, tako_str b);

/* ---- Sentinels and memory ----------------------------------------------- */

/* "None" in a 32-bit config field, where 0 already means "the default". */
#define TAKO_OFF UINT32_MAX
/* The same for 64-bit fields. */
#define TAKO_OFF64 UINT64_MAX

/* One function that allocates, resizes and frees (Lua's shape): `p` NULL
 * allocates `new_bytes`; `new_bytes` 0 frees and returns NULL; else it resizes,
 * keeping the old block on failure.  `old_bytes` is always the size asked for
 * before.  Returned memory must be aligned as malloc() aligns.  Called from many
 * threads at once. */
typedef void *(*tako_alloc_fn)(void *p, size_t old_bytes, size_t new_bytes, void *arg);

/* Replace the allocator of the whole library; NULL restores malloc().  Must come
 * before any other tako call that allocates, and `arg` must live as long as the
 * process uses tako.  TAKO_ESTATE: something is allocated already.  [setup] */
TAKO_API int tako_set_allocator(tako_alloc_fn fn, void *arg);

TAKO_END

#endif /* TAKO_BASE_H */
