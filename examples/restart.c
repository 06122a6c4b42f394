/* SPDX-License-Identifier: MIT
 *
 * A server that restarts itself on SIGHUP, as after an upgrade, and loses no connection: the new
 * process gets the listening sockets, and the old one goes when the new one serves.  If that fails,
 * nothing has changed.
 *
 *   curl http://127.0.0.1:8080/; kill -HUP $(pidof -s restart); curl http://127.0.0.1:8080/
 *
 * "restart ADDR CERT.pem KEY.pem" serves HTTP/3 as well, on UDP at the same address.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <tako/tako.h>

static int who(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "process %d\n", (int)getpid());
}

/* Until SIGTERM, or until another process has taken our place. */
static int wait_for_signals(tako_server *srv, const sigset_t *signals, char **argv)
{
	int number = 0;

	while (sigwait(signals, &number) == 0 && number == SIGHUP) {
		int rc = tako_server_restart(srv, TAKO_RESTART_CONFIG(.argv = argv));

		if (rc > 0)
			return tako_server_wait(srv);
		fprintf(stderr, "still here: %s: %s\n", tako_strerror(rc), tako_last_error());
	}
	return tako_server_shutdown(srv, 30000);
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8080";
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	sigset_t signals;
	int rc;

	/* Before there are threads: none of them shall have these. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	tako_get(router, "/", who, NULL);
	rc = tako_server_new(&srv, router, TAKO_SERVER_CONFIG(.inherit = 1, .notify = 1));
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http(), addr, NULL);
	if (rc == 0 && argc > 3)
		rc = tako_server_listen(
			srv, tako_h3(), addr,
			TAKO_LISTEN_CONFIG(.cert_file = argv[2], .key_file = argv[3]));
	if (rc == 0)
		rc = tako_server_start(srv);
	if (rc == 0)
		rc = wait_for_signals(srv, &signals, argv);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());

	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}
