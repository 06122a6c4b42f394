/* SPDX-License-Identifier: MIT
 *
 * HTTP/3 for tests/integration/h3wire.py: one connection of ngtcp2's and nghttp3's, which are not ours,
 * told what to do over the socket that is descriptor 0.  Its end is the connection's.
 *
 *   h3_client ADDRESS PORT [window=BYTES]
 *
 * A message either way is a kind, a flag, a stream, a length, and so many bytes (told.h).
 * To it, and what the flag means:
 *   H  a request's fields, "name\0value\0" each   no body follows
 *   D  some of a stream's body                    it is the last
 *   T  its trailers, and so its end
 *   R  reset a stream, and have the other side stopped, with a code of eight bytes
 *   M  go on from another port
 *   C  close the connection, with a code
 * From it:
 *   o  connected
 *   h  the fields of a head, final or not; t of trailers
 *   d  some of a body
 *   e  the end of a stream, as it should be
 *   r  its reset, with a code; c it is closed, with a code
 *   g  GOAWAY
 *   x  the end of everything, with a sentence
 * The server's windows grow by what has been taken from this socket, so a test that reads slowly is a
 * client that does.
 */
#include "told.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <nghttp3/nghttp3.h>
#include <unistd.h>

enum {
	FIELDS_MAX = 128,
	WINDOW_BYTES = 1 << 20,
	OWED_MAX = 1 << 16,
	H3_NO_ERROR = 0x100,
};

/* A piece of a body, which may have to be sent again until it is acknowledged. */
struct piece {
	struct piece *next;
	size_t n;
	uint8_t bytes[];
};

struct stream {
	struct stream *next;
	int64_t id;
	struct piece *first; /* not acknowledged */
	struct piece *given; /* the last that nghttp3 has, NULL: none */
	struct piece *last;
	uint64_t acked; /* of `first` */
	uint8_t *trailers;
	size_t trailers_n;
	bool fin; /* no more pieces follow */
};

/* Bytes of a body that are counted until they have been taken from us. */
struct owed {
	uint64_t at; /* of all that we have written */
	int64_t id;
	size_t n;
};

static struct {
	struct quic_peer quic;
	nghttp3_conn *h3;
	struct stream *streams;
	struct owed owed[OWED_MAX];
	size_t owed_first, owed_n;
	uint8_t *fields;
	size_t fields_n, fields_cap;
	bool told_end;
} g;

/* What was taken is room for more. */
static void pay_owed(void)
{
	while (g.owed_n && g.owed[g.owed_first].at <= told.out_sent) {
		struct owed *o = &g.owed[g.owed_first];

		quic_peer_consumed(&g.quic, o->id, o->n);
		g.owed_first = (g.owed_first + 1) % OWED_MAX;
		g.owed_n--;
	}
}

static void flush_out(void)
{
	told_flush();
	pay_owed();
}

/* ---- Streams ------------------------------------------------------------------------------------- */

static struct stream *find(int64_t id)
{
	for (struct stream *s = g.streams; s; s = s->next) {
		if (s->id == id)
			return s;
	}
	return NULL;
}

static void drop_piece(struct stream *s)
{
	struct piece *k = s->first;

	s->first = k->next;
	free(k);
}

static void forget(struct stream *s)
{
	struct stream **at = &g.streams;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	while (s->first)
		drop_piece(s);
	free(s->trailers);
	free(s);
}

static void add_piece(struct stream *s, const uint8_t *p, size_t n)
{
	struct piece *k = malloc(sizeof *k + n);

	if (!k)
		die("out of memory");
	k->next = NULL;
	k->n = n;
	memcpy(k->bytes, p, n);
	if (s->last)
		s->last->next = k;
	else
		s->first = k;
	s->last = k;
}

static size_t split_fields(nghttp3_nv *to, uint8_t *p, size_t n)
{
	size_t count = 0;

	for (uint8_t *at = p; at < p + n; count++) {
		size_t name_n = strlen((char *)at);
		uint8_t *value = at + name_n + 1;
		size_t value_n = strlen((char *)value);

		if (count == FIELDS_MAX)
			die("too many fields");
		to[count] = (nghttp3_nv){at, value, name_n, value_n, NGHTTP3_NV_FLAG_NONE};
		at = value + value_n + 1;
	}
	return count;
}

/* ---- What nghttp3 asks and tells ------------------------------------------------------------------- */

