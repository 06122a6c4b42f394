/* SPDX-License-Identifier: MIT
 *
 * The ceiling of HTTPS: the least that a one-thread epoll server over the wolfSSL that tako is linked with
 * can spend on a handshake, and on a request of a connection that stays.  It gives every record that
 * it can decrypt the same answer, which is what a client that does not pipeline asks for.
 * It must never grow a feature: whatever it does not do is what a framework is allowed to cost.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <wolfssl/options.h>
/* The order is wolfSSL's own. */
#include <wolfssl/ssl.h>

#include "ceiling.h"

enum { EVENTS_MAX = 512, RX_BYTES = 16384 };

static const char response[] =
	"HTTP/1.1 200 OK\r\nServer: tako\r\n"
	"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	"Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

struct conn {
	WOLFSSL *ssl;
	int fd;
	bool ready;
};

static int epoll_fd;
static int listen_fd;
static WOLFSSL_CTX *ctx;
static char rx[RX_BYTES];

static void drop(struct conn *c)
{
	wolfSSL_free(c->ssl);
	close(c->fd);
	free(c);
}

/* ---- A connection ------------------------------------------------------------------------ */

static bool waits(const struct conn *c, int rc)
{
	return wolfSSL_get_error(c->ssl, rc) == WOLFSSL_ERROR_WANT_READ;
}

/* False: close it.  Until there is nothing to read, as the edge will not come again. */
static bool serve(struct conn *c)
{
	int rc;

	if (!c->ready) {
		rc = wolfSSL_accept(c->ssl);
		if (rc != WOLFSSL_SUCCESS)
			return waits(c, rc);
		c->ready = true;
	}
	while ((rc = wolfSSL_read(c->ssl, rx, sizeof(rx))) > 0) {
		if (wolfSSL_write(c->ssl, response, sizeof(response) - 1) !=
		    (int)sizeof(response) - 1)
			return false;
	}
	return waits(c, rc);
}

static bool begin(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	char protocol[] = "http/1.1";

	c->ssl = wolfSSL_new(ctx);
	return c->ssl && wolfSSL_set_fd(c->ssl, c->fd) == WOLFSSL_SUCCESS &&
	       wolfSSL_UseALPN(c->ssl, protocol, sizeof(protocol) - 1,
	                       WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) == WOLFSSL_SUCCESS &&
	       epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) == 0 && serve(c);
}

static void accept_all(void)
{
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct conn *c;

		if (fd < 0)
			return;
		c = calloc(1, sizeof(*c));
		if (!c)
			die("calloc");
		c->fd = fd;
		if (!begin(c))
			drop(c);
	}
}

static void run(void)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				accept_all();
			else if (!serve(events[i].data.ptr))
				drop(events[i].data.ptr);
		}
	}
}

/* ---- Set-up ------------------------------------------------------------------------------- */

static void make_context(const char *cert, const char *key)
{
	int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1};

	wolfSSL_Init();
	ctx = wolfSSL_CTX_new(wolfTLSv1_3_server_method());
	if (!ctx ||
	    wolfSSL_CTX_set_cipher_list(ctx, "TLS13-AES128-GCM-SHA256") != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set1_groups(ctx, groups, 2) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_use_certificate_chain_file(ctx, cert) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_use_PrivateKey_file(ctx, key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
		fputs("ceiling_tls: the certificate is not usable\n", stderr);
		exit(1);
	}
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
}

int main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	struct rlimit rl;

	if (argc != 4) {
		fputs("usage: ceiling_tls PORT CERT KEY\n", stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		die("getrlimit");
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	end_by_signal();
	make_context(argv[2], argv[3]);
	listen_fd = listen_on((uint16_t)strtoul(argv[1], NULL, 10), SOCK_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		die("epoll");
	run();
}
