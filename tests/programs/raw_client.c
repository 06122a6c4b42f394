/* SPDX-License-Identifier: MIT
 *
 * QUIC without HTTP for tests/integration/rawwire.py: one connection of ngtcp2's, which is not ours, told what to do
 * over the socket that is descriptor 0.  Its end is the connection's.
 *
 *   raw_client ADDRESS PORT ALPN [window=BYTES] [hold]
 *
 * A message either way is a kind, a flag, a stream, a length, and so many bytes (told.h).
 * To it, and what the flag means:
 *   O  open a stream                              it goes one way
 *   D  some of a stream                           it is the last
 *   R  reset a stream, S have it stopped, with a code of eight bytes
 *   G  a datagram
 *   W  with "hold" the windows stay as they are until this comes
 *   Q  how much of a stream has left?
 *   C  close the connection, with a code and a reason
 * From it:
 *   o  connected
 *   n  the number of a stream that was to be opened
 *   d  some of a stream                           it is the last
 *   r  its reset, with a code; c it is closed, with a code
 *   g  a datagram
 *   q  so many bytes of a stream have left
 *   x  the end of everything, with a sentence
 */
#include "told.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <unistd.h>

enum {
	STREAMS = 64,
	WINDOW_BYTES = 1 << 20,
	SERVERS_STREAMS = 8,
	OUT_BYTES = 8 << 20, /* of ours in a stream */
};

/* All that was ever given to it, as it may have to be sent again. */
struct stream {
	int64_t id; /* -1: free */
	uint8_t *out;
	size_t out_n, sent;
	bool fin, fin_sent, blocked;
	uint64_t held; /* bytes that no window has grown by */
};

static struct {
	struct quic_peer quic;
	struct stream streams[STREAMS];
	unsigned to_open[2]; /* by the flag */
	bool hold;
	bool told_end;
} g;

/* ---- Streams ------------------------------------------------------------------------------------- */

static struct stream *find(int64_t id)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		if (g.streams[i].id == id)
			return &g.streams[i];
	}
	return NULL;
}

/* Of either side's. */
static struct stream *find_or_make(int64_t id)
{
	struct stream *s = find(id);

	if (!s) {
		s = find(-1);
		if (!s)
			die("too many streams");
		s->id = id;
	}
	return s;
}

static void forget(struct stream *s)
{
	free(s->out);
	*s = (struct stream){.id = -1};
}

static void open_streams(void)
{
	for (int uni = 0; uni < 2; uni++) {
		int64_t id = 0;

		while (g.to_open[uni] && (id = quic_peer_stream(&g.quic, uni, NULL)) >= 0) {
			g.to_open[uni]--;
			(void)find_or_make(id);
			emit('n', uni, id, NULL, 0);
		}
	}
}

/* ---- What QUIC asks and tells ------------------------------------------------------------------------ */

static int on_ready(struct quic_peer *p)
{
	(void)p;
	emit('o', false, 0, NULL, 0);
	return 0;
}

static int on_data(struct quic_peer *p, int64_t id, void *stream, const uint8_t *b, size_t n,
                   bool fin)
{
	struct stream *s = find_or_make(id);

	(void)stream;
	emit('d', fin, id, b, n);
	if (g.hold)
		s->held += n;
	else
		quic_peer_consumed(p, id, n);
	return 0;
}

static int on_reset(struct quic_peer *p, int64_t id, void *stream, uint64_t code)
{
	(void)p, (void)stream;
	emit_code('r', id, code);
	return 0;
}

static int on_unblocked(struct quic_peer *p, int64_t id, void *stream)
{
	struct stream *s = find(id);

	(void)p, (void)stream;
	if (s)
		s->blocked = false;
	return 0;
}

static int on_closed(struct quic_peer *p, int64_t id, void *stream, uint64_t code)
{
	struct stream *s = find(id);

	(void)p, (void)stream;
	emit_code('c', id, code);
	if (s)
		forget(s);
	return 0;
}

static int on_datagram(struct quic_peer *p, const uint8_t *b, size_t n)
{
	(void)p;
	emit('g', false, 0, b, n);
	return 0;
}

static int next(struct quic_peer *p, int64_t *id, bool *fin, struct iovec *vec)
{
	(void)p;
	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream *s = &g.streams[i];

		if (s->id < 0 || s->blocked || s->fin_sent || (s->sent == s->out_n && !s->fin))
			continue;
		*id = s->id;
		*fin = s->fin;
		vec[0] = (struct iovec){s->out + s->sent, s->out_n - s->sent};
		return s->sent < s->out_n;
	}
	return 0;
}

static void wrote(struct quic_peer *p, int64_t id, size_t n, bool fin)
{
	struct stream *s = find(id);

	(void)p;
	if (!s)
		return;
	s->sent += n;
	s->fin_sent |= fin;
}

