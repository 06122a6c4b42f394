/* SPDX-License-Identifier: MIT
 *
 * /stream: an answer in pieces, as fast as the client takes them or one every delay_ms.  It never
 * has more than a few pieces in memory, whatever the client asks for.
 */
#include <string.h>

#include "showcase.h"

enum {
	CHUNKS_MAX = 1000000,
	BYTES_MAX = 1 << 20,
	DELAY_MS_MAX = 60000,
	UNSENT_MAX = 256 << 10 /* then wait for the client */
};

struct streaming {
	uint64_t chunks;
	uint64_t bytes;
	uint64_t delay_ms;
	uint64_t sent_chunks;
	char *piece;
};

static void stream_on(tako_res *res, void *arg);

/* Pieces differ, so that one that is lost, doubled or out of place shows. */
static int64_t write_piece(tako_res *res, struct streaming *s)
{
	memset(s->piece, 'a' + (int)(s->sent_chunks % 26), s->bytes);
	s->piece[s->bytes - 1] = '\n';
	s->sent_chunks++;
	return tako_res_write(res, (tako_str){s->piece, s->bytes}, NULL, NULL);
}

/* 0: all is written; 1: stream_on() will be called again; or a TAKO_E*. */
static int write_pieces(tako_res *res, struct streaming *s)
{
	while (s->sent_chunks < s->chunks) {
		int64_t unsent = write_piece(res, s);
		int rc = 0;

		if (unsent < 0)
			return (int)unsent;
		if (s->sent_chunks == s->chunks)
			break;
		if (s->delay_ms)
			rc = tako_res_after(res, (uint32_t)s->delay_ms, stream_on, s);
		else if (unsent > UNSENT_MAX)
			rc = tako_res_on_drain(res, stream_on, s);
		else
			continue;
		return rc < 0 ? rc : 1;
	}
	return 0;
}

static void stream_on(tako_res *res, void *arg)
{
	int rc;

	if (tako_res_closed(res))
		return;
	rc = write_pieces(res, arg);
	if (rc == 0)
		rc = tako_res_end(res);
	if (rc < 0)
		tako_res_fail(res, rc);
}

int stream(tako_req *req, tako_res *res, void *arg)
{
	struct streaming *s = tako_req_alloc(req, sizeof *s);

	(void)arg;
	if (!s)
		return TAKO_ENOMEM;
	*s = (struct streaming){.chunks = 10, .bytes = 64};

	const struct number numbers[] = {
		{"chunks", 0, CHUNKS_MAX, &s->chunks},
		{"bytes", 1, BYTES_MAX, &s->bytes},
		{"delay_ms", 0, DELAY_MS_MAX, &s->delay_ms},
	};
	if (!numbers_read(req, res, numbers, COUNT_OF(numbers)))
		return 0;
	s->piece = tako_req_alloc(req, s->bytes);
	if (!s->piece)
		return TAKO_ENOMEM;
	tako_res_header(res, "Content-Type", "text/plain");
	tako_res_header(res, "Cache-Control", "no-store");
	stream_on(res, s);
	return 0;
}
