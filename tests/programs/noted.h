/* SPDX-License-Identifier: MIT
 *
 * What happened, for a server whose callbacks are tested: lines that any of its threads adds, up to so many bytes,
 * and a route that tells them.
 */
#ifndef TESTS_PROGRAMS_NOTED_H
#define TESTS_PROGRAMS_NOTED_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include <tako/tako.h>

static struct {
	pthread_mutex_t lock;
	size_t n;
	char text[1 << 16];
} noted = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void TAKO_PRINTF(1, 2) note(const char *fmt, ...)
{
	va_list ap;
	int n;

	pthread_mutex_lock(&noted.lock);
	va_start(ap, fmt);
	n = vsnprintf(noted.text + noted.n, sizeof(noted.text) - noted.n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(noted.text) - noted.n)
		noted.n += (size_t)n;
	pthread_mutex_unlock(&noted.lock);
}

static int tell_noted(tako_req *req, tako_res *res, void *arg)
{
	int rc;

	(void)req, (void)arg;
	pthread_mutex_lock(&noted.lock);
	rc = tako_res_send(res, 200, "text/plain", (tako_str){noted.text, noted.n});
	pthread_mutex_unlock(&noted.lock);
	return rc;
}

#endif /* TESTS_PROGRAMS_NOTED_H */
