/* SPDX-License-Identifier: MIT
 *
 * See h3_rig.h.
 */
#include "unit/h3_rig.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conn.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/h3/h3.h"

static struct h3_rig *rig;

static void wrong(const char *what)
{
	if (!rig->wrong)
		rig->wrong = what;
}

struct h3_rig_stream *h3_rig_stream(struct h3_rig *r, int64_t id)
{
	for (unsigned i = 0; i < r->count; i++) {
		if (r->streams[i].id == id)
			return &r->streams[i];
	}
	return NULL;
}

static struct h3_rig_stream *add_stream(struct h3_rig *r, int64_t id)
{
	struct h3_rig_stream *s;

	if (r->count == H3_RIG_STREAMS) {
		wrong("more streams than the rig has");
		return NULL;
	}
	s = &r->streams[r->count++];
	*s = (struct h3_rig_stream){.id = id, .window = r->window};
	return s;
}

/* ---- The transport's half of the seam: functions -------------------------------------------- */

int tako__quic_stream_open(struct tako__conn *c, bool uni, void *stream, int64_t *ret_id)
{
	struct h3_rig_stream *s;

	(void)c;
	if (rig->closed)
		return TAKO_ECLOSED;
	if (!rig->streams_left)
		return TAKO_EBUSY;
	rig->streams_left--;
	s = add_stream(rig, uni ? rig->next_ours : rig->next_our_bidi);
	if (!s)
		return TAKO_ENOMEM;
	*(uni ? &rig->next_ours : &rig->next_our_bidi) += 4;
	s->app = stream;
	s->known = true;
	s->ended = uni;
	*ret_id = s->id;
	return 0;
}

int tako__quic_stream_set(struct tako__conn *c, int64_t id, void *stream)
{
	struct h3_rig_stream *s = h3_rig_stream(rig, id);

	(void)c;
	if (!s || s->gone)
		return TAKO_ENOENT;
	s->app = stream;
	return 0;
}

void tako__quic_consumed(struct tako__conn *c, int64_t id, uint64_t n)
{
	struct h3_rig_stream *s = h3_rig_stream(rig, id);

	(void)c;
	rig->consumed_bytes += n;
	if (s)
		s->consumed_bytes += n;
	if (s && s->consumed_bytes > s->sent_bytes)
		wrong("more was consumed than came");
}

void tako__quic_forgotten(struct tako__conn *c, uint64_t n)
{
	(void)c;
	rig->consumed_bytes += n;
}

void tako__quic_streams_more(struct tako__conn *c, bool uni, unsigned n)
{
	(void)c, (void)uni;
	rig->more += n;
}

uint64_t tako__quic_streams_granted(const struct tako__conn *c)
{
	(void)c;
	return rig->granted + rig->more;
}

int tako__quic_reset(struct tako__conn *c, int64_t id, uint64_t code)
{
	struct h3_rig_stream *s = h3_rig_stream(rig, id);

	(void)c;
	if (rig->closed)
		return TAKO_ECLOSED;
	if (s && !s->gone && !s->reset && !(s->got_fin && s->acked_n == s->got_n)) {
		s->reset = true;
		s->reset_code = code;
	}
	return 0;
}

int tako__quic_stop(struct tako__conn *c, int64_t id, uint64_t code)
{
	struct h3_rig_stream *s = h3_rig_stream(rig, id);

	(void)c;
	if (rig->closed)
		return TAKO_ECLOSED;
	if (s && !s->gone && !s->stopped) {
		s->stopped = true;
		s->stop_due = !s->ended;
		s->stop_code = code;
	}
	return 0;
}

size_t tako__quic_datagram_max(struct tako__conn *c)
{
	(void)c;
	return rig->closed ? 0 : rig->datagram_max;
}

int tako__quic_datagram(struct tako__conn *c, const struct iovec *vec, unsigned count)
{
	struct h3_rig_datagram *d = &rig->datagrams[rig->datagram_count % H3_RIG_DATAGRAMS];

	(void)c;
	if (rig->closed)
		return TAKO_ECLOSED;
	if (!rig->datagram_max)
		return TAKO_ENOTSUP;
	d->n = 0;
	for (unsigned i = 0; i < count; i++) {
		if (d->n + vec[i].iov_len > rig->datagram_max)
			return TAKO_ETOOBIG;
		if (vec[i].iov_len)
			memcpy(d->data + d->n, vec[i].iov_base, vec[i].iov_len);
		d->n += vec[i].iov_len;
	}
	rig->datagram_count++;
	return 0;
}

