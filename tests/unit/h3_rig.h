/* SPDX-License-Identifier: MIT
 *
 * HTTP/3 without packets: a fake of quic_app.h, in memory, between a stepped server's session and
 * a client that is either nghttp3, written by others from the same RFCs, or bytes.  The fake
 * counts windows, plays acknowledgements, and holds the session to the rules of the seam: a
 * breach is a sentence in `wrong`.
 *
 * One rig at a time.  Never asserts by itself, because it also runs where allocations fail.
 */
#ifndef TESTS_UNIT_H3_RIG_H
#define TESTS_UNIT_H3_RIG_H

#include <nghttp3/nghttp3.h>

#include "unit/h3_bytes.h"
#include "unit/stepped.h"

enum {
	H3_RIG_STREAMS = 160,
	H3_RIG_NONE = -1,
	H3_RIG_DATAGRAMS = 8, /* the last ones */
	H3_RIG_DATAGRAM_BYTES = 1200,
};

struct h3_rig_datagram {
	char data[H3_RIG_DATAGRAM_BYTES];
	size_t n;
};

struct h3_rig_stream {
	int64_t id;
	void *app;  /* what the session has put on it */
	bool known; /* the session has been told of it */
	bool gone;  /* … and that it is over */
	/* From the server. */
	char *got;
	size_t got_n;
	size_t got_cap;
	size_t read_n;  /* of it, given to the client */
	size_t acked_n; /* … and acknowledged */
	uint64_t window;
	bool blocked;
	bool got_fin;
	bool fin_read;
	bool reset;
	uint64_t reset_code;
	bool stopped; /* we shall send no more */
	bool stop_due;
	uint64_t stop_code;
	/* To the server. */
	uint64_t sent_bytes;
	uint64_t consumed_bytes;
	bool ended; /* by FIN or RESET_STREAM */
	/* What nghttp3 made of it. */
	int status;   /* of the last head; 0: none */
	int informed; /* the one before it */
	size_t body_n;
	uint64_t body_sum;
	char head[4096]; /* "name: value\n" each, in their order */
	char trailers[512];
	bool complete;
	/* What nghttp3 is to send. */
	const char *up;
	size_t up_n;
	size_t up_left;
	bool up_open; /* more may come */
};

struct h3_rig {
	struct stepped server;
	int fd;
	struct tako__conn *c; /* NULL: gone */
	struct h3_rig_stream streams[H3_RIG_STREAMS];
	unsigned count;
	int64_t next_bidi;
	int64_t next_uni;
	int64_t next_ours; /* that go one way */
	int64_t next_our_bidi;
	size_t datagram_max; /* 0: the client takes none */
	struct h3_rig_datagram datagrams[H3_RIG_DATAGRAMS];
	unsigned datagram_count;
	uint64_t streams_left; /* of ours, that the session may open */
	uint64_t granted;      /* of the client's, without those given back late */
	uint64_t window;       /* of each stream that is opened from now on */
	size_t mtu;            /* bytes of a piece that leave at once */
	uint64_t consumed_bytes;
	unsigned more; /* streams that the session gave back late */
	bool busy;
	bool lasting; /* the connection outlives what is said on it */
	bool hold_acks;
	bool deaf;        /* the client goes on with what it was asked to stop */
	bool hold_output; /* congestion */
	bool closed;
	uint64_t code;
	char reason[128];
	const char *wrong;
	nghttp3_conn *client;
	bool client_failed;
};

/* Serve on a connection that is open when this returns.  False: it could not be. */
bool h3_rig_start(struct h3_rig *r, tako_router *router, const tako_server_config *cfg);
/* Drain and free. */
void h3_rig_stop(struct h3_rig *r);
/* A new session on the same connection, for who has very many of them: the first call says so. */
void h3_rig_renew(struct h3_rig *r);
/* All that can happen now. */
void h3_rig_pump(struct h3_rig *r);
/* The same, and `turns` of the server of up to 1 ms. */
void h3_rig_run(struct h3_rig *r, unsigned turns);

struct h3_rig_stream *h3_rig_stream(struct h3_rig *r, int64_t id);
/* Client's streams, by number. */
int64_t h3_rig_open(struct h3_rig *r, bool uni);
/* Bytes of one. */
void h3_rig_send(struct h3_rig *r, int64_t id, const char *p, size_t n, bool fin);
void h3_rig_datagram(struct h3_rig *r, const char *p, size_t n);
void h3_rig_reset(struct h3_rig *r, int64_t id, uint64_t code);
void h3_rig_stop_sending(struct h3_rig *r, int64_t id, uint64_t code);
/* The client's windows grow. */
void h3_rig_allow(struct h3_rig *r, int64_t id, uint64_t n);

/* nghttp3 as the client; settings may be NULL. */
bool h3_rig_client(struct h3_rig *r, const nghttp3_settings *settings);
/* Ask; `fields` are "name: value\n" each behind the four pseudo-header fields, or NULL; `up` is a
 * body or NULL.  The stream. */
int64_t h3_rig_ask(struct h3_rig *r, const char *method, const char *path, const char *fields,
                   const char *up, size_t up_n);
/* More of a body that h3_rig_ask() was given as "" and whose up_open was set. */
void h3_rig_up(struct h3_rig *r, int64_t id, const char *up, size_t n, bool end);

#endif /* TESTS_UNIT_H3_RIG_H */
