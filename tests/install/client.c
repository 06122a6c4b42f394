/* SPDX-License-Identifier: MIT
 *
 * A program as a user of the installed library would write it: only the umbrella header, only the
 * flags that pkg-config gave.  It serves one request to itself, so that the code behind the names is
 * there as well.
 */
#include <tako/tako.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	return tako_res_text(res, 200, "%s", (const char *)arg);
}

static int connect_to(const char *addr)
{
	struct sockaddr_in to;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((unsigned short)atoi(strrchr(addr, ':') + 1));
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	perror("connect");
	exit(1);
}

/* The whole answer of a connection that the server closes, in `buf`. */
static void ask(const char *addr, char *buf, size_t room)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int fd = connect_to(addr);
	size_t n = 0;
	ssize_t got = write(fd, head, sizeof(head) - 1);

	while (got > 0 && n < room - 1) {
		got = read(fd, buf + n, room - 1 - n);
		n += got > 0 ? (size_t)got : 0;
	}
	buf[n] = 0;
	close(fd);
}

static int serve_once(tako_router *router, char *answer, size_t room)
{
	tako_server *srv = NULL;
	char addr[64];
	int rc = tako_server_new(&srv, router, TAKO_SERVER_CONFIG(.worker_count = 1));

	if (rc >= 0)
		rc = tako_server_listen(srv, tako_http1(), "127.0.0.1:0", NULL);
	if (rc >= 0)
		rc = tako_server_start(srv);
	if (rc >= 0)
		rc = tako_server_local_addr(srv, 0, addr, sizeof(addr));
	if (rc >= 0) {
		ask(addr, answer, room);
		rc = tako_server_shutdown(srv, 1000);
	}
	tako_server_free(srv);
	return rc;
}

int main(void)
{
	static char text[] = "installed\n";
	char answer[4096];
	tako_router *router = tako_router_new();
	int rc;

	if (tako_version() != TAKO_VERSION_NUM) {
		fprintf(stderr, "the headers and the library differ\n");
		return 1;
	}
	tako_get(router, "/", hello, text);
	rc = serve_once(router, answer, sizeof(answer));
	tako_router_free(router);
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
		return 1;
	}
	if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || !strstr(answer, "\r\n\r\ninstalled\n")) {
		fprintf(stderr, "unexpected answer:\n%s\n", answer);
		return 1;
	}
	return 0;
}