void tako__quic_close(struct tako__conn *c, uint64_t code, const char *reason)
{
	if (rig->closed)
		return;
	rig->closed = true;
	rig->code = code;
	strncpy(rig->reason, reason ? reason : "", sizeof rig->reason - 1);
	if (!rig->lasting)
		tako__conn_close(c);
}

void tako__quic_written(struct tako__conn *c)
{
	(void)c;
	h3_rig_pump(rig);
}

void tako__quic_tick(struct tako__conn *c)
{
	tako__h3_app.tick(c);
	h3_rig_pump(rig);
}

void tako__quic_drain(struct tako__conn *c)
{
	if (!rig->closed)
		tako__h3_app.drain(c);
	tako__conn_touch(c);
}

void tako__quic_fini(struct tako__conn *c)
{
	tako__h3_app.fini(c, TAKO_ECLOSED);
	rig->closed = true;
	rig->c = NULL;
}

/* ---- … and what it calls ----------------------------------------------------------------------- */

static void failed(int rc)
{
	if (rc < 0 && !rig->closed)
		tako__quic_close(rig->c, tako__h3_app.internal_error, "a callback failed");
}

static bool is_over(void)
{
	return rig->closed || !rig->c;
}

static void keep_got(struct h3_rig_stream *s, const struct iovec *vec, size_t n)
{
	while (n) {
		size_t step = vec->iov_len < n ? vec->iov_len : n;

		if (s->got_n + step > s->got_cap) {
			s->got_cap = (s->got_n + step) * 2;
			s->got = realloc(s->got, s->got_cap);
		}
		memcpy(s->got + s->got_n, vec->iov_base, step);
		s->got_n += step;
		n -= step;
		vec++;
	}
}

static size_t piece_bytes(const struct tako__quic_piece *piece)
{
	size_t n = 0;

	for (unsigned i = 0; i < piece->count; i++)
		n += piece->vec[i].iov_len;
	return n;
}

/* One piece of what it has to say.  False: nothing. */
static bool take_piece(void)
{
	struct tako__quic_piece piece = {.id = -1};
	struct h3_rig_stream *s;
	size_t n;
	size_t all;

	failed(tako__h3_app.next(rig->c, &piece));
	if (is_over() || piece.id < 0)
		return false;
	s = h3_rig_stream(rig, piece.id);
	all = piece_bytes(&piece);
	if (!s || s->got_fin || s->blocked || (!all && !piece.fin)) {
		wrong("a piece of nothing, or of a stream that takes none");
		return false;
	}
	if (piece.stream != s->app)
		wrong("a piece of another stream");
	if (s->reset) {
		failed(tako__h3_app.stream_shut(rig->c, s->id, s->app));
		return true;
	}
	n = all < rig->mtu ? all : rig->mtu;
	if (n > s->window - s->got_n)
		n = (size_t)(s->window - s->got_n);
	if (all && !n) {
		s->blocked = true;
		failed(tako__h3_app.stream_blocked(rig->c, s->id, s->app));
		return true;
	}
	keep_got(s, piece.vec, n);
	s->got_fin = piece.fin && n == all;
	failed(tako__h3_app.stream_wrote(rig->c, s->id, s->app, n, s->got_fin));
	return true;
}

static bool play_acks(struct h3_rig_stream *s)
{
	size_t n = s->got_n - s->acked_n;

	if (!n || rig->hold_acks || s->reset)
		return false;
	s->acked_n = s->got_n;
	failed(tako__h3_app.stream_acked(rig->c, s->id, s->app, n));
	return true;
}

static bool play_stop(struct h3_rig_stream *s)
{
	if (!s->stop_due || rig->deaf)
		return false;
	s->stop_due = false;
	if (!s->ended)
		h3_rig_reset(rig, s->id, s->stop_code);
	return true;
}

static bool play_close(struct h3_rig_stream *s)
{
	bool out = s->reset || (s->got_fin && s->acked_n == s->got_n && !rig->hold_acks);

	if (s->gone || !s->known || !s->ended)
		return false;
	if (!out && (!tako__quic_is_uni(s->id) || tako__quic_is_ours(s->id)))
		return false;
	s->gone = true;
	if (tako__h3_app.stream_closed(rig->c, s->id, s->app, s->reset || s->stopped,
	                               s->reset_code) &&
	    !tako__quic_is_uni(s->id))
		rig->granted++;
	return true;
}

static bool play_streams(void)
{
	bool any = false;

	for (unsigned i = 0; i < rig->count && !is_over(); i++) {
		struct h3_rig_stream *s = &rig->streams[i];

		any |= play_stop(s);
		if (!is_over())
			any |= play_acks(s);
		if (!is_over())
			any |= play_close(s);
	}
	return any;
}

