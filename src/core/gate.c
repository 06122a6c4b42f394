/* SPDX-License-Identifier: MIT
 *
 * See gate.h.  A mutex and a condition; used once per start.
 */
#include "core/gate.h"

#include <stdio.h>

#include "core/base.h"

void tako__gate_init(struct tako__gate *g, unsigned count)
{
	*g = (struct tako__gate){.missing = count};
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->all_here, NULL);
}

static void leave(struct tako__gate *g)
{
	g->inside--;
	pthread_cond_broadcast(&g->all_here);
}

void tako__gate_fini(struct tako__gate *g)
{
	pthread_mutex_lock(&g->lock);
	while (g->inside || g->missing)
		pthread_cond_wait(&g->all_here, &g->lock);
	pthread_mutex_unlock(&g->lock);
	pthread_cond_destroy(&g->all_here);
	pthread_mutex_destroy(&g->lock);
}

static void note(struct tako__gate *g, int rc)
{
	if (rc >= 0 || g->err < 0)
		return;
	g->err = rc;
	snprintf(g->text, sizeof g->text, "%s", tako_last_error());
}

static void report(struct tako__gate *g, int rc, unsigned count)
{
	note(g, rc);
	g->missing -= count;
	if (!g->missing)
		pthread_cond_broadcast(&g->all_here);
}

static void wait_for_all(struct tako__gate *g)
{
	g->inside++;
	while (g->missing)
		pthread_cond_wait(&g->all_here, &g->lock);
}

bool tako__gate_pass(struct tako__gate *g, int rc)
{
	bool ok;

	pthread_mutex_lock(&g->lock);
	report(g, rc, 1);
	wait_for_all(g);
	ok = g->err == 0;
	leave(g);
	pthread_mutex_unlock(&g->lock);
	return ok;
}

void tako__gate_fail(struct tako__gate *g, int err, unsigned count)
{
	pthread_mutex_lock(&g->lock);
	report(g, err, count);
	pthread_mutex_unlock(&g->lock);
}

void tako__gate_wait(struct tako__gate *g)
{
	pthread_mutex_lock(&g->lock);
	wait_for_all(g);
	leave(g);
	pthread_mutex_unlock(&g->lock);
}