static nghttp3_ssize read_body(nghttp3_conn *conn, int64_t id, nghttp3_vec *vec, size_t count,
                               uint32_t *flags, void *arg, void *stream)
{
	struct stream *s = stream;
	struct piece *k = s->given ? s->given->next : s->first;
	nghttp3_nv nva[FIELDS_MAX];

	(void)arg, (void)count;
	if (!k && !s->fin)
		return NGHTTP3_ERR_WOULDBLOCK;
	if (k) {
		s->given = k;
		*vec = (nghttp3_vec){k->bytes, k->n};
	}
	if (s->fin && (!k || !k->next)) {
		*flags |= NGHTTP3_DATA_FLAG_EOF;
		if (s->trailers) {
			*flags |= NGHTTP3_DATA_FLAG_NO_END_STREAM;
			if (nghttp3_conn_submit_trailers(
				    conn, id, nva, split_fields(nva, s->trailers, s->trailers_n)) !=
			    0)
				return NGHTTP3_ERR_CALLBACK_FAILURE;
		}
	}
	return k ? 1 : 0;
}

static int on_acked(nghttp3_conn *conn, int64_t id, uint64_t n, void *arg, void *stream)
{
	struct stream *s = stream;

	(void)conn, (void)id, (void)arg;
	s->acked += n;
	while (s->first && s->first != s->given && s->acked >= s->first->n) {
		s->acked -= s->first->n;
		drop_piece(s);
	}
	return 0;
}

static int on_begin(nghttp3_conn *conn, int64_t id, void *arg, void *stream)
{
	(void)conn, (void)id, (void)arg, (void)stream;
	g.fields_n = 0;
	return 0;
}

static void add_text(nghttp3_rcbuf *b)
{
	nghttp3_vec v = nghttp3_rcbuf_get_buf(b);

	g.fields = grow(g.fields, &g.fields_cap, g.fields_n + v.len + 1);
	memcpy(g.fields + g.fields_n, v.base, v.len);
	g.fields_n += v.len;
	g.fields[g.fields_n++] = '\0';
}

static int on_field(nghttp3_conn *conn, int64_t id, int32_t token, nghttp3_rcbuf *name,
                    nghttp3_rcbuf *value, uint8_t flags, void *arg, void *stream)
{
	(void)conn, (void)id, (void)token, (void)flags, (void)arg, (void)stream;
	add_text(name);
	add_text(value);
	return 0;
}

static int on_head(nghttp3_conn *conn, int64_t id, int fin, void *arg, void *stream)
{
	(void)conn, (void)arg, (void)stream;
	emit('h', fin, id, g.fields, g.fields_n);
	return 0;
}

static int on_trailers(nghttp3_conn *conn, int64_t id, int fin, void *arg, void *stream)
{
	(void)conn, (void)arg, (void)stream;
	emit('t', fin, id, g.fields, g.fields_n);
	return 0;
}

static int on_body(nghttp3_conn *conn, int64_t id, const uint8_t *p, size_t n, void *arg,
                   void *stream)
{
	(void)conn, (void)arg, (void)stream;
	if (g.owed_n == OWED_MAX)
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	emit('d', false, id, p, n);
	g.owed[(g.owed_first + g.owed_n++) % OWED_MAX] = (struct owed){told.out_sent + told.out_n,
	                                                               id, n};
	return 0;
}

static int on_consumed(nghttp3_conn *conn, int64_t id, size_t n, void *arg, void *stream)
{
	(void)conn, (void)arg, (void)stream;
	quic_peer_consumed(&g.quic, id, n);
	return 0;
}

static int on_end(nghttp3_conn *conn, int64_t id, void *arg, void *stream)
{
	(void)conn, (void)arg, (void)stream;
	emit('e', false, id, NULL, 0);
	return 0;
}

static int on_stop(nghttp3_conn *conn, int64_t id, uint64_t code, void *arg, void *stream)
{
	(void)conn, (void)arg, (void)stream;
	(void)tako__ngtcp2_shutdown_read(g.quic.conn, id, code);
	return 0;
}

static int on_reset_ours(nghttp3_conn *conn, int64_t id, uint64_t code, void *arg, void *stream)
{
	(void)conn, (void)arg, (void)stream;
	(void)tako__ngtcp2_shutdown_write(g.quic.conn, id, code);
	return 0;
}

static int on_goaway(nghttp3_conn *conn, int64_t id, void *arg)
{
	(void)conn, (void)arg;
	emit('g', false, id, NULL, 0);
	return 0;
}

