/* SPDX-License-Identifier: MIT
 *
 * A TLS server with every knob of its listener, for tests/integration/test_tls.py:
 *
 *   tls listen=ADDR [listen=ADDR] cert_file=F key_file=F [name:HOST=CERT,KEY]... [FIELD=VALUE]...
 *
 * /info tells what a handler sees of its connection, POST /reload loads the certificate anew.
 */
#include <stdatomic.h>

#include "program.h"

enum { MAX_LISTENERS = 4, MAX_NAMES = 8, BODY_BYTES = 1 << 20 };

static tako_server *server;
static tako_cert *cert;
static tako_cert_set *names;
static char body[BODY_BYTES];

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static const char *or_none(const char *text)
{
	return text ? text : "-";
}

static int info(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info i = {.size = sizeof(i)};
	char names_text[1024] = "";
	int rc = tako_req_conn_info(req, &i);

	(void)arg;
	if (rc < 0)
		return rc;
	const tako_peer_cert *p = i.peer_cert;
	for (size_t n = 0; p && p->names[n]; n++)
		snprintf(names_text + strlen(names_text), sizeof(names_text) - strlen(names_text),
		         "%s ", p->names[n]);
	return tako_res_text(
		res, 200,
		"transport %s\ntls %s\ncipher %s\nalpn %s\nsni %s\nresumed %d\nrequests %d\n"
		"local %s\nrtt_us %d\nsubject %s\nissuer %s\nsha256 %s\nserial %s\nnames %s\nder "
		"%zu\n"
		"not_after %lld\n",
		i.transport, or_none(i.tls), or_none(i.cipher), or_none(i.alpn),
		or_none(i.server_name), (int)i.resumed, (int)i.request_count, i.local,
		(int)i.rtt_us, p ? p->subject : "-", p ? p->issuer : "-", p ? p->sha256 : "-",
		p ? p->serial : "-", names_text, p ? p->der.n : 0,
		p ? (long long)p->not_after_s : 0LL);
}

static int reload(tako_req *req, tako_res *res, void *arg)
{
	tako_cert_info i = {.size = sizeof(i)};
	int rc = tako_cert_reload(cert, NULL);

	(void)req, (void)arg;
	if (rc < 0)
		return tako_res_text(res, 409, "%s\n", tako_last_error());
	rc = tako_cert_get_info(cert, &i);
	return rc < 0 ? rc : tako_res_text(res, 200, "%llu\n", (unsigned long long)i.generation);
}

/* Does the server run what came in early data, and how often? */
static int bump(tako_req *req, tako_res *res, void *arg)
{
	static atomic_uint count; /* of all workers */
	tako_str early = tako_req_header(req, "Early-Data");

	(void)arg;
	return tako_res_text(res, 200, "early %.*s\ncount %u\n", early.p ? (int)early.n : 1,
	                     or_none(early.p), atomic_fetch_add(&count, 1) + 1);
}

/* What watching has done so far. */
static int generation(tako_req *req, tako_res *res, void *arg)
{
	tako_cert_info i = {.size = sizeof(i)};
	int rc = tako_cert_get_info(cert, &i);

	(void)req, (void)arg;
	return rc < 0 ? rc
	              : tako_res_text(res, 200, "%llu %llu\n", (unsigned long long)i.generation,
	                              (unsigned long long)i.failed_reloads);
}

static int stats(tako_req *req, tako_res *res, void *arg)
{
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(server, &s);

	(void)req, (void)arg;
	return rc < 0 ? rc
	              : tako_res_text(
				res, 200,
				"connections_open %llu\ntls_handshakes %llu\ntls_resumed %llu\n"
				"tls_failures %llu\ntimeouts %llu\n",
				(unsigned long long)s.connections_open,
				(unsigned long long)s.tls_handshakes,
				(unsigned long long)s.tls_resumed,
				(unsigned long long)s.tls_failures, (unsigned long long)s.timeouts);
}

static int bulk(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send_ref(res, 200, "application/octet-stream",
	                         (tako_str){body, sizeof(body)}, NULL, NULL);
}

/* Hold back a body for a while: what follows it, the end included, must wait. */
static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)arg;
	int64_t rc = tako_res_write(res, data, NULL, NULL);

	if (rc < 0)
		return (int)rc;
	return end ? tako_res_end(res) : 0;
}