static bool run_client(struct h3_rig *r);

void h3_rig_pump(struct h3_rig *r)
{
	bool any = true;

	/* An op that is done touches its connection, wherever that happens. */
	if (r->busy)
		return;
	r->busy = true;
	for (unsigned i = 0; i < 10000 && any && !is_over(); i++) {
		tako__h3_app.look(r->c);
		any = !is_over() && tako__h3_of(r->c)->later;
		for (unsigned n = 0; n < 100000 && !is_over() && !r->hold_output && take_piece();
		     n++)
			any = true;
		if (!is_over())
			any |= play_streams();
		if (r->client)
			any |= run_client(r);
	}
	if (r->client && is_over())
		(void)run_client(r);
	r->busy = false;
}

void h3_rig_run(struct h3_rig *r, unsigned turns)
{
	h3_rig_pump(r);
	for (unsigned i = 0; i < turns; i++) {
		stepped_turn(&r->server, 1);
		if (!is_over())
			h3_rig_pump(r);
	}
}

/* ---- The client's side ------------------------------------------------------------------------- */

int64_t h3_rig_open(struct h3_rig *r, bool uni)
{
	int64_t id = uni ? r->next_uni : r->next_bidi;
	struct h3_rig_stream *s = add_stream(r, id);

	if (!s)
		return H3_RIG_NONE;
	*(uni ? &r->next_uni : &r->next_bidi) += 4;
	s->got_fin = uni;
	return id;
}

static struct h3_rig_stream *tell(struct h3_rig *r, int64_t id)
{
	struct h3_rig_stream *s = h3_rig_stream(r, id);

	if (is_over() || !s || s->gone || s->ended)
		return NULL;
	if (!s->known) {
		s->known = true;
		failed(tako__h3_app.stream_opened(r->c, id));
	}
	return is_over() ? NULL : s;
}

void h3_rig_send(struct h3_rig *r, int64_t id, const char *p, size_t n, bool fin)
{
	struct h3_rig_stream *s = tell(r, id);
	char *copy;

	if (!s)
		return;
	s->sent_bytes += n;
	s->ended = fin;
	/* Borrowed for the call, and no longer: also a sanitizer sees who keeps it. */
	copy = malloc(n + 1);
	if (n)
		memcpy(copy, p, n);
	if (!s->stopped)
		failed(tako__h3_app.stream_data(r->c, id, s->app, copy, n, fin));
	free(copy);
}

void h3_rig_datagram(struct h3_rig *r, const char *p, size_t n)
{
	char *copy = malloc(n + 1);

	(void)r;
	if (n)
		memcpy(copy, p, n);
	if (!is_over())
		failed(tako__h3_app.datagram(rig->c, copy, n));
	free(copy);
}

void h3_rig_reset(struct h3_rig *r, int64_t id, uint64_t code)
{
	struct h3_rig_stream *s = tell(r, id);

	if (!s)
		return;
	s->ended = true;
	if (!s->stopped)
		failed(tako__h3_app.stream_reset(r->c, id, s->app, code));
}

void h3_rig_stop_sending(struct h3_rig *r, int64_t id, uint64_t code)
{
	struct h3_rig_stream *s = h3_rig_stream(r, id);

	if (is_over() || !s || s->gone || s->reset)
		return;
	/* Who offers bytes hears of it. */
	s->reset = true;
	s->reset_code = code;
}

void h3_rig_allow(struct h3_rig *r, int64_t id, uint64_t n)
{
	struct h3_rig_stream *s = h3_rig_stream(r, id);

	if (is_over() || !s || s->gone)
		return;
	s->window += n;
	s->blocked = false;
	failed(tako__h3_app.stream_unblocked(r->c, id, s->app));
}

/* ---- nghttp3 ----------------------------------------------------------------------------------------- */

static void add_text(char *to, size_t cap, nghttp3_rcbuf *name, nghttp3_rcbuf *value)
{
	nghttp3_vec n = nghttp3_rcbuf_get_buf(name);
	nghttp3_vec v = nghttp3_rcbuf_get_buf(value);
	size_t used = strlen(to);

	if (used + n.len + v.len + 4 > cap)
		return;
	memcpy(to + used, n.base, n.len);
	memcpy(to + used + n.len, ": ", 2);
	memcpy(to + used + n.len + 2, v.base, v.len);
	memcpy(to + used + n.len + 2 + v.len, "\n", 2);
}