/* Who reads no more is sent no more. */
static void on_blocked(struct quic_peer *p, int64_t id, bool shut)
{
	struct stream *s = find(id);

	(void)p;
	if (s)
		*(shut ? &s->fin_sent : &s->blocked) = true;
}

static const struct quic_peer_ops ops = {
	.ready = on_ready,
	.data = on_data,
	.reset = on_reset,
	.unblocked = on_unblocked,
	.closed = on_closed,
	.next = next,
	.wrote = wrote,
	.blocked = on_blocked,
	.datagram = on_datagram,
};

/* ---- What the test says ----------------------------------------------------------------------------------- */

/* It never moves: the library knows where it is. */
static void add(struct stream *s, const uint8_t *p, size_t n, bool fin)
{
	if (!s)
		return;
	if (!s->out && !(s->out = malloc(OUT_BYTES)))
		die("out of memory");
	if (s->out_n + n > OUT_BYTES)
		die("too much for a stream");
	memcpy(s->out + s->out_n, p, n);
	s->out_n += n;
	s->fin = fin;
}

static void let_flow(void)
{
	g.hold = false;
	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream *s = &g.streams[i];

		if (s->id >= 0 && s->held)
			quic_peer_consumed(&g.quic, s->id, s->held);
		s->held = 0;
	}
}

static bool obey(char kind, bool flag, int64_t id, uint8_t *p, size_t n)
{
	switch (kind) {
	case 'O':
		g.to_open[flag]++;
		break;
	case 'D':
		add(find(id), p, n, flag);
		break;
	case 'R':
		(void)tako__ngtcp2_shutdown_write(g.quic.conn, id, number(p, 8));
		break;
	case 'S':
		(void)tako__ngtcp2_shutdown_read(g.quic.conn, id, number(p, 8));
		break;
	case 'G':
		if (!quic_peer_datagram(&g.quic, p, n))
			die("no such datagram");
		break;
	case 'Q':
		emit_code('q', id, find(id) ? find(id)->sent : 0);
		break;
	case 'W':
		let_flow();
		break;
	case 'C':
		quic_peer_close_saying(&g.quic, number(p, 8), (const char *)p + 8, n - 8);
		break;
	default:
		die("an unknown message");
	}
	return true;
}

/* ---- Turns ---------------------------------------------------------------------------------------------- */

static void tell_end(void)
{
	const struct quic_peer_end *e = &g.quic.end;
	char text[400];
	int n;

	if (!g.quic.ended || g.told_end)
		return;
	g.told_end = true;
	n = snprintf(text, sizeof text, "%s %s %llu %s%s", e->by_peer ? "server" : "client",
	             e->app ? "application" : "transport", (unsigned long long)e->code, e->reason,
	             e->why ? e->why : "");
	emit('x', false, 0, text, n > 0 ? (size_t)n : 0);
}

static void turn(void)
{
	told_wait(&g.quic);
	if (!g.quic.ended) {
		quic_peer_read(&g.quic);
		told_obey(&g.quic, obey);
		open_streams();
	}
	if (!g.quic.ended)
		quic_peer_write(&g.quic);
	tell_end();
	told_flush();
}

static void begin(char **argv, const struct quic_peer_config *from)
{
	struct quic_peer_config cfg = *from;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};

	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		die("no address");
	cfg.remote = (const struct sockaddr *)&to;
	cfg.remote_n = sizeof to;
	for (unsigned i = 0; i < STREAMS; i++)
		g.streams[i].id = -1;
	if (!quic_peer_init(argv[3]) || !quic_peer_open(&g.quic, &cfg))
		die("cannot begin");
	quic_peer_write(&g.quic);
}

int main(int argc, char **argv)
{
	struct quic_peer_config cfg = {.ops = &ops,
	                               .stream_window = WINDOW_BYTES,
	                               .window = WINDOW_BYTES,
	                               .bidi_streams = SERVERS_STREAMS};

	if (argc < 4)
		die("raw_client ADDRESS PORT ALPN [window=BYTES] [hold]");
	for (int i = 4; i < argc; i++) {
		if (strcmp(argv[i], "hold") == 0)
			g.hold = true;
		else if (sscanf(argv[i], "window=%" SCNu64, &cfg.window) == 1)
			cfg.stream_window = cfg.window;
		else
			die(argv[i]);
	}
	begin(argv, &cfg);
	while (!told.in_eof)
		turn();
	quic_peer_close(&g.quic, 0);
	for (unsigned i = 0; i < STREAMS; i++)
		free(g.streams[i].out);
	quic_peer_free(&g.quic);
	quic_peer_fini();
	free(told.out);
	return 0;
}
