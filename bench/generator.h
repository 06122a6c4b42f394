/* SPDX-License-Identifier: MIT
 *
 * What the generators have in common: the words of their command lines, their clock, and how they wait for
 * whoever measures.  Nothing of a protocol.
 */
#ifndef BENCH_GENERATOR_H
#define BENCH_GENERATOR_H

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

/* Each program's own: says how it is called, and ends it. */
_Noreturn static void usage(void);

_Noreturn static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	if (end == text || *end || v > max)
		usage();
	return v;
}

static inline double duration(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v > 0))
		usage();
	return v;
}

static inline void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

/* As many descriptors as there may be. */
static inline void raise_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* NULL: says nothing.  Without `sync` nobody is waited for. */
static inline void wait_for_line(const char *say, bool sync)
{
	char line[16];

	if (say)
		puts(say);
	fflush(stdout);
	if (sync && !fgets(line, sizeof(line), stdin) && say)
		exit(1); /* whoever wanted the figures has gone */
}

static inline bool is_alive(int fd)
{
	char byte;

	return fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

#endif
