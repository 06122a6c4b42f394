/* SPDX-License-Identifier: MIT
 *
 * An application on QUIC for tests, which says back what it hears: bytes of a stream on the same stream
 * (of one that goes one way, on one of its own), datagrams as datagrams.  It keeps no more than a
 * window of what is not echoed yet.
 */
#ifndef TAKO_TESTS_QUIC_ECHO_H
#define TAKO_TESTS_QUIC_ECHO_H

#include <tako/server.h>

#include "transports/quic/quic_app.h"

/* What has happened since quic_echo was last zeroed, and what it shall do. */
struct quic_echo {
	unsigned opened;
	unsigned ready;
	unsigned ended;
	unsigned streams;
	unsigned resets;
	unsigned shut;
	unsigned closed;
	unsigned drains;
	unsigned datagrams;
	unsigned allowed;
	uint64_t acked;
	int why; /* of the last end, with: */
	uint64_t code;
	bool by_peer;
	bool by_app;
	char reason[64];
	struct tako__conn *last; /* opened, NULL when it has ended */
	bool keep;               /* consume nothing: the peer's window stays used */
	bool hold_streams;       /* do not let it have another for one that is closed */
	bool close_on_data;      /* with code 77 */
	bool fail_on_data;       /* the callback fails */
	bool linger;             /* a drain ends nothing by itself */
	bool fail_open;
};

/* Of this thread: a test with several workers looks at none. */
extern _Thread_local struct quic_echo quic_echo;
extern const struct tako__quic_app quic_echo_app;

/* It with ALPN "echo", and as "h3", so that a client that knows no other comes so far. */
const tako_transport *quic_echo_transport(void);

#endif /* TAKO_TESTS_QUIC_ECHO_H */
