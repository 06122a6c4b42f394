/* SPDX-License-Identifier: MIT
 *
 * A server behind load balancers, for tests/integration/test_proxy.py and test_forwarded.py, and on
 * addresses that are not the Internet's, for test_unix.py:
 *
 *   proxied listen=ADDR [transport=http|http1|h2c|tls|h3] [cert_file=F key_file=F] [proxy_protocol=N]
 *           [proxy_trusted=LIST] [forwarded=N] [forwarded_trusted=LIST] [forwarded_name=FIELD]
 *           [forwarded_log=N] [unix_owner=U] [unix_group=G] [unix_mode=OCTAL] [FIELD=VALUE]...
 *
 * /info tells what a handler sees of its connection, /later the same after a while; /client who it takes for
 * its client, and what it would tell of it to a server behind.
 */
#include "program.h"

static tako_server *server;

static const char *or_none(const char *text)
{
	return text ? text : "-";
}

static void print_str(char *to, size_t n, const char *name, tako_str value)
{
	size_t used = strlen(to);

	if (value.p)
		snprintf(to + used, n - used, "%s %.*s\n", name, TAKO_FMT(value));
}

static void print_raw(char *to, size_t n, tako_str rest)
{
	tako_str value;
	uint32_t type;

	while (tako_proxy_next_tlv(&rest, &type, &value)) {
		size_t used = strlen(to);

		used += (size_t)snprintf(to + used, n - used, "tlv_%02x ", type);
		for (size_t i = 0; i < value.n && used + 4 < n; i++)
			used += (size_t)snprintf(to + used, n - used, "%02x",
			                         (unsigned char)value.p[i]);
		snprintf(to + used, n - used, "\n");
	}
}

static int say(tako_req *req, tako_res *res)
{
	tako_conn_info i = {.size = sizeof(i)};
	tako_proxy_info p = {.size = sizeof(p)};
	char text[4096] = "";
	int rc = tako_req_conn_info(req, &i);

	if (rc < 0)
		return rc;
	rc = tako_req_proxy_info(req, &p);
	if (rc == TAKO_ENOMEM)
		return rc;
	print_str(text, sizeof(text), "alpn", p.alpn);
	print_str(text, sizeof(text), "authority", p.authority);
	print_str(text, sizeof(text), "unique_id", p.unique_id);
	print_str(text, sizeof(text), "netns", p.netns);
	print_str(text, sizeof(text), "ssl_version", p.ssl_version);
	print_str(text, sizeof(text), "ssl_cn", p.ssl_cn);
	print_str(text, sizeof(text), "ssl_cipher", p.ssl_cipher);
	print_str(text, sizeof(text), "ssl_sig_alg", p.ssl_sig_alg);
	print_str(text, sizeof(text), "ssl_key_alg", p.ssl_key_alg);
	print_raw(text, sizeof(text), p.tlvs);
	return tako_res_text(
		res, 200,
		"peer %s\nlocal %s\nvia %s\ntransport %s\ntls %s\nproxy %s\n"
		"version %u\nis_local %u\ndatagram %u\nsource %s\ndestination %s\n"
		"ssl_client %u\nssl_verify %u\nhas_cred %u\npid %d\nuid %u\ngid %u\n%s",
		i.peer, i.local, or_none(i.via), i.transport, or_none(i.tls), program_code(rc),
		p.version, p.local, p.datagram, or_none(p.source), or_none(p.destination),
		p.ssl_client, p.ssl_verify, i.has_peer_cred, i.peer_pid, i.peer_uid, i.peer_gid,
		text);
}

static int info(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return say(req, res);
}

static void answer(tako_res *res, void *arg)
{
	(void)say(arg, res);
}

/* Long after the header was read, and whatever came since. */
static int later(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, 20, answer, req);
}

static const char *forward(tako_req *req, uint32_t field, char *buf, size_t room)
{
	int n = tako_req_forward(req, field, NULL, buf, room - 1);

	buf[n < 0 ? 0 : n] = '\0';
	return n < 0 ? program_code(n) : buf;
}

