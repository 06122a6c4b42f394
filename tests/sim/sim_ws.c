/* SPDX-License-Identifier: MIT
 *
 * See sim_ws.h.
 */
#include "sim/sim_ws.h"

#include <stdarg.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "sim/sim_app.h"
#include "sim/sim_ws_frame.h"

enum { TAIL_BYTES = 4 };

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

void sim_ws_init(struct sim_ws *ws, struct sim_rand *rand, const struct sim_ws_deflate *deflate)
{
	z_stream *z;

	*ws = (struct sim_ws){.rand = rand};
	if (!deflate || !deflate->client_bits)
		return;
	ws->deflate = *deflate;
	z = must(calloc(1, sizeof *z));
	if (deflateInit2(z, 6, Z_DEFLATED, -deflate->client_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	ws->deflater = z;
}

void sim_ws_free(struct sim_ws *ws)
{
	for (unsigned i = 0; i < ws->want_n; i++)
		free(ws->want[i].p);
	free(ws->said);
	if (ws->deflater)
		deflateEnd(ws->deflater);
	free(ws->deflater);
}

/* ---- What is said ----------------------------------------------------------------------- */

static void put(struct sim_ws *ws, const void *p, size_t n)
{
	if (ws->said_n + n > ws->said_cap) {
		ws->said_cap = (ws->said_n + n) * 2;
		ws->said = must(realloc(ws->said, ws->said_cap));
	}
	if (n)
		memcpy(ws->said + ws->said_n, p, n);
	ws->said_n += n;
}

static void say_frame(struct sim_ws *ws, unsigned first, const char *p, size_t n)
{
	char head[SIM_WS_HEAD_BYTES];
	char key[SIM_WS_KEY_BYTES];
	uint64_t random = sim_rand_u64(ws->rand);

	memcpy(key, &random, sizeof key);
	put(ws, head, sim_ws_frame_head(head, first, n, key));
	put(ws, p, n);
	sim_ws_frame_mask(ws->said + ws->said_n - n, n, key);
}

static void expect(struct sim_ws *ws, unsigned op, const char *p, size_t n)
{
	struct sim_ws_item *item = &ws->want[ws->want_n++];

	if (ws->want_n > SIM_WS_ITEMS_MAX)
		abort();
	*item = (struct sim_ws_item){.op = op, .p = must(malloc(n + 1)), .n = n};
	if (n)
		memcpy(item->p, p, n);
}

static void maybe_ping(struct sim_ws *ws)
{
	size_t n = sim_rand_size(ws->rand, 126) - 1;

	if (!sim_rand_chance(ws->rand, 200))
		return;
	say_frame(ws, SIM_WS_FIN | SIM_WS_PING, sim_pattern(n), n);
	expect(ws, SIM_WS_PONG, sim_pattern(n), n);
}

/* RFC 7692 section 7.2.1; NULL: this one is said as it is.  The caller frees it. */
static char *compressed(struct sim_ws *ws, const char *p, size_t n, size_t *ret_n)
{
	z_stream *z = ws->deflater;
	size_t room;
	char *out;

	if (!z || sim_rand_chance(ws->rand, 200))
		return NULL;
	if (!ws->deflate.client_keeps)
		deflateReset(z);
	room = deflateBound(z, (uLong)n) + 64;
	out = must(malloc(room));
	z->next_in = (unsigned char *)(uintptr_t)p;
	z->avail_in = (unsigned)n;
	z->next_out = (unsigned char *)out;
	z->avail_out = (unsigned)room;
	/* For an empty one zlib has nothing to flush a second time. */
	if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in || !z->avail_out) {
		if (n)
			abort();
		out[0] = 0;
		*ret_n = 1;
		return out;
	}
	*ret_n = room - z->avail_out - TAIL_BYTES;
	return out;
}

static char *content(struct sim_ws *ws, unsigned op, size_t n)
{
	char *p = must(malloc(n + 1));
	bool dull = sim_rand_chance(ws->rand, 500);

	for (size_t i = 0; i < n; i++)
		p[i] = op == SIM_WS_TEXT ? (char)('a' + i % 26)
		       : dull            ? (char)(i * 7)
		                         : sim_pattern(n)[i];
	return p;
}

void sim_ws_message(struct sim_ws *ws, size_t bytes_max)
{
	size_t n = sim_rand_size(ws->rand, bytes_max) - 1;
	unsigned op = sim_rand_chance(ws->rand, 500) ? SIM_WS_TEXT : SIM_WS_BINARY;
	char *plain = content(ws, op, n);
	size_t wire_n = n;
	char *packed = compressed(ws, plain, n, &wire_n);
	const char *wire = packed ? packed : plain;
	unsigned first = op | (packed ? SIM_WS_RSV1 : 0);
	size_t at = 0;

	while (ws->want_n < SIM_WS_ITEMS_MAX - 4 && sim_rand_chance(ws->rand, 400)) {
		size_t some = wire_n - at ? sim_rand_size(ws->rand, wire_n - at) : 0;

		say_frame(ws, first, wire + at, some);
		first = SIM_WS_CONTINUED;
		at += some;
		maybe_ping(ws);
	}
	say_frame(ws, SIM_WS_FIN | first, wire + at, wire_n - at);
	expect(ws, op, plain, n);
	free(packed);
	free(plain);
	if (ws->want_n < SIM_WS_ITEMS_MAX - 3)
		maybe_ping(ws);
}

void sim_ws_close(struct sim_ws *ws, unsigned code)
{
	char text[2] = {(char)(code >> 8), (char)code};

	say_frame(ws, SIM_WS_FIN | SIM_WS_CLOSE, text, sizeof text);
	expect(ws, SIM_WS_CLOSE, text, sizeof text);
}

/* ---- What came ---------------------------------------------------------------------------- */

/* RFC 7692 section 7.2.2, with no more window than was agreed on. */
static size_t inflated(struct sim_ws *ws, z_stream *z, const struct sim_ws_frame *f, char *out,
                       size_t room)
{
	static const unsigned char tail[TAIL_BYTES] = {0, 0, 0xff, 0xff};
	unsigned char *in = must(malloc(f->n + TAIL_BYTES));

	memcpy(in, f->p, f->n);
	memcpy(in + f->n, tail, TAIL_BYTES);
	if (!ws->deflate.server_keeps)
		inflateReset(z);
	z->next_in = in;
	z->avail_in = (unsigned)(f->n + TAIL_BYTES);
	z->next_out = (unsigned char *)out;
	z->avail_out = (unsigned)room;
	assert_int_equal(inflate(z, Z_SYNC_FLUSH), Z_OK);
	assert_int_equal(z->avail_in, 0);
	free(in);
	return room - z->avail_out;
}

static void check_item(struct sim_ws *ws, z_stream *z, const struct sim_ws_frame *f,
                       const struct sim_ws_item *want)
{
	char *out;
	size_t n;

	assert_int_equal(f->first & 0x3f, want->op);
	if (!(f->first & SIM_WS_RSV1)) {
		assert_int_equal(f->n, want->n);
		assert_memory_equal(f->p, want->p, want->n);
		return;
	}
	assert_true(ws->deflate.client_bits && want->op <= SIM_WS_BINARY);
	out = must(malloc(want->n + 1));
	n = inflated(ws, z, f, out, want->n + 1);
	assert_int_equal(n, want->n);
	assert_memory_equal(out, want->p, n);
	free(out);
}

unsigned sim_ws_check(struct sim_ws *ws, const char *p, size_t n, unsigned *ret_close)
{
	z_stream z = {.next_in = NULL};
	unsigned got = 0;
	struct sim_ws_frame f;

	*ret_close = 0;
	if (ws->deflate.client_bits && inflateInit2(&z, -ws->deflate.server_bits) != Z_OK)
		abort();
	while (n && sim_ws_frame_next(&p, &n, &f)) {
		const struct sim_ws_item *want = got < ws->want_n ? &ws->want[got] : NULL;

		assert_int_equal(*ret_close, 0);
		assert_true(f.first & SIM_WS_FIN);
		if (sim_ws_frame_code(&f) &&
		    (!want || want->op != SIM_WS_CLOSE || memcmp(want->p, f.p, 2) != 0)) {
			*ret_close = sim_ws_frame_code(&f);
			continue;
		}
		assert_non_null(want);
		check_item(ws, &z, &f, want);
		got++;
	}
	if (ws->deflate.client_bits)
		inflateEnd(&z);
	return got;
}
