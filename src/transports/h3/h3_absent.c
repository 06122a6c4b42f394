/* SPDX-License-Identifier: MIT
 *
 * A build without HTTP/3: its transport exists, so that programs compile against the whole interface,
 * and is refused when it is listened with.
 */
#include "core/server.h"

const tako_transport *tako_h3(void)
{
	static const tako_transport transport = {.name = "HTTP/3"};

	return &transport;
}
