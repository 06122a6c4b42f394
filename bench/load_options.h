/* SPDX-License-Identifier: MIT
 *
 * The load generator's command line. It must refuse what makes no sense rather than guess: a run that
 * measured something else than was asked for is worse than none.
 */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generator.h"

enum {
	CONNS_MAX = 60000,
	DEPTH_MAX = 256,
	POST_BYTES_MAX = 16 << 20,
	SOURCES_MAX = 250,
};

enum mode { KEEPALIVE, CLOSE, IDLE };

static struct {
	enum mode mode;
	uint16_t port;
	unsigned sources;
	unsigned connections;
	unsigned depth;
	uint64_t post_bytes;
	uint64_t requests;
	uint64_t warmup;
	double seconds;
	const char *path;
	bool browser_head;
	bool no_request;
	bool sync;
} opt = {.sources = 1, .connections = 64, .depth = 1, .requests = UINT64_MAX, .path = "/plaintext"};

_Noreturn static void usage(void)
{
	fputs("usage: load --port N [--mode keepalive|close|idle] [--path P] [--connections N]\n"
	      "            [--depth N] [--head small|browser] [--post BYTES] [--requests N]\n"
	      "            [--seconds S] [--warmup N] [--sources N] [--cpu N] [--no-request] "
	      "[--sync]\n"
	      "--sync: prints 'ready' once connected and warm, waits for a line, runs, prints the\n"
	      "result, and keeps the connections open until the next line or end of input.\n",
	      stderr);
	exit(2);
}

static inline enum mode mode_by_name(const char *name)
{
	if (!strcmp(name, "keepalive"))
		return KEEPALIVE;
	if (!strcmp(name, "close"))
		return CLOSE;
	if (strcmp(name, "idle") != 0)
		usage();
	return IDLE;
}

static inline bool head_by_name(const char *name)
{
	if (strcmp(name, "small") != 0 && strcmp(name, "browser") != 0)
		usage();
	return name[0] == 'b';
}

static inline void set_option(int key, const char *value)
{
	switch (key) {
	case 'p':
		opt.port = (uint16_t)number(value, UINT16_MAX);
		break;
	case 'm':
		opt.mode = mode_by_name(value);
		break;
	case 'u':
		opt.path = value;
		break;
	case 'c':
		opt.connections = (unsigned)number(value, CONNS_MAX);
		break;
	case 'd':
		opt.depth = (unsigned)number(value, DEPTH_MAX);
		break;
	case 'h':
		opt.browser_head = head_by_name(value);
		break;
	case 'b':
		opt.post_bytes = number(value, POST_BYTES_MAX);
		break;
	case 'n':
		opt.requests = number(value, UINT64_MAX);
		break;
	case 's':
		opt.seconds = duration(value);
		break;
	case 'w':
		opt.warmup = number(value, UINT64_MAX);
		break;
	case 'a':
		opt.sources = (unsigned)number(value, SOURCES_MAX);
		break;
	case 'C':
		pin((unsigned)number(value, CPU_SETSIZE - 1));
		break;
	case 'N':
		opt.no_request = true;
		break;
	case 'S':
		opt.sync = true;
		break;
	default:
		usage();
	}
}

static inline void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", 1, 0, 'p'},       {"mode", 1, 0, 'm'},        {"path", 1, 0, 'u'},
		{"depth", 1, 0, 'd'},      {"connections", 1, 0, 'c'}, {"head", 1, 0, 'h'},
		{"post", 1, 0, 'b'},       {"requests", 1, 0, 'n'},    {"seconds", 1, 0, 's'},
		{"warmup", 1, 0, 'w'},     {"sources", 1, 0, 'a'},     {"cpu", 1, 0, 'C'},
		{"no-request", 0, 0, 'N'}, {"sync", 0, 0, 'S'},        {0, 0, 0, 0},
	};
	int key;

	while ((key = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(key, optarg);
	if (optind != argc || !opt.port || !opt.connections || !opt.depth || !opt.sources)
		usage();
	if (opt.mode == CLOSE && opt.depth != 1)
		usage();
	if (opt.mode != IDLE && opt.requests == UINT64_MAX && opt.seconds <= 0)
		usage();
}

#endif
