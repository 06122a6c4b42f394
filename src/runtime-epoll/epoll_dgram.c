/* SPDX-License-Identifier: MIT
 *
 * The datagram half of the epoll runtime.  How batches are received and sent is
 * core/dgram_batch.c; when to call is epoll.c.
 */
#include <string.h>

#include "core/base.h"
#include "core/dgram_batch.h"
#include "runtime-epoll/epoll_int.h"

/* ---- The socket's two words ------------------------------------------------------- */

static struct tako__dgram_sock load(const struct tako_sock *s)
{
	struct tako__dgram_sock d;

	_Static_assert(sizeof d == sizeof s->rt, "two words");
	memcpy(&d, s->rt, sizeof d);
	return d;
}

static void store(struct tako_sock *s, const struct tako__dgram_sock *d)
{
	memcpy(s->rt, d, sizeof *d);
}

/* ---- Setting up ------------------------------------------------------------------- */

int tako__epoll_dgram_open(struct tako__epoll *ep, struct tako_sock *s, int fd)
{
	struct tako__dgram_sock d = {0};
	int err = tako_dgram_setup(&d.info, fd);

	if (err < 0)
		return err;
	if (!ep->dgrams)
		ep->dgrams = tako__dgram_batch_new();
	if (!ep->dgrams)
		return tako__fail(TAKO_ENOMEM, "datagram buffers: out of memory");
	store(s, &d);
	return 0;
}

void tako__epoll_dgram_fini(struct tako__epoll *ep)
{
	tako__dgram_batch_free(ep->dgrams);
}

/* ---- Receiving and sending -------------------------------------------------------- */

void tako__epoll_dgram_report(struct tako_sock *s)
{
	struct tako__dgram_sock d = load(s);

	if (!d.error)
		return;
	tako__dgram_report(s, &d);
	store(s, &d);
}

bool tako__epoll_dgram_recv(struct tako__epoll *ep, struct tako_sock *s)
{
	struct tako__dgram_sock d = load(s);
	enum tako__dgram_got got = tako__dgram_recv(ep->dgrams, s, &d);

	store(s, &d);
	/* What comes after a short batch makes a new edge, and so does an error. */
	if (got != TAKO__DGRAM_MORE)
		s->flags &= ~SOCK_READABLE;
	return got != TAKO__DGRAM_NONE;
}

enum tako__sent tako__epoll_dgram_send(struct tako_sock *s)
{
	struct tako__dgram_sock d = load(s);
	enum tako__sent sent = tako__dgram_send(s, &d);

	store(s, &d);
	return sent;
}