static int on_begin(nghttp3_conn *conn, int64_t id, void *arg, void *stream)
{
	struct h3_rig_stream *s = stream;

	(void)conn, (void)id, (void)arg;
	s->informed = s->status;
	s->head[0] = '\0';
	return 0;
}

static int on_header(nghttp3_conn *conn, int64_t id, int32_t token, nghttp3_rcbuf *name,
                     nghttp3_rcbuf *value, uint8_t flags, void *arg, void *stream)
{
	struct h3_rig_stream *s = stream;

	(void)conn, (void)id, (void)arg, (void)flags;
	if (token == NGHTTP3_QPACK_TOKEN__STATUS)
		s->status = atoi((char *)nghttp3_rcbuf_get_buf(value).base);
	add_text(s->head, sizeof s->head, name, value);
	return 0;
}

static int on_trailer(nghttp3_conn *conn, int64_t id, int32_t token, nghttp3_rcbuf *name,
                      nghttp3_rcbuf *value, uint8_t flags, void *arg, void *stream)
{
	struct h3_rig_stream *s = stream;

	(void)conn, (void)id, (void)arg, (void)flags, (void)token;
	add_text(s->trailers, sizeof s->trailers, name, value);
	return 0;
}

static int on_data(nghttp3_conn *conn, int64_t id, const uint8_t *p, size_t n, void *arg,
                   void *stream)
{
	struct h3_rig_stream *s = stream;

	(void)conn, (void)id, (void)arg;
	for (size_t i = 0; i < n; i++)
		s->body_sum = s->body_sum * 31 + p[i];
	s->body_n += n;
	return 0;
}

static int on_end(nghttp3_conn *conn, int64_t id, void *arg, void *stream)
{
	(void)conn, (void)id, (void)arg;
	((struct h3_rig_stream *)stream)->complete = true;
	return 0;
}

static nghttp3_ssize read_up(nghttp3_conn *conn, int64_t id, nghttp3_vec *vec, size_t count,
                             uint32_t *flags, void *arg, void *stream)
{
	struct h3_rig_stream *s = stream;

	(void)conn, (void)id, (void)arg, (void)count;
	if (!s->up_left && s->up_open)
		return NGHTTP3_ERR_WOULDBLOCK;
	vec->base = (uint8_t *)(uintptr_t)s->up;
	vec->len = s->up_left;
	s->up += s->up_left;
	s->up_left = 0;
	if (!s->up_open)
		*flags |= NGHTTP3_DATA_FLAG_EOF;
	return vec->len ? 1 : 0;
}

static bool client_reads(struct h3_rig *r)
{
	bool any = false;

	for (unsigned i = 0; i < r->count; i++) {
		struct h3_rig_stream *s = &r->streams[i];
		bool fin = s->got_fin && !(tako__quic_is_uni(s->id) && !tako__quic_is_ours(s->id));

		if (s->read_n == s->got_n && (!fin || s->fin_read))
			continue;
		any = true;
		if (nghttp3_conn_read_stream(r->client, s->id, (uint8_t *)s->got + s->read_n,
		                             s->got_n - s->read_n, fin) < 0)
			r->client_failed = true;
		s->read_n = s->got_n;
		s->fin_read = fin;
	}
	return any;
}

static bool client_writes(struct h3_rig *r)
{
	bool any = false;

	for (unsigned n = 0; n < 100000 && !is_over(); n++) {
		nghttp3_vec vec[8];
		char *flat;
		size_t used = 0;
		int64_t id;
		int fin;
		nghttp3_ssize count = nghttp3_conn_writev_stream(r->client, &id, &fin, vec, 8);

		if (count < 0)
			r->client_failed = true;
		if (count < 0 || id < 0)
			break;
		flat = malloc((size_t)nghttp3_vec_len(vec, (size_t)count) + 1);
		for (nghttp3_ssize i = 0; i < count; i++) {
			memcpy(flat + used, vec[i].base, vec[i].len);
			used += vec[i].len;
		}
		nghttp3_conn_add_write_offset(r->client, id, used);
		h3_rig_send(r, id, flat, used, fin);
		nghttp3_conn_add_ack_offset(r->client, id, used);
		free(flat);
		any = true;
	}
	return any;
}

static bool run_client(struct h3_rig *r)
{
	bool any = client_reads(r);

	return client_writes(r) || any;
}

