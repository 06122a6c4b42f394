/* SPDX-License-Identifier: MIT
 *
 * Connections without HTTP, for tests/integration/test_raw.py:
 *
 *   raw listen=ADDR [transport=tcp|unix|tls] [cert_file=F key_file=F] [proxy_protocol=N] [idle_timeout_ms=N]
 *       [lifetime_ms=N] [raw_max_connections=N] [write_high_bytes=N] [user_bytes=N] [alpn=LIST] [records=1] [end=on]
 *       [drain=on] [FIELD=VALUE]...
 *
 * Whatever a peer sends comes back; but a first byte of
 *   'i'  is answered with what is known of the connection, and its end
 *   'c'  closes it behind "bye\n", 'a' cuts it off, 'e' ends our side behind "end\n", 'f' fails
 *   'b'  is answered with 64 MiB, as fast as the peer reads; 'm' with more than may wait
 *   's'  pauses for 100 ms before it goes on as an echo
 * With end=on a peer's end is answered "ended\n", with drain=on the server's "drain\n"; each then ends our
 * side.  An HTTP listener on 127.0.0.1:0 has /stats.
 */
#include "program.h"

#include <stdatomic.h>

enum { BLOCK_BYTES = 65536, BIG_BYTES = 64 << 20 };

static tako_server *server;
static atomic_ullong opened;
static atomic_ullong closed;
static atomic_ullong ended;
static atomic_ullong whys[16];
static char block[BLOCK_BYTES];

/* A connection's own memory. */
struct mine {
	uint64_t left; /* of a big answer */
	uint64_t bytes;
	bool chosen;
};

static int on_open(tako_raw *c, void *arg)
{
	struct mine *m = tako_raw_user(c);

	(void)arg;
	atomic_fetch_add(&opened, 1);
	return m->left || m->bytes || m->chosen ? TAKO_EINVAL : 0;
}

static int say_info(tako_raw *c)
{
	tako_conn_info i = {.size = sizeof(i)};
	tako_proxy_info p = {.size = sizeof(p)};
	char text[1024];
	int rc = tako_raw_conn_info(c, &i);
	int n;

	if (rc < 0)
		return rc;
	rc = tako_raw_proxy_info(c, &p);
	n = snprintf(
		text, sizeof(text),
		"peer %s\nlocal %s\ntransport %s\ntls %s\nalpn %s\nuid %d\nproxy %s\nsource %s\n",
		i.peer, i.local, i.transport, i.tls ? i.tls : "-", i.alpn ? i.alpn : "-",
		i.has_peer_cred ? (int)i.peer_uid : -1, program_code(rc),
		p.source ? p.source : "-");
	tako_raw_send(c, (tako_str){text, (size_t)n});
	tako_raw_end(c);
	return 0;
}

static void more(tako_raw *c, void *arg)
{
	struct mine *m = tako_raw_user(c);
	int64_t unsent = 0;

	(void)arg;
	tako_raw_resume(c);
	while (m->left && unsent < 256 << 10) {
		unsent = tako_raw_send(c, (tako_str){block, BLOCK_BYTES});
		if (unsent < 0)
			return;
		m->left -= BLOCK_BYTES;
		if (!m->left)
			tako_raw_close(c);
	}
}

/* By default 1 MiB more may be unsent than the mark of 256 KiB. */
static int too_much(tako_raw *c)
{
	const uint64_t most = (256 << 10) + (1 << 20) + 64;
	int64_t rc = 0;

	for (int i = 0; i < 10000 && rc >= 0; i++)
		rc = tako_raw_send(c, (tako_str){block, BLOCK_BYTES});
	if (rc != TAKO_EBUSY || tako_raw_unsent(c) > most)
		return TAKO_EINVAL;
	tako_raw_close(c);
	return tako_raw_send(c, TAKO_STR("x")) == TAKO_ESTATE ? 0 : TAKO_EINVAL;
}

static int choose(tako_raw *c, struct mine *m, char what)
{
	switch (what) {
	case 'i':
		return say_info(c);
	case 'c':
		tako_raw_send(c, TAKO_STR("bye\n"));
		tako_raw_close(c);
		return 0;
	case 'a':
		tako_raw_abort(c);
		return tako_raw_send(c, TAKO_STR("x")) == TAKO_ECLOSED ? 0 : TAKO_EINVAL;
	case 'e':
		tako_raw_send(c, TAKO_STR("end\n"));
		tako_raw_end(c);
		return 0;
	case 'f':
		return TAKO_EPROTO;
	case 'b':
		m->left = BIG_BYTES;
		more(c, NULL);
		return 0;
	case 'm':
		return too_much(c);
	default:
		return 1;
	}
}

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	struct mine *m = tako_raw_user(c);
	int64_t unsent;

	(void)arg;
	if (!m->chosen) {
		int rc = choose(c, m, data.p[0]);

		m->chosen = true;
		if (rc <= 0)
			return rc;
	}
	m->bytes += data.n;
	unsent = tako_raw_send(c, data);
	if (unsent == TAKO_ESTATE)
		return 0;
	if (unsent >= 256 << 10)
		tako_raw_pause(c);
	return unsent < 0 ? (int)unsent : 0;
}

static int on_end(tako_raw *c, void *arg)
{
	(void)arg;
	atomic_fetch_add(&ended, 1);
	tako_raw_send(c, TAKO_STR("ended\n"));
	tako_raw_end(c);
	return 0;
}