static const nghttp3_callbacks h3_callbacks = {
	.acked_stream_data = on_acked,
	.recv_data = on_body,
	.deferred_consume = on_consumed,
	.begin_headers = on_begin,
	.recv_header = on_field,
	.end_headers = on_head,
	.begin_trailers = on_begin,
	.recv_trailer = on_field,
	.end_trailers = on_trailers,
	.stop_sending = on_stop,
	.end_stream = on_end,
	.reset_stream = on_reset_ours,
	.shutdown = on_goaway,
};

/* ---- What QUIC asks and tells ------------------------------------------------------------------------ */

static int h3_failed(struct quic_peer *p, nghttp3_ssize rc)
{
	return quic_peer_fail(p, nghttp3_err_infer_quic_app_error_code((int)rc),
	                      nghttp3_strerror((int)rc));
}

static int quic_ready(struct quic_peer *p)
{
	int rc = nghttp3_conn_bind_control_stream(g.h3, quic_peer_stream(p, true, NULL));

	if (rc == 0)
		rc = nghttp3_conn_bind_qpack_streams(g.h3, quic_peer_stream(p, true, NULL),
		                                     quic_peer_stream(p, true, NULL));
	if (rc != 0)
		return h3_failed(p, rc);
	emit('o', false, 0, NULL, 0);
	return 0;
}

static int quic_data(struct quic_peer *p, int64_t id, void *stream, const uint8_t *b, size_t n,
                     bool fin)
{
	nghttp3_ssize rc = nghttp3_conn_read_stream(g.h3, id, b, n, fin);

	(void)stream;
	if (rc < 0)
		return h3_failed(p, rc);
	quic_peer_consumed(p, id, (uint64_t)rc);
	return 0;
}

static int quic_acked(struct quic_peer *p, int64_t id, void *stream, uint64_t n)
{
	int rc = nghttp3_conn_add_ack_offset(g.h3, id, n);

	(void)stream;
	return rc == 0 ? 0 : h3_failed(p, rc);
}

static int quic_reset(struct quic_peer *p, int64_t id, void *stream, uint64_t code)
{
	(void)p, (void)stream;
	(void)nghttp3_conn_shutdown_stream_read(g.h3, id);
	emit_code('r', id, code);
	return 0;
}

static int quic_unblocked(struct quic_peer *p, int64_t id, void *stream)
{
	(void)p, (void)stream;
	(void)nghttp3_conn_unblock_stream(g.h3, id);
	return 0;
}

static int quic_closed(struct quic_peer *p, int64_t id, void *stream, uint64_t code)
{
	struct stream *s = find(id);
	int rc = nghttp3_conn_close_stream(g.h3, id, code ? code : H3_NO_ERROR);

	(void)stream;
	if (rc != 0 && rc != NGHTTP3_ERR_STREAM_NOT_FOUND)
		return h3_failed(p, rc);
	if (!(id & 3))
		emit_code('c', id, code);
	if (s)
		forget(s);
	return 0;
}

static int quic_next(struct quic_peer *p, int64_t *id, bool *fin, struct iovec *vec)
{
	nghttp3_vec pieces[QUIC_PEER_VEC];
	int is_last = 0;
	nghttp3_ssize n = nghttp3_conn_writev_stream(g.h3, id, &is_last, pieces, QUIC_PEER_VEC);

	if (n < 0)
		return h3_failed(p, n);
	for (nghttp3_ssize i = 0; i < n; i++)
		vec[i] = (struct iovec){pieces[i].base, pieces[i].len};
	*fin = is_last;
	return (int)n;
}

static void quic_wrote(struct quic_peer *p, int64_t id, size_t n, bool fin)
{
	(void)p, (void)fin;
	if (nghttp3_conn_add_write_offset(g.h3, id, n) != 0)
		die("nghttp3_conn_add_write_offset");
}

static void quic_blocked(struct quic_peer *p, int64_t id, bool shut)
{
	(void)p;
	if (shut)
		nghttp3_conn_shutdown_stream_write(g.h3, id);
	else
		nghttp3_conn_block_stream(g.h3, id);
}

static const struct quic_peer_ops quic_ops = {
	.ready = quic_ready,
	.data = quic_data,
	.acked = quic_acked,
	.reset = quic_reset,
	.unblocked = quic_unblocked,
	.closed = quic_closed,
	.next = quic_next,
	.wrote = quic_wrote,
	.blocked = quic_blocked,
};

/* ---- What the test says ----------------------------------------------------------------------------------- */

