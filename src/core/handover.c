/* SPDX-License-Identifier: MIT
 *
 * See handover.h.  A socket with connections in its backlog must never be without a descriptor: these are
 * duplicates, and the server closes its own only when somebody else has said that he accepts.
 */
#include "core/handover.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/server.h"

unsigned tako__parcel_max(const struct tako_server *srv)
{
	unsigned n = srv->address_count * srv->worker_count;

	return n < TAKO__INHERIT_MAX ? n : TAKO__INHERIT_MAX;
}

/* Workers may share a socket: one descriptor is enough. */
static bool packed(const struct tako__parcel *p, int fd)
{
	struct stat want;
	struct stat st;

	if (fstat(fd, &want) < 0)
		return false;
	for (unsigned i = 0; i < p->count; i++) {
		if (fstat(p->fds[i], &st) == 0 && st.st_ino == want.st_ino &&
		    st.st_dev == want.st_dev)
			return true;
	}
	return false;
}

static int pack_one(struct tako__parcel *p, const struct tako__address *a, int fd, int above)
{
	if (packed(p, fd))
		return 0;
	if (p->count == TAKO__INHERIT_MAX)
		return tako__fail(TAKO_ETOOBIG, "more than %d sockets to hand over",
		                  TAKO__INHERIT_MAX);
	p->fds[p->count] = fcntl(fd, F_DUPFD_CLOEXEC, above);
	if (p->fds[p->count] < 0)
		return tako__fail_errno("handing over %.60s", a->text);
	p->names[p->count++] = a->name[0] ? a->name : TAKO__INHERIT_OWN;
	return 0;
}

static int pack_all(struct tako__parcel *p, struct tako_server *srv, int above)
{
	unsigned slots = 2 * srv->cfg.worker_count;
	int rc = 0;

	for (unsigned i = 0; i < srv->address_count; i++) {
		const struct tako__address *a = srv->addresses[i];

		for (unsigned k = 0; rc == 0 && k < slots; k++)
			rc = a->fds[k] < 0 ? 0 : pack_one(p, a, a->fds[k], above);
	}
	return rc;
}

int tako__parcel_pack(struct tako__parcel *ret, struct tako_server *srv, int above)
{
	int rc;

	ret->count = 0;
	pthread_mutex_lock(&srv->fds_lock);
	rc = pack_all(ret, srv, above);
	pthread_mutex_unlock(&srv->fds_lock);
	/* Some of them may have been closed before we came to them. */
	if (rc == 0 && atomic_load(&srv->stop_calls))
		rc = tako__fail(TAKO_ESTATE, "the server is stopping");
	if (rc < 0)
		tako__parcel_free(ret);
	return rc;
}

void tako__parcel_free(struct tako__parcel *p)
{
	while (p->count)
		close(p->fds[--p->count]);
}

void tako__hand_over(struct tako_server *srv, uint32_t last_call_ms)
{
	for (unsigned i = 0; i < srv->address_count; i++)
		tako__local_disown(&srv->addresses[i]->local);
	atomic_store(&srv->last_call_ms, last_call_ms);
	atomic_store(&srv->handed_over, true);
	tako_server_stop(srv);
}
