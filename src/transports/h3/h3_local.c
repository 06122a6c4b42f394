/* SPDX-License-Identifier: MIT
 *
 * What a worker keeps for its HTTP/3 connections: pools, and for their decoders the kind of free
 * lists that HTTP/2's library has.
 */
#include "transports/h3/h3.h"

enum { CONNS_KEPT = 256, STREAMS_KEPT = 1024, UNIS_KEPT = 256, SECTIONS_KEPT = 64 };

static void local_free(struct tako__worker_local *base)
{
	struct tako__h3_local *l = (struct tako__h3_local *)base;

	tako__pool_fini(&l->conns);
	tako__pool_fini(&l->streams);
	tako__pool_fini(&l->unis);
	tako__pool_fini(&l->sections);
	tako__h2_mem_fini(&l->mem);
	tako__h3_files_fini(&l->files);
	tako__free(l, sizeof *l);
}

struct tako__h3_local *tako__h3_local(struct tako__worker *w)
{
	struct tako__h3_local *l = tako__worker_local(w, local_free);

	if (l)
		return l;
	l = tako__zalloc(sizeof *l);
	if (!l)
		return NULL;
	tako__worker_keep(w, &l->base, local_free);
	tako__h2_mem_init(&l->mem);
	tako__h3_files_init(&l->files);
	tako__pool_init(&l->conns, sizeof(struct tako__h3), CONNS_KEPT);
	tako__pool_init(&l->streams, sizeof(struct tako__h3_stream), STREAMS_KEPT);
	tako__pool_init(&l->unis, sizeof(struct tako__h3_uni), UNIS_KEPT);
	tako__pool_init(&l->sections, sizeof(struct tako__h3_section), SECTIONS_KEPT);
	return l;
}