/* False: the server allows no stream now, so it is for later. */
static bool ask(uint8_t *p, size_t n, bool last)
{
	const nghttp3_data_reader reader = {.read_data = read_body};
	nghttp3_nv nva[FIELDS_MAX];
	struct stream *s;
	int64_t id = quic_peer_stream(&g.quic, false, NULL);

	if (id < 0)
		return false;
	s = calloc(1, sizeof *s);
	if (!s)
		die("out of memory");
	s->id = id;
	s->next = g.streams;
	g.streams = s;
	if (nghttp3_conn_submit_request(g.h3, id, nva, split_fields(nva, p, n),
	                                last ? NULL : &reader, s) != 0)
		die("nghttp3_conn_submit_request");
	return true;
}

/* Of one that is gone already, nobody wants to hear. */
static void to_stream(char kind, bool flag, struct stream *s, uint8_t *p, size_t n)
{
	if (!s)
		return;
	if (kind == 'R') {
		nghttp3_conn_shutdown_stream_write(g.h3, s->id);
		quic_peer_cancel(&g.quic, s->id, number(p, 8));
		return;
	}
	if (kind == 'T') {
		s->trailers = malloc(n);
		if (!s->trailers)
			die("out of memory");
		memcpy(s->trailers, p, n);
		s->trailers_n = n;
	} else if (n) {
		add_piece(s, p, n);
	}
	s->fin = flag || kind == 'T';
	(void)nghttp3_conn_resume_stream(g.h3, s->id);
}

/* False: not yet. */
static bool obey(char kind, bool flag, int64_t id, uint8_t *p, size_t n)
{
	switch (kind) {
	case 'H':
		return ask(p, n, flag);
	case 'D':
	case 'T':
	case 'R':
		to_stream(kind, flag, find(id), p, n);
		return true;
	case 'M':
		if (!quic_peer_move(&g.quic))
			die("no other port");
		return true;
	case 'C':
		quic_peer_close(&g.quic, number(p, 8));
		return true;
	default:
		die("an unknown message");
		return true;
	}
}

/* ---- Life -------------------------------------------------------------------------------------------------- */

static void tell_end(void)
{
	const struct quic_peer_end *e = &g.quic.end;
	char text[300];
	int n = snprintf(text, sizeof text, "%s %s %#llx %s", e->by_peer ? "peer" : "own",
	                 e->app ? "application" : "transport", (unsigned long long)e->code,
	                 e->why ? e->why : e->reason);

	emit('x', false, 0, text, (size_t)n);
	g.told_end = true;
}

static void run(void)
{
	while (!told.in_eof) {
		if (g.quic.ready)
			told_obey(&g.quic, obey);
		/* First, as it opens windows. */
		flush_out();
		if (!g.quic.ended)
			quic_peer_write(&g.quic);
		if (g.quic.ended && !g.told_end)
			tell_end();
		if (g.told_end && !told.out_n)
			break;
		told_wait(&g.quic);
		if (!g.quic.ended)
			quic_peer_read(&g.quic);
	}
	quic_peer_close(&g.quic, H3_NO_ERROR);
}

static socklen_t parse_addr(struct sockaddr_storage *to, const char *host, const char *port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	uint16_t number_of = htons((uint16_t)strtoul(port, NULL, 10));

	*to = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = number_of;
		return sizeof *in;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		die("not an address");
	in6->sin6_family = AF_INET6;
	in6->sin6_port = number_of;
	return sizeof *in6;
}

static void parse(int argc, char **argv, struct quic_peer_config *cfg, struct sockaddr_storage *to)
{
	if (argc < 3)
		die("ADDRESS PORT [window=BYTES]");
	cfg->remote_n = parse_addr(to, argv[1], argv[2]);
	for (int i = 3; i < argc; i++) {
		if (strncmp(argv[i], "window=", 7) != 0)
			die("an unknown option");
		cfg->window = strtoull(argv[i] + 7, NULL, 10);
	}
	/* What control streams bring is small, and must find room. */
	cfg->stream_window = cfg->window;
	cfg->window += 16384;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;
	struct quic_peer_config cfg = {
		.remote = (struct sockaddr *)&to, .ops = &quic_ops, .window = WINDOW_BYTES};
	nghttp3_settings settings;

	parse(argc, argv, &cfg, &to);
	nghttp3_settings_default(&settings);
	if (!quic_peer_init("h3") || !quic_peer_open(&g.quic, &cfg) ||
	    nghttp3_conn_client_new(&g.h3, &h3_callbacks, &settings, NULL, NULL) != 0)
		die("cannot begin");
	run();
	while (g.streams)
		forget(g.streams);
	nghttp3_conn_del(g.h3);
	quic_peer_free(&g.quic);
	quic_peer_fini();
	free(told.out);
	free(g.fields);
	return 0;
}
