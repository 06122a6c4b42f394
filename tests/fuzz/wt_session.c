/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a peer says to a WebTransport session over HTTP/3, without packets: capsules, streams
 * with and without their first bytes, datagrams.  The input is a list of pieces, each behind a byte that
 * says where it goes and how it ends and one with its length; the user sends back what comes, pauses
 * some, and closes when he is told to.  Each input has a session of its own on one connection.
 */
#include "unit/h3_bytes.c"
#include "unit/h3_rig.c"
#include "unit/stepped.c"
#include "unit/wt_log.c"

#include "transports/h3/h3_frame.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static struct h3_rig fuzz_rig;

static int on_wt(tako_req *req, tako_res *res, void *arg)
{
	return tako_wt_accept(req, res, arg, NULL);
}

static void begin(void)
{
	static tako_wt_config config;
	tako_router *r = tako_router_new();

	config = wt_log_config;
	config.max_stream_count = 6;
	config.max_unsent_bytes = 500;
	tako_get(r, "/wt", on_wt, &config);
	MUST(h3_rig_start(&fuzz_rig, r, TAKO_SERVER_CONFIG(.wt_max_early_streams = 2)));
	tako_router_free(r);
	fuzz_rig.datagram_max = H3_RIG_DATAGRAM_BYTES;
}

static int64_t put(bool uni, const char *p, size_t n)
{
	int64_t id = h3_rig_open(&fuzz_rig, uni);

	if (id >= 0)
		h3_rig_send(&fuzz_rig, id, p, n, false);
	return id;
}

static void connect_session(void)
{
	char frame[256];

	(void)put(true, "\0\x04\x02\x33\x01", 5);
	(void)put(false, frame,
	          h3_rig_headers(frame, ":method=CONNECT\n:protocol=webtransport\n:scheme=https\n"
	                                ":path=/wt\n:authority=a\n"));
	h3_rig_pump(&fuzz_rig);
}

static void data_frame(const uint8_t *p, size_t n, bool fin)
{
	char frame[TAKO__H3_HEAD_BYTES + 256];
	size_t head_n = tako__h3_frame_write(frame, 0, n);

	memcpy(frame + head_n, p, n);
	h3_rig_send(&fuzz_rig, 0, frame, head_n + n, fin);
}

/* What the user does of his own accord. */
static void act(unsigned what)
{
	tako_wt_stream *s = wt_log.count ? wt_log.streams[what % wt_log.count] : NULL;

	if (what & 1)
		wt_log.pause = !wt_log.pause;
	if ((what & 2) && s)
		tako_wt_resume(s);
	if ((what & 4) && s)
		(void)tako_wt_reset(s, what);
	if ((what & 8) && s)
		(void)tako_wt_stop(s, what);
	if ((what & 16) && wt_log.wt)
		(void)tako_wt_open(wt_log.wt, what & 32, &s);
	if ((what & 64) && wt_log.wt)
		(void)tako_wt_close(wt_log.wt, what, TAKO_STR("enough"));
}

static void say(int64_t *ids, const uint8_t *piece, const uint8_t *p, size_t n)
{
	static const char *const prefaces[] = {"\x40\x54\0", "\x40\x54\0", "\x40\x41\0",
	                                       "\x40\x41\0"};
	unsigned where = piece[0] & 7;
	bool fin = piece[0] & 8;

	if (where == 4) {
		data_frame(p, n, fin);
	} else if (where == 5) {
		h3_rig_datagram(&fuzz_rig, (const char *)p, n);
	} else if (where == 6) {
		act(piece[1]);
	} else {
		if (ids[where] < 0)
			ids[where] = where == 7 ? h3_rig_open(&fuzz_rig, fin)
			                        : put(where < 2, prefaces[where], 3);
		if (piece[0] & 16)
			h3_rig_reset(&fuzz_rig, ids[where], 0x10c);
		else
			h3_rig_send(&fuzz_rig, ids[where], (const char *)p, n, fin);
		if (piece[0] & 32)
			h3_rig_stop_sending(&fuzz_rig, ids[where], 0x10c);
	}
	if (piece[0] & 64)
		h3_rig_pump(&fuzz_rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int64_t ids[8] = {-1, -1, -1, -1, -1, -1, -1, -1};

	if (!fuzz_rig.server.srv)
		begin();
	/* The one before is over with that. */
	h3_rig_renew(&fuzz_rig);
	MUST(wt_log.opened == wt_log.closed);
	wt_log_start();
	fuzz_rig.streams_left = 8;
	connect_session();
	wt_log.echo = true;
	while (n > 2 && !fuzz_rig.closed) {
		size_t step = p[1] < n - 2 ? p[1] : n - 2;

		say(ids, p, p + 2, step);
		p += 2 + step;
		n -= 2 + step;
	}
	h3_rig_pump(&fuzz_rig);
	MUST(!fuzz_rig.wrong);
	return 0;
}
