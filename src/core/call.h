/* SPDX-License-Identifier: MIT
 *
 * The two calls that every request makes, past the C library's functions.  Those are cancellation
 * points, and in a process of several threads pay for that with two locked instructions a call, each of
 * which waits for whatever was written before it: 1 to 2 % of a small request.  Nobody may cancel a
 * loop's thread anyway.
 */
#ifndef TAKO_CORE_CALL_H
#define TAKO_CORE_CALL_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tako/sys/runtime.h>

#include "core/base.h"

/* Sanitizers learn from the library's functions what was written, and by whom. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TAKO__CALLS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define TAKO__CALLS_WATCHED 1
#endif
#endif

/* In line, and not through the library's syscall(): the kernel's own calls have emptied the CPU's stack
 * of return addresses by the time it comes back, so that each return after a system call is one that the
 * CPU has guessed wrong.  What stays is those that nobody can save. */
#if defined(TAKO__CALLS_WATCHED)
#elif defined(__x86_64__) && !defined(__ILP32__)
#define TAKO__CALLS_INLINE 1
static inline long tako__call4(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 0;
	long ret;

	__asm__ volatile("syscall"
	                 : "=a"(ret)
	                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__) && !defined(__ILP32__)
#define TAKO__CALLS_INLINE 1
static inline long tako__call4(long nr, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = 0;
	register long x5 __asm__("x5") = 0;

	__asm__ volatile("svc #0"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
	                 : "memory");
	return x0;
}
#endif

#if defined(TAKO__CALLS_INLINE)
static inline ssize_t tako__call_result(long ret)
{
	if (TAKO__LIKELY(ret >= 0))
		return ret;
	errno = (int)-ret;
	return -1;
}
#endif

/* As recv(2). */
static inline ssize_t tako__call_recv(int fd, void *p, size_t n, int flags)
{
#if defined(TAKO__CALLS_INLINE)
	return tako__call_result(tako__call4(SYS_recvfrom, fd, (long)p, (long)n, flags));
#else
	return recv(fd, p, n, flags);
#endif
}

/* As send(2). */
static inline ssize_t tako__call_send(int fd, const void *p, size_t n, int flags)
{
#if defined(TAKO__CALLS_INLINE)
	return tako__call_result(tako__call4(SYS_sendto, fd, (long)p, (long)n, flags));
#else
	return send(fd, p, n, flags);
#endif
}

/* ---- Around a receive of much ------------------------------------------------------- */

/* Before it. */
static inline void tako__expect(const struct tako_sock *s)
{
	if (s->cb->expect)
		s->cb->expect(s);
}

/* And behind it: the kernel wrote the beginning first, so that it is the end that is still near. */
static inline void tako__expect_head(const char *p)
{
	for (unsigned at = 0; at < 256; at += 64)
		__builtin_prefetch(p + at);
}

#endif /* TAKO_CORE_CALL_H */
