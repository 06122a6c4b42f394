/* SPDX-License-Identifier: MIT
 *
 * tako inside a program that has an event loop already: one descriptor to wait for, one call when it
 * is readable.  No thread is made, and every handler runs on this one.
 *
 *   echo a line on the terminal, then: curl http://127.0.0.1:8080/
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <tako/tako.h>

/* The program's own state; no lock, as there is one thread. */
struct app {
	char line[256];
	struct pollfd fds[2]; /* tako's and the terminal's */
};

static int last_line(tako_req *req, tako_res *res, void *arg)
{
	const struct app *app = arg;

	(void)req;
	return tako_res_text(res, 200, "last line typed: %s\n", app->line);
}

static void read_line(struct app *app)
{
	ssize_t n = read(STDIN_FILENO, app->line, sizeof app->line - 1);

	if (n <= 0) {
		app->fds[1].fd = -1; /* end of input: poll() skips it from now on */
		return;
	}
	app->line[n] = '\0';
	app->line[strcspn(app->line, "\n")] = '\0';
}

static int loop(tako_server *srv, struct app *app)
{
	int rc = 1;

	while (rc == 1) {
		/* A signal ends poll() early; then the server has something to do too. */
		if (poll(app->fds, 2, -1) < 0 || app->fds[0].revents)
			rc = tako_server_step(srv, 0);
		else if (app->fds[1].revents)
			read_line(app);
	}
	return rc;
}

int main(int argc, char **argv)
{
	struct app app = {.line = "none yet"};
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	int rc;

	tako_get(router, "/", last_line, &app);
	rc = tako_server_new(&srv, router, TAKO_SERVER_CONFIG(.worker_count = 1));
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http1(), argc > 1 ? argv[1] : "127.0.0.1:8080",
		                        NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_fd(srv);
	if (rc >= 0) {
		app.fds[0] = (struct pollfd){.fd = rc, .events = POLLIN};
		app.fds[1] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
		rc = loop(srv, &app);
	}
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}
