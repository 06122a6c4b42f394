/* SPDX-License-Identifier: MIT
 *
 * tako_server_stop_on_signals(): the one place where the library touches the process's
 * signals, and only when asked to.
 */
#include <signal.h>

#include "core/server.h"

static _Atomic(struct tako_server *) target;
static struct sigaction old_int;
static struct sigaction old_term;

static void on_signal(int number)
{
	struct tako_server *srv = atomic_load(&target);

	(void)number;
	if (srv)
		tako_server_stop(srv);
}

int tako_server_stop_on_signals(tako_server *srv)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct tako_server *none = NULL;

	if (!srv)
		return tako__fail(TAKO_EINVAL, "no server");
	if (!atomic_compare_exchange_strong(&target, &none, srv))
		return none == srv ? 0 : tako__fail(TAKO_ESTATE, "another server has the signals");
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGINT, &sa, &old_int) < 0 || sigaction(SIGTERM, &sa, &old_term) < 0) {
		atomic_store(&target, NULL);
		return tako__fail_errno("sigaction");
	}
	srv->has_signals = true;
	return 0;
}

void tako__signals_release(struct tako_server *srv)
{
	if (!srv->has_signals)
		return;
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	atomic_store(&target, NULL);
	srv->has_signals = false;
}
