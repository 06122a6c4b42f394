/* SPDX-License-Identifier: MIT
 *
 * The two calls that every request makes, past the C library's functions.  Those are cancellation
 * points, and in a process of several threads pay for that with two locked instructions a call, each of
 * which waits for whatever was written before it: 1 to 2 % of a small request.  Nobody may cancel a
 * loop's thread anyway.
 */
#ifndef TAKO_CORE_CALL_H
#define TAKO_CORE_CALL_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sanitizers learn from the library's functions what was written, and by whom. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TAKO__CALLS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define TAKO__CALLS_WATCHED 1
#endif
#endif

/* As recv(2). */
static inline ssize_t tako__call_recv(int fd, void *p, size_t n, int flags)
{
#if defined(SYS_recvfrom) && !defined(TAKO__CALLS_WATCHED)
	return syscall(SYS_recvfrom, fd, p, n, flags, NULL, NULL);
#else
	return recv(fd, p, n, flags);
#endif
}

/* As send(2). */
static inline ssize_t tako__call_send(int fd, const void *p, size_t n, int flags)
{
#if defined(SYS_sendto) && !defined(TAKO__CALLS_WATCHED)
	return syscall(SYS_sendto, fd, p, n, flags, NULL, (socklen_t)0);
#else
	return send(fd, p, n, flags);
#endif
}

#endif /* TAKO_CORE_CALL_H */
