/* SPDX-License-Identifier: MIT
 *
 * A stepped server with one method of gRPC at /s/m, whose callbacks the test chooses, and a client of it
 * over HTTP/1.1: what carries a call makes no difference to it, and this one can be written by hand.
 */
#ifndef TESTS_UNIT_GRPC_RIG_H
#define TESTS_UNIT_GRPC_RIG_H

#include "unit/stepped.h"

enum { RIG_WAIT_MS = 20000, RIG_MESSAGES_MAX = 16 };

struct rig {
	struct stepped server;
	struct peer peer;
	struct reply reply;
	/* Of the last reply. */
	int http;
	int status; /* -1: it said none */
	char message[1024];
	size_t count; /* of messages */
	tako_str messages[RIG_MESSAGES_MAX];
	unsigned flags[RIG_MESSAGES_MAX];
};

/* `router` is taken over.  0, or the error of what failed. */
int grpc_rig_start_router(struct rig *r, tako_router *router, const tako_server_config *cfg);
int grpc_rig_start(struct rig *r, int kind, const tako_grpc_config *cfg, void *arg);
/* Everything is given back: what tako_server_step() returned last. */
int grpc_rig_stop(struct rig *r);
void grpc_rig_turns(struct rig *r, int n);

/* Send a request; `fields` NULL: application/grpc.  `body` is counted. */
void grpc_rig_send(struct rig *r, const char *path, const char *fields, const void *body, size_t n);
/* Its head, and a body whose chunks follow. */
void grpc_rig_open(struct rig *r, const char *path, const char *fields);
void grpc_rig_chunk(struct rig *r, const void *p, size_t n);
void grpc_rig_end(struct rig *r);
/* Take the next reply apart.  Returns its grpc-status, -1 if there is none, -2 if there is no reply. */
int grpc_rig_reply(struct rig *r);
/* grpc_rig_send() and grpc_rig_reply() for a call of /s/m with these bytes. */
int grpc_rig_call(struct rig *r, const char *fields, const void *body, size_t n);
/* The same with one message. */
int grpc_rig_say(struct rig *r, const char *fields, tako_str msg);
/* Write a prefix and a message; returns how many bytes. */
size_t grpc_rig_frame(char *to, unsigned flags, const void *msg, size_t n);
/* A field of the reply's head, or of its trailers; NULL if absent. */
const char *grpc_rig_field(struct rig *r, const char *name);
const char *grpc_rig_trailer(struct rig *r, const char *name);

#endif /* TESTS_UNIT_GRPC_RIG_H */
