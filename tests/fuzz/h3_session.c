/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a peer sends to an HTTP/3 session, without packets.  The input is a list of pieces, each
 * behind a byte that names its stream and how it ends and one with its length; requests are
 * answered by real handlers on one connection whose session begins anew for each input.
 */
#include "unit/h3_rig.c"
#include "unit/stepped.c"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static struct h3_rig fuzz_rig;

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello");
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = data.n ? tako_res_write(res, data, NULL, NULL) : 0;

	(void)req, (void)arg;
	if (rc >= 0 && end)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, echo_body, arg);
}

static void begin(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/", hello, NULL);
	tako_post(r, "/", echo, NULL);
	MUST(h3_rig_start(&fuzz_rig, r,
	                  TAKO_SERVER_CONFIG(.h3_max_header_list_bytes = 4096,
	                                     .h3_max_control_count = 64, .max_header_count = 20)));
	tako_router_free(r);
}

/* Three unidirectional streams and five requests. */
static void say(int64_t *ids, const uint8_t *piece, const uint8_t *p, size_t n)
{
	int64_t *id = &ids[piece[0] & 7];

	if (*id < 0)
		*id = h3_rig_open(&fuzz_rig, (piece[0] & 7) < 3);
	if (piece[0] & 16)
		h3_rig_reset(&fuzz_rig, *id, 0x10c);
	else
		h3_rig_send(&fuzz_rig, *id, (const char *)p, n, piece[0] & 8);
	if (piece[0] & 32)
		h3_rig_stop_sending(&fuzz_rig, *id, 0x10c);
	if (piece[0] & 64)
		h3_rig_pump(&fuzz_rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int64_t ids[8] = {-1, -1, -1, -1, -1, -1, -1, -1};

	if (!fuzz_rig.server.srv)
		begin();
	h3_rig_renew(&fuzz_rig);
	while (n > 2 && !fuzz_rig.closed) {
		size_t step = p[1] < n - 2 ? p[1] : n - 2;

		say(ids, p, p + 2, step);
		p += 2 + step;
		n -= 2 + step;
	}
	h3_rig_pump(&fuzz_rig);
	MUST(!fuzz_rig.wrong);
	/* What was paid for came, and no more. */
	for (unsigned i = 0; i < fuzz_rig.count; i++)
		MUST(fuzz_rig.streams[i].consumed_bytes <= fuzz_rig.streams[i].sent_bytes);
	return 0;
}
