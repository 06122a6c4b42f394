/* SPDX-License-Identifier: MIT
 *
 * See tls_keylog.h.  Only in debug builds, as module.mk sees to: who can set the environment of a
 * program shall not thereby read what it serves.
 */
#include "transports/tls/tls_keylog.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/str.h"

enum { RANDOM_BYTES = 32, SECRET_BYTES = 48 };

static int file = -1;

int tako__tls_keylog_open(void)
{
	const char *path = secure_getenv("SSLKEYLOGFILE");

	if (!path || !path[0])
		return 0;
	file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return file < 0 ? tako__fail_errno("SSLKEYLOGFILE %.200s", path) : 0;
}

void tako__tls_keylog_close(void)
{
	if (file >= 0)
		close(file);
	file = -1;
}

/* A line is one write, and so whole whoever else writes.  A full disk costs a line: nobody's
 * connection shall break for it. */
static void put(const char *line, size_t n)
{
	struct iovec parts[2] = {{(void *)(uintptr_t)line, n}, {"\n", 1}};

	if (writev(file, parts, 2) < 0)
		return;
}

static void on_line(const WOLFSSL *ssl, const char *line)
{
	(void)ssl;
	put(line, strcspn(line, "\n"));
}

void tako__tls_keylog_apply(WOLFSSL_CTX *ctx)
{
	if (file >= 0)
		wolfSSL_CTX_set_keylog_callback(ctx, on_line);
}

/* wolfSSL (5.5.4) tells a server's secrets of TLS 1.3 only. */
void tako__tls_keylog_begin(WOLFSSL *ssl)
{
	if (file >= 0)
		wolfSSL_KeepArrays(ssl);
}

static void put_master(WOLFSSL *ssl)
{
	char line[16 + 2 * (RANDOM_BYTES + SECRET_BYTES)] = "CLIENT_RANDOM ";
	unsigned char *master, *server, *client;
	unsigned master_n, server_n, client_n;
	size_t n = strlen(line);

	if (wolfSSL_get_keys(ssl, &master, &master_n, &server, &server_n, &client, &client_n) !=
	            WOLFSSL_SUCCESS ||
	    client_n != RANDOM_BYTES || master_n != SECRET_BYTES)
		return;
	tako__hex_encode(line + n, client, client_n);
	n += 2 * client_n;
	line[n++] = ' ';
	tako__hex_encode(line + n, master, master_n);
	put(line, n + 2 * master_n);
	explicit_bzero(line, sizeof line);
}

void tako__tls_keylog_ready(WOLFSSL *ssl)
{
	if (file < 0)
		return;
	if (strcmp(wolfSSL_get_version(ssl), "TLSv1.2") == 0)
		put_master(ssl);
	wolfSSL_FreeArrays(ssl);
}