static void on_drain(tako_raw *c, void *arg)
{
	(void)arg;
	tako_raw_send(c, TAKO_STR("drain\n"));
	tako_raw_end(c);
}

static void on_close(tako_raw *c, int why, void *arg)
{
	(void)c, (void)arg;
	atomic_fetch_add(&closed, 1);
	atomic_fetch_add(&whys[-why & 15], 1);
}

static int stats(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(server, &s);

	(void)req, (void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200,
	                     "opened %llu\nclosed %llu\nended %llu\nwhy_0 %llu\nwhy_ECLOSED %llu\n"
	                     "why_ETIMEDOUT %llu\nwhy_EPROTO %llu\nwhy_EINVAL %llu\n"
	                     "why_ETOOBIG %llu\nopen %" PRIu64 "\nrefused %" PRIu64
	                     "\ntimeouts %" PRIu64 "\n",
	                     atomic_load(&opened), atomic_load(&closed), atomic_load(&ended),
	                     atomic_load(&whys[0]), atomic_load(&whys[-TAKO_ECLOSED]),
	                     atomic_load(&whys[-TAKO_ETIMEDOUT]), atomic_load(&whys[-TAKO_EPROTO]),
	                     atomic_load(&whys[-TAKO_EINVAL]), atomic_load(&whys[-TAKO_ETOOBIG]),
	                     s.connections_open, s.connections_refused, s.timeouts);
}

struct args {
	tako_server_config cfg;
	tako_listen_config listen;
	tako_raw_config raw;
	const tako_transport *transport;
	const char *addr;
};

#define RAW_KNOB(f)                                                                                \
	{                                                                                          \
#f, offsetof(tako_raw_config, f), sizeof(((tako_raw_config *)0)->f)                \
	}
static const struct program_knob raw_knobs[] = {
	RAW_KNOB(idle_timeout_ms), RAW_KNOB(lifetime_ms),      RAW_KNOB(write_high_bytes),
	RAW_KNOB(write_low_bytes), RAW_KNOB(max_unsent_bytes), RAW_KNOB(user_bytes),
	RAW_KNOB(records),
};

static bool parse(struct args *a, const char *arg)
{
	const char *v;

	if ((v = program_value(arg, "listen")))
		a->addr = v;
	else if ((v = program_value(arg, "transport")))
		a->transport = v[0] == 'u'   ? tako_raw_unix()
		               : v[0] == 'h' ? tako_http1()
		               : v[1] == 'l' ? tako_raw_tls()
		                             : tako_raw_tcp();
	else if ((v = program_value(arg, "cert_file")))
		a->listen.cert_file = v;
	else if ((v = program_value(arg, "key_file")))
		a->listen.key_file = v;
	else if ((v = program_value(arg, "tls_max_early_data_bytes")))
		a->listen.tls_max_early_data_bytes = program_value_u32(v);
	else if ((v = program_value(arg, "proxy_protocol")))
		a->listen.proxy_protocol = program_value_u32(v);
	else if ((v = program_value(arg, "raw_max_connections")))
		a->raw.max_connections = program_value_u32(v);
	else if ((v = program_value(arg, "alpn")))
		a->raw.alpn = v;
	else if (strcmp(arg, "end=on") == 0)
		a->raw.on_end = on_end;
	else if (strcmp(arg, "drain=on") == 0)
		a->raw.on_drain = on_drain;
	else if (strcmp(arg, "no_data") == 0)
		a->raw.on_data = NULL;
	else if (strcmp(arg, "no_raw") == 0)
		a->listen.raw = NULL;
	else
		return program_set_by(raw_knobs, sizeof(raw_knobs) / sizeof(raw_knobs[0]), &a->raw,
		                      arg) ||
		       program_set(&a->cfg, arg);
	return true;
}

static int run(const struct args *a)
{
	tako_router *r = tako_router_new();
	int rc;

	tako_get(r, "/stats", stats, NULL);
	rc = program_server_new(&server, r, &a->cfg);
	tako_router_free(r);
	if (rc < 0)
		return program_refused("tako_server_new", rc);
	rc = tako_server_listen(server, a->transport, a->addr, &a->listen);
	if (rc == 0)
		rc = tako_server_listen(server, tako_http1(), "127.0.0.1:0", NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("listen", rc);
	program_tell_listeners(server);
	rc = tako_server_run(server);
	printf("opened %llu\nclosed %llu\n", atomic_load(&opened), atomic_load(&closed));
	return program_exit(rc);
}

int main(int argc, char **argv)
{
	struct args a = {.cfg = {.size = sizeof(a.cfg)},
	                 .listen = {.size = sizeof(a.listen)},
	                 .raw = {.size = sizeof(a.raw),
	                         .on_open = on_open,
	                         .on_data = on_data,
	                         .on_writable = more,
	                         .on_close = on_close,
	                         .user_bytes = sizeof(struct mine)},
	                 .transport = tako_raw_tcp(),
	                 .addr = "127.0.0.1:0"};

	a.listen.raw = &a.raw;
	for (int i = 1; i < argc; i++) {
		if (!parse(&a, argv[i])) {
			fprintf(stderr, "what is '%s'?\n", argv[i]);
			return 1;
		}
	}
	memset(block, 'b', sizeof(block));

	int status = run(&a);

	tako_server_free(server);
	return status;
}
