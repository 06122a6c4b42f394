/* SPDX-License-Identifier: MIT
 *
 * HTTP/3 as a transport to listen with: its one application on QUIC.  Alone in its file, so that the
 * protocol can be had without packets.
 */
#include "core/server.h"
#include "transports/h3/h3.h"

static int prepare(void **ret_shared, const struct tako_server *srv, const tako_listen_config *cfg)
{
	static const struct tako__quic_app *const apps[] = {&tako__h3_app, NULL};

	return tako__quic_prepare(ret_shared, srv, cfg, apps);
}

const tako_transport *tako_h3(void)
{
	static const tako_transport transport = {
		.name = "HTTP/3", .alt_svc = "h3", .prepare = prepare, TAKO__QUIC_TRANSPORT};

	return &transport;
}