static void resume(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

static int paused(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_req_on_body(req, echo_body, arg);

	tako_req_pause(req);
	return rc < 0 ? rc : tako_res_after(res, 200, resume, req);
}

static int password(char *buf, size_t n, void *arg)
{
	return snprintf(buf, n, "%s", (const char *)arg);
}

struct args {
	tako_server_config cfg;
	tako_listen_config listen;
	tako_cert_config cert;
	const char *addrs[MAX_LISTENERS];
	size_t addr_count;
	char *names[MAX_NAMES];
	size_t name_count;
	const char *tickets;
	const char *h3; /* HTTP/3 there too */
};

static bool is(const char *arg, const char *name, const char **value)
{
	size_t n = strlen(name);

	if (strncmp(arg, name, n) != 0)
		return false;
	*value = arg + n;
	return true;
}

static uint32_t number(const char *text)
{
	return strcmp(text, "off") == 0 ? TAKO_OFF : (uint32_t)strtoul(text, NULL, 10);
}

static bool parse(struct args *a, char *arg)
{
	const char *v;

	if (is(arg, "listen=", &v) && a->addr_count < MAX_LISTENERS)
		a->addrs[a->addr_count++] = v;
	else if (is(arg, "name:", &v) && a->name_count < MAX_NAMES)
		a->names[a->name_count++] = arg + 5;
	else if (is(arg, "cert_file=", &v))
		a->cert.cert_file = v;
	else if (is(arg, "key_file=", &v))
		a->cert.key_file = v;
	else if (is(arg, "ocsp_file=", &v))
		a->cert.ocsp_file = v;
	else if (is(arg, "watch_interval_ms=", &v))
		a->cert.watch_interval_ms = number(v);
	else if (is(arg, "password=", &v)) {
		a->cert.password_fn = password;
		a->cert.password_arg = arg + strlen("password=");
	} else if (is(arg, "client_auth=", &v))
		a->listen.client_auth = number(v);
	else if (is(arg, "client_ca_file=", &v))
		a->listen.client_ca_file = v;
	else if (is(arg, "client_ca_dir=", &v))
		a->listen.client_ca_dir = v;
	else if (is(arg, "client_crl_file=", &v))
		a->listen.client_crl_file = v;
	else if (is(arg, "tls_min_version=", &v))
		a->listen.tls_min_version = number(v);
	else if (is(arg, "tls_tickets=", &v))
		a->listen.tls_tickets = number(v);
	else if (is(arg, "tls_max_early_data_bytes=", &v))
		a->listen.tls_max_early_data_bytes = number(v);
	else if (is(arg, "no_h2=", &v))
		a->listen.no_h2 = number(v);
	else if (is(arg, "tickets=", &v))
		a->tickets = v;
	else if (is(arg, "h3=", &v))
		a->h3 = v;
	else
		return program_set(&a->cfg, arg);
	return true;
}

static tako_router *make_router(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/hello", hello, NULL);
	tako_get(r, "/info", info, NULL);
	tako_get(r, "/stats", stats, NULL);
	tako_get(r, "/bulk", bulk, NULL);
	tako_get(r, "/generation", generation, NULL);
	tako_get(r, "/bump", bump, NULL);
	tako_post(r, "/bump", bump, NULL);
	tako_post(r, "/reload", reload, NULL);
	tako_post(r, "/paused", paused, NULL);
	return r;
}

/* "HOST=CERT,KEY"; "=CERT,KEY" for every other name. */
static int add_name(char *text)
{
	char *files = strchr(text, '=');
	char *key = files ? strchr(files, ',') : NULL;
	tako_cert *one = NULL;

	if (!key)
		return TAKO_EINVAL;
	*files++ = '\0';
	*key++ = '\0';
	int rc = tako_cert_new(&one, TAKO_CERT_CONFIG(.cert_file = files, .key_file = key));
	if (rc == 0)
		rc = tako_cert_set_put(names, text[0] ? text : NULL, one);
	tako_cert_free(one);
	return rc;
}

static int listen_all(struct args *a)
{
	int rc = 0;

	if (a->cert.cert_file)
		rc = tako_cert_new(&cert, &a->cert);
	names = tako_cert_set_new();
	for (size_t i = 0; rc == 0 && i < a->name_count; i++)
		rc = add_name(a->names[i]);
	if (rc == 0 && a->tickets)
		rc = tako_ticket_keys_new(&a->listen.ticket_keys, tako_str_z(a->tickets));
	a->listen.cert = cert;
	if (a->name_count) {
		a->listen.cert_fn = tako_cert_set_find;
		a->listen.cert_arg = names;
	}
	for (size_t i = 0; rc == 0 && i < a->addr_count; i++)
		rc = tako_server_listen(server, tako_tls(), a->addrs[i], &a->listen);
	if (rc == 0 && a->h3)
		rc = tako_server_listen(server, tako_h3(), a->h3, &a->listen);
	tako_ticket_keys_free(a->listen.ticket_keys);
	return rc;
}

static int run(struct args *a)
{
	tako_router *router = make_router();
	int rc = program_server_new(&server, router, &a->cfg);

	tako_router_free(router);
	if (rc < 0)
		return program_refused("tako_server_new", rc);
	rc = listen_all(a);
	if (rc < 0)
		return program_refused("listen", rc);
	rc = tako_server_stop_on_signals(server);
	if (rc < 0)
		return program_refused("tako_server_stop_on_signals", rc);
	program_tell_listeners(server);
	rc = tako_server_run(server);
	return program_exit(rc);
}

int main(int argc, char **argv)
{
	struct args a = {.cfg = {.size = sizeof(a.cfg)},
	                 .listen = {.size = sizeof(a.listen)},
	                 .cert = {.size = sizeof(a.cert)}};

	for (int i = 1; i < argc; i++) {
		if (!parse(&a, argv[i])) {
			fprintf(stderr, "what is '%s'?\n", argv[i]);
			return 1;
		}
	}
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 31 + i / 251);

	int status = run(&a);

	tako_server_free(server);
	tako_cert_set_free(names);
	tako_cert_free(cert);
	return status;
}
