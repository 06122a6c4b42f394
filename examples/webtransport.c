/* SPDX-License-Identifier: MIT
 *
 * WebTransport: a page whose streams and datagrams come back from the server.  It is served over TLS,
 * its sessions are on HTTP/3 beside it:
 *
 *     webtransport [ADDR [CERT.pem KEY.pem]]
 *
 * Without files it makes itself a certificate for localhost.  A browser takes one that nobody has signed
 * for HTTP/3 only if it is told to:
 *
 *     chromium --origin-to-force-quic-on=localhost:8443 --ignore-certificate-errors-spki-list=HASH
 */
#include <stdio.h>
#include <tako/tako.h>
#include <unistd.h>

static const char page[] =
	"<!doctype html><title>Echo</title>"
	"<form><input autofocus placeholder='say something'></form><ul></ul>"
	"<script>\n"
	"const wt = new WebTransport(`https://${location.host}/echo`);\n"
	"const say = text => document.querySelector('ul')\n"
	"  .appendChild(document.createElement('li')).textContent = text;\n"
	"wt.ready.then(() => say('open'), e => say(e));\n"
	"wt.closed.then(e => say(`closed: ${e.closeCode} ${e.reason}`), e => say(e));\n"
	"document.querySelector('form').onsubmit = async e => {\n"
	"  e.preventDefault();\n"
	"  const stream = await wt.createBidirectionalStream();\n"
	"  const writer = stream.writable.getWriter();\n"
	"  writer.write(new TextEncoder().encode(e.target[0].value));\n"
	"  writer.close();\n"
	"  e.target.reset();\n"
	"  say(await new Response(stream.readable).text());\n"
	"};\n"
	"</script>\n";

static int show_page(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send_ref(res, 200, "text/html; charset=utf-8", tako_str_z(page), NULL,
	                         NULL);
}

/* ---- The session: everything comes back --------------------------------------------- */

static void on_open(tako_wt *wt, void *arg)
{
	tako_conn_info info = {.size = sizeof info};

	(void)arg;
	if (tako_wt_conn_info(wt, &info) == 0)
		printf("%s has come\n", info.peer);
}

/* One that goes one way is answered on one that goes the other way. */
static void on_stream(tako_wt *wt, tako_wt_stream *s, void *arg)
{
	tako_wt_stream *answer = s;

	(void)arg;
	if (tako_wt_stream_is_uni(s) && tako_wt_open(wt, true, &answer) < 0)
		tako_wt_stop(s, 1);
	else
		tako_wt_stream_set_arg(s, answer);
	/* So that what becomes writable knows who waits for it. */
	if (answer != s)
		tako_wt_stream_set_arg(answer, s);
}

static void on_data(tako_wt_stream *s, tako_str data, bool end, void *arg)
{
	tako_wt_stream *answer = arg;

	/* More than the peer takes is not read either: then it waits, and nothing here grows. */
	if (answer && tako_wt_send(answer, data, end) > (256 << 10))
		tako_wt_pause(s);
}

static void on_writable(tako_wt_stream *s, void *arg)
{
	(void)s;
	if (arg)
		tako_wt_resume(arg);
}

static void on_reset(tako_wt_stream *s, uint64_t code, void *arg)
{
	tako_wt_stream *answer = arg;

	(void)s;
	if (answer)
		tako_wt_reset(answer, code == TAKO_WT_NO_CODE ? 0 : code);
}

static void on_stream_close(tako_wt_stream *s, int why, uint64_t code, void *arg)
{
	(void)why, (void)code;
	/* The other one does not know it any more. */
	if (arg && arg != s)
		tako_wt_stream_set_arg(arg, NULL);
}

static void on_datagram(tako_wt *wt, tako_str data, void *arg)
{
	(void)arg;
	/* What finds no room is lost, as datagrams are. */
	tako_wt_datagram(wt, data);
}

static void on_close(tako_wt *wt, int why, uint64_t code, void *arg)
{
	tako_str reason = tako_wt_reason(wt);

	(void)arg;
	if (why == 0)
		printf("closed with %llu \"%.*s\"\n", (unsigned long long)code, TAKO_FMT(reason));
	else
		printf("closed: %s\n", tako_strerror(why));
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	/* With .origins only pages of the sites that are listed there may connect. */
	return tako_wt_accept(
		req, res,
		TAKO_WT_CONFIG(.on_open = on_open, .on_stream = on_stream, .on_data = on_data,
	                       .on_writable = on_writable, .on_reset = on_reset,
	                       .on_stream_close = on_stream_close, .on_datagram = on_datagram,
	                       .on_close = on_close, .idle_timeout_ms = 600000),
		arg);
}

/* ---- The server ------------------------------------------------------------------------- */

static int make_certificate(const char *cert_file, const char *key_file)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "::1", NULL};

	if (access(cert_file, R_OK) == 0 && access(key_file, R_OK) == 0)
		return 0;
	return tako_cert_self_signed(cert_file, key_file, names, 0);
}

static int serve(tako_router *router, const char *addr, const tako_listen_config *listen)
{
	tako_server *srv = NULL;
	char bound[64];
	int rc = tako_server_new(&srv, router, NULL);

	if (rc == 0)
		rc = tako_server_listen(srv, tako_tls(), addr, listen);
	/* The same port, also where the system has chosen it. */
	if (rc == 0)
		rc = tako_server_local_addr(srv, 0, bound, sizeof bound);
	if (rc >= 0)
		rc = tako_server_listen(srv, tako_h3(), bound, listen);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = printf("https://%s/\n", bound) < 0 || fflush(stdout) ? TAKO_ESYS
		                                                          : tako_server_run(srv);
	tako_server_free(srv);
	return rc;
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8443";
	const char *cert_file = argc > 3 ? argv[2] : "localhost.pem";
	const char *key_file = argc > 3 ? argv[3] : "localhost.key";
	tako_router *router = tako_router_new();
	int rc = argc > 3 ? 0 : make_certificate(cert_file, key_file);

	tako_get(router, "/", show_page, NULL);
	tako_get(router, "/echo", echo, NULL);
	if (rc == 0)
		rc = serve(router, addr,
		           TAKO_LISTEN_CONFIG(.cert_file = cert_file, .key_file = key_file));
	if (rc < 0)
		fprintf(stderr, "webtransport: %s: %s\n", tako_strerror(rc), tako_last_error());
	tako_router_free(router);
	return rc < 0;
}
