/* SPDX-License-Identifier: MIT
 *
 * Datagrams from anybody to a QUIC listener: each input is a few of them, cut by a length in front, after
 * which the first one that a real client would send still gets its answer.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/quic_echo.c"
#include "../unit/quic_net.c"

#include "transports/tls/tls_cert.h"
#include "transports/tls/tls_lib.h"
#include "transports/tls/tls_self.h"

static tako_server *server;

static void start(void)
{
	static const char *const names[] = {"localhost", NULL};
	struct tako__tls_blob chain, key;
	tako_router *r = tako_router_new();
	tako_cert *cert = NULL;

	quic_net_start();
	if (tako__tls_lib_enter() < 0 || tako__self_signed(&chain, &key, names, 1) < 0 ||
	    tako_cert_new(&cert, TAKO_CERT_CONFIG(.cert = {chain.p, chain.n},
	                                          .key = {key.p, key.n})) < 0 ||
	    tako_server_new(&server, r,
	                    TAKO_SERVER_CONFIG(.runtime = quic_net_runtime(), .worker_count = 1,
	                                       .max_connections = 100)) < 0 ||
	    tako_server_listen(server, quic_echo_transport(), "127.0.0.1:0",
	                       TAKO_LISTEN_CONFIG(.cert = cert)) < 0 ||
	    tako_server_fd(server) < 0)
		abort();
	tako__tls_wipe(&chain);
	tako__tls_wipe(&key);
	tako_router_free(r);
	tako_cert_free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct sockaddr_in from = quic_net_server;

	if (!server)
		start();
	from.sin_port = 0x1234;
	while (n > 2) {
		size_t step = (size_t)p[0] << 8 | p[1];

		p += 2;
		n -= 2;
		step = step % 1500 + 1;
		step = step < n ? step : n;
		if (step)
			quic_net_send(&from, &quic_net_server, p[0] & 3, p, step);
		p += step;
		n -= step;
	}
	for (unsigned i = 0; i < 4; i++) {
		if (tako_server_step(server, 0) != 1)
			abort();
		quic_net_drop_strays();
		quic_net.now_ns += 1000000;
	}
	return 0;
}
