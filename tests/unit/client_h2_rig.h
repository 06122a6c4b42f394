/* SPDX-License-Identifier: MIT
 *
 * The other end of a client's connection, in HTTP/2: says exactly what a test tells it to, frame by frame, right or
 * wrong, and remembers what it was asked.  Of the library it has only HPACK.
 */
#ifndef TESTS_UNIT_CLIENT_H2_RIG_H
#define TESTS_UNIT_CLIENT_H2_RIG_H

#include <nghttp2/nghttp2.h>

#include "unit/client_rig.h"

enum {
	H2_PLACE_STREAMS = 256,
	H2_PLACE_NOTHING = -1,
	H2_PLACE_END = NGHTTP2_FLAG_END_STREAM,
};

/* What was asked on one stream. */
struct h2_asked {
	bool head;
	bool end;
	char text[1024]; /* its fields, "name: value\n" */
	size_t body;     /* bytes of it */
	int64_t reset;   /* the code; or H2_PLACE_NOTHING */
	uint32_t granted;
};

struct h2_place {
	struct client_rig *r;
	int fd;
	nghttp2_hd_inflater *in;
	nghttp2_hd_deflater *out;
	bool preface;
	bool ended; /* the client has */
	bool said;  /* our SETTINGS, and that we have seen the client's */
	unsigned settings;
	unsigned acks; /* of ours */
	unsigned pongs;
	uint32_t window;  /* of a stream, as the client has said */
	uint32_t granted; /* of the connection */
	bool pushes;      /* the client has not said that it takes none */
	int64_t goaway;
	unsigned asked_count;
	unsigned reset_count;
	struct h2_asked asked[H2_PLACE_STREAMS]; /* by id / 2 */
	size_t n;
	unsigned char got[1 << 17];
};

/* A rig whose client speaks HTTP/2 with prior knowledge, with the rest of `cfg`. */
void h2_place_rig(struct client_rig *r, const tako_client_config *cfg, void (*act)(void *arg),
                  void *arg);

/* Take a connection, within some turns; its preface and SETTINGS have come. */
void h2_place_open(struct h2_place *q, const struct place *p, struct client_rig *r);
/* … and say how many requests it may have. */
void h2_place_serve(struct h2_place *q, const struct place *p, struct client_rig *r,
                    uint32_t streams);
void h2_place_close(struct h2_place *q);

/* Say it; what comes of it is read by the next turns. */
void h2_place_frame(struct h2_place *q, unsigned type, unsigned flags, int32_t id, const void *p,
                    size_t n);
void h2_place_setting(struct h2_place *q, uint16_t id, uint32_t value);
/* Fields as "name: value\n", and DATA. */
void h2_place_head(struct h2_place *q, int32_t id, unsigned flags, const char *fields);
void h2_place_data(struct h2_place *q, int32_t id, unsigned flags, const char *text);
void h2_place_reset(struct h2_place *q, int32_t id, uint32_t code);
void h2_place_goaway(struct h2_place *q, int32_t last, uint32_t code);
/* 204. */
void h2_place_answer(struct h2_place *q, int32_t id);

/* Turns of the server, with what comes of them. */
void h2_place_turns(struct h2_place *q, unsigned count);
/* Until so many requests have come; the last one's stream. */
int32_t h2_place_await(struct h2_place *q, unsigned count);
/* Until its body, as far as it is to come, and perhaps its end. */
void h2_place_await_body(struct h2_place *q, int32_t id, size_t n, bool end);
/* Until it was reset, and with what. */
int64_t h2_place_await_reset(struct h2_place *q, int32_t id);
/* Until the client has ended the connection; the code of its GOAWAY. */
int64_t h2_place_await_end(struct h2_place *q);
struct h2_asked *h2_place_of(struct h2_place *q, int32_t id);

#endif /* TESTS_UNIT_CLIENT_H2_RIG_H */
