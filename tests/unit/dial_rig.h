/* SPDX-License-Identifier: MIT
 *
 * A stepped server that makes connections, to listeners of the test's own on loopback, and the smallest
 * protocol a client can have: it says hello and keeps what it hears.
 */
#ifndef TESTS_UNIT_DIAL_RIG_H
#define TESTS_UNIT_DIAL_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <tako/tako.h>

#include "core/conn.h"
#include "core/dial.h"
#include "core/server.h"
#include "core/target.h"
#include "core/worker.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

/* What became of one. */
struct called {
	struct tako__dial *dial;
	struct tako__conn *conn; /* NULL: none, or not any more */
	unsigned done;
	int err;
	int sys_errno;
	char why[640];
	char alpn[64];
	char got[256];
	size_t got_n;
	unsigned ends;
	unsigned drains;
	unsigned finis;
	bool leave_it;  /* become nobody's */
	bool inside;    /* tako__dial() is running: nobody may call back */
	bool again;     /* dial again from done(), once */
	bool was_alone; /* its listener was NULL, and it was not draining */
};

struct place {
	struct tako__target target;
	char text[TAKO__LOCAL_TEXT_BYTES];
	int fd;
};

/* Of the test's: bound, listening if `backlog` >= 0. */
void place_tcp(struct place *p, int backlog);
/* False: the port is somebody else's. */
bool place_tcp_at(struct place *p, const char *ip, uint16_t port, int backlog);
void place_unix(struct place *p, int backlog);
/* What has connected, within a second or so of turns; -1: nobody. */
int place_accept(const struct place *p, struct stepped *s);

/* 0, or the error of what failed; nothing is left then. */
int dial_rig_start(struct stepped *s, const tako_server_config *cfg);
struct tako__worker *dial_rig_worker(struct stepped *s);
/* tako__dial(), with what becomes of it in *c. */
int dial_rig_call(struct called *c, struct stepped *s, const struct tako__target *t,
                  const struct tako__dial_options *o);
/* The same, of an address as text. */
int dial_rig_call_text(struct called *c, struct stepped *s, const char *text);
/* Turns, until it is done. */
void dial_rig_await(struct called *c, struct stepped *s);
/* Until it has heard that many bytes or an end. */
void dial_rig_hear(struct called *c, struct stepped *s, size_t n);
tako_stats dial_rig_stats(struct stepped *s);

#endif /* TESTS_UNIT_DIAL_RIG_H */