bool h3_rig_client(struct h3_rig *r, const nghttp3_settings *settings)
{
	const nghttp3_callbacks cb = {.begin_headers = on_begin,
	                              .recv_header = on_header,
	                              .recv_trailer = on_trailer,
	                              .recv_data = on_data,
	                              .end_stream = on_end};
	nghttp3_settings def;

	nghttp3_settings_default(&def);
	if (nghttp3_conn_client_new(&r->client, &cb, settings ? settings : &def, NULL, r) != 0)
		return false;
	nghttp3_conn_bind_control_stream(r->client, h3_rig_open(r, true));
	nghttp3_conn_bind_qpack_streams(r->client, h3_rig_open(r, true), h3_rig_open(r, true));
	h3_rig_pump(r);
	return true;
}

static size_t put_lines(nghttp3_nv *nva, size_t count, const char *lines)
{
	for (const char *at = lines; at && *at; at = strchr(at, '\n') + 1) {
		const char *colon = strchr(at + 1, ':');
		size_t n = (size_t)(strchr(at, '\n') - colon) - 2;

		nva[count++] = (nghttp3_nv){(uint8_t *)(uintptr_t)at,
		                            (uint8_t *)(uintptr_t)colon + 2, (size_t)(colon - at),
		                            n, NGHTTP3_NV_FLAG_NONE};
	}
	return count;
}

int64_t h3_rig_ask(struct h3_rig *r, const char *method, const char *path, const char *fields,
                   const char *up, size_t up_n)
{
#define NV(name, value)                                                                            \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,     \
			strlen(value), NGHTTP3_NV_FLAG_NONE                                        \
	}
	const nghttp3_data_reader reader = {.read_data = read_up};
	int64_t id = h3_rig_open(r, false);
	struct h3_rig_stream *s = h3_rig_stream(r, id);
	nghttp3_nv nva[64] = {NV(":method", method), NV(":scheme", "https"), NV(":path", path),
	                      NV(":authority", "rig")};

	if (!s)
		return H3_RIG_NONE;
	s->up = up;
	s->up_left = up_n;
	s->up_open = up && !up_n;
	if (nghttp3_conn_submit_request(r->client, id, nva, put_lines(nva, 4, fields),
	                                up ? &reader : NULL, s) != 0)
		return H3_RIG_NONE;
	h3_rig_pump(r);
	return id;
}

void h3_rig_up(struct h3_rig *r, int64_t id, const char *up, size_t n, bool end)
{
	struct h3_rig_stream *s = h3_rig_stream(r, id);

	s->up = up;
	s->up_left = n;
	s->up_open = !end;
	nghttp3_conn_resume_stream(r->client, id);
	h3_rig_pump(r);
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

static int rig_open(struct tako__conn *c)
{
	rig->c = c;
	c->proto = &tako__h3_ops;
	memset(c->proto_state, 0, sizeof c->proto_state);
	return tako__h3_app.open(c);
}

static void ignore(struct tako__conn *c)
{
	(void)c;
}

static const struct tako__proto_ops rig_ops = {.name = "rig",
                                               .open = rig_open,
                                               .written = ignore,
                                               .tick = ignore,
                                               .drain = ignore,
                                               .fini = ignore};

static bool connect_it(struct h3_rig *r)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(r->server.port)};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd < 0 || connect(r->fd, (struct sockaddr *)&in, sizeof in) < 0)
		return false;
	for (int i = 0; i < 100 && !r->c && !r->closed; i++)
		stepped_turn(&r->server, 10);
	return r->c != NULL;
}

static void forget_streams(struct h3_rig *r)
{
	for (unsigned i = 0; i < r->count; i++)
		free(r->streams[i].got);
	r->count = 0;
	r->next_bidi = 0;
	r->next_uni = 2;
	r->next_ours = 3;
	r->next_our_bidi = 1;
	r->streams_left = 3;
	r->granted = 100;
}

void h3_rig_renew(struct h3_rig *r)
{
	tako__h3_app.fini(r->c, TAKO_ECLOSED);
	forget_streams(r);
	r->lasting = true;
	r->closed = false;
	r->c->request_count = 0;
	failed(tako__h3_app.open(r->c));
}

bool h3_rig_start(struct h3_rig *r, tako_router *router, const tako_server_config *cfg)
{
	static const tako_transport transport = {.name = "rig", .proto = &rig_ops};

	memset(r, 0, sizeof *r);
	r->fd = -1;
	r->window = UINT64_MAX / 2;
	r->mtu = 1200;
	rig = r;
	forget_streams(r);
	if (stepped_start(&r->server, router, cfg, &transport) < 0)
		return false;
	if (!connect_it(r))
		return false;
	h3_rig_pump(r);
	return true;
}

void h3_rig_stop(struct h3_rig *r)
{
	stepped_stop(&r->server);
	nghttp3_conn_del(r->client);
	r->client = NULL;
	if (r->fd >= 0)
		close(r->fd);
	forget_streams(r);
}