static int client(tako_req *req, tako_res *res, void *arg)
{
	tako_client_info c = {.size = sizeof(c)};
	char told[4][512];
	int rc = tako_req_client(req, &c);

	(void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200,
	                     "addr %s\nnode %s\nport %u\nscheme %s\nhost %.*s\nby %.*s\n"
	                     "hops %u\nwhy %u\nforwarded %s\nx-for %s\nx-proto %s\nx-host %s\n",
	                     c.addr, c.node, c.port, c.scheme, TAKO_FMT(c.host), TAKO_FMT(c.by),
	                     c.hop_count, c.why,
	                     forward(req, TAKO_FORWARD_STANDARD, told[0], sizeof(told[0])),
	                     forward(req, TAKO_FORWARD_FOR, told[1], sizeof(told[1])),
	                     forward(req, TAKO_FORWARD_PROTO, told[2], sizeof(told[2])),
	                     forward(req, TAKO_FORWARD_HOST, told[3], sizeof(told[3])));
}

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static int stats(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(server, &s);

	(void)req, (void)arg;
	return rc < 0 ? rc
	              : tako_res_text(res, 200,
	                              "proxy_errors %" PRIu64 "\ntimeouts %" PRIu64 "\n"
	                              "connections_refused %" PRIu64 "\nconnections_open %" PRIu64
	                              "\naccept_errors %" PRIu64 "\n",
	                              s.proxy_errors, s.timeouts, s.connections_refused,
	                              s.connections_open, s.accept_errors);
}

struct args {
	tako_server_config cfg;
	tako_listen_config listen;
	const tako_transport *transport;
	const char *addr;
};

static bool parse_forwarded(struct args *a, const char *arg)
{
	const char *v;

	if ((v = program_value(arg, "forwarded")))
		a->listen.forwarded = (uint32_t)strtoul(v, NULL, 10);
	else if ((v = program_value(arg, "forwarded_trusted")))
		a->listen.forwarded_trusted = v;
	else if ((v = program_value(arg, "forwarded_name")))
		a->listen.forwarded_name = v;
	else if ((v = program_value(arg, "forwarded_log")))
		a->listen.forwarded_log = (uint32_t)strtoul(v, NULL, 10);
	else
		return false;
	return true;
}

static bool parse(struct args *a, const char *arg)
{
	const char *v;

	if (parse_forwarded(a, arg))
		return true;
	if ((v = program_value(arg, "listen")))
		a->addr = v;
	else if (strcmp(arg, "transport=tls") == 0)
		a->transport = tako_tls();
	else if (strcmp(arg, "transport=h3") == 0)
		a->transport = tako_h3();
	else if (program_transport(&a->transport, arg))
		return true;
	else if ((v = program_value(arg, "cert_file")))
		a->listen.cert_file = v;
	else if ((v = program_value(arg, "key_file")))
		a->listen.key_file = v;
	else if ((v = program_value(arg, "proxy_protocol")))
		a->listen.proxy_protocol = (uint32_t)strtoul(v, NULL, 10);
	else if ((v = program_value(arg, "proxy_trusted")))
		a->listen.proxy_trusted = v;
	else if ((v = program_value(arg, "unix_owner")))
		a->listen.unix_owner = v;
	else if ((v = program_value(arg, "unix_group")))
		a->listen.unix_group = v;
	else if ((v = program_value(arg, "unix_mode")))
		a->listen.unix_mode = (uint32_t)strtoul(v, NULL, 8);
	else
		return program_set(&a->cfg, arg);
	return true;
}

static int run(const struct args *a)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/hello", hello, NULL);
	tako_get(r, "/info", info, NULL);
	tako_get(r, "/later", later, NULL);
	tako_get(r, "/client", client, NULL);
	tako_get(r, "/stats", stats, NULL);
	int rc = program_server_new(&server, r, &a->cfg);
	tako_router_free(r);
	if (rc < 0)
		return program_refused("tako_server_new", rc);
	rc = tako_server_listen(server, a->transport, a->addr, &a->listen);
	/* The tests' own way in, where nothing stands in front. */
	if (rc == 0)
		rc = tako_server_listen(server, tako_http1(), "127.0.0.1:0", NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("listen", rc);
	program_tell_listeners(server);
	rc = tako_server_run(server);
	return program_exit(rc);
}

int main(int argc, char **argv)
{
	struct args a = {.cfg = {.size = sizeof(a.cfg)},
	                 .listen = {.size = sizeof(a.listen)},
	                 .transport = tako_http(),
	                 .addr = "127.0.0.1:0"};

	for (int i = 1; i < argc; i++) {
		if (!parse(&a, argv[i])) {
			fprintf(stderr, "what is '%s'?\n", argv[i]);
			return 1;
		}
	}
	int status = run(&a);
	tako_server_free(server);
	return status;
}
