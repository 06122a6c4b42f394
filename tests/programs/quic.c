/* SPDX-License-Identifier: MIT
 *
 * QUIC without HTTP on it, for tests/integration/test_quic.py: what a client sends comes back.
 *
 *   quic listen=ADDR cert_file=F key_file=F [FIELD=VALUE]...
 *
 * The same port over TCP is HTTP/1, with /stats.  No public transport has streams and nothing on them
 * yet, so this one reaches inside.
 */
#include "program.h"

#include "unit/quic_echo.h"

static tako_server *server;

static int stats(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(server, &s);

	(void)req, (void)arg;
	return rc < 0 ? rc
	              : tako_res_text(
				res, 200,
				"connections_open %llu\ntls_handshakes %llu\ntls_resumed %llu\n"
				"tls_failures %llu\nreceived %llu\nsent %llu\n"
				"handed_over %llu\ndatagrams %llu\n",
				(unsigned long long)s.connections_open,
				(unsigned long long)s.tls_handshakes,
				(unsigned long long)s.tls_resumed,
				(unsigned long long)s.tls_failures,
				(unsigned long long)s.received_bytes,
				(unsigned long long)s.sent_bytes,
				(unsigned long long)s.quic_handed_over,
				(unsigned long long)s.quic_datagrams_received);
}

static int healthz(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "ok\n");
}

static bool parse(char *arg, tako_server_config *cfg, tako_listen_config *listen, const char **addr)
{
	const char *v;

	if ((v = program_value(arg, "listen")))
		*addr = v;
	else if ((v = program_value(arg, "cert_file")))
		listen->cert_file = v;
	else if ((v = program_value(arg, "key_file")))
		listen->key_file = v;
	else if ((v = program_value(arg, "h3_qlog_dir")))
		listen->h3_qlog_dir = v;
	else if ((v = program_value(arg, "h3_qlog_max_files")))
		listen->h3_qlog_max_files = (uint32_t)strtoul(v, NULL, 10);
	else
		return program_set(cfg, arg);
	return true;
}

int main(int argc, char **argv)
{
	tako_server_config cfg = {.size = sizeof(cfg)};
	tako_listen_config listen = {.size = sizeof(listen)};
	const char *addr = "127.0.0.1:0";
	tako_router *r = tako_router_new();
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!parse(argv[i], &cfg, &listen, &addr)) {
			fprintf(stderr, "quic: %s\n", argv[i]);
			return EXIT_REFUSED;
		}
	}
	tako_get(r, "/healthz", healthz, NULL);
	tako_get(r, "/stats", stats, NULL);
	rc = program_server_new(&server, r, &cfg);
	tako_router_free(r);
	if (rc == 0)
		rc = tako_server_listen(server, tako_http1(), addr, NULL);
	if (rc == 0)
		rc = tako_server_listen(server, quic_echo_transport(), addr, &listen);
	if (rc == 0)
		rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("quic", rc);
	rc = tako_server_run(server);
	tako_server_free(server);
	return program_exit(rc);
}
