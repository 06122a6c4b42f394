/* SPDX-License-Identifier: MIT
 *
 * The TLS transport's getter in a build without TLS: a transport that speaks no protocol,
 * which tako_server_listen() refuses.
 */
#include "core/server.h"

const tako_transport *tako_tls(void)
{
	static const tako_transport transport = {.name = "TLS"};

	return &transport;
}
