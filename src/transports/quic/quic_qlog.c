/* SPDX-License-Identifier: MIT
 *
 * See quic_qlog.h.  No descriptor is held between two writes: a thousand connections shall not use up
 * what new ones need.
 */
#include "transports/quic/quic_qlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/base.h"
#include "core/mem.h"
#include "core/str.h"

enum {
	BUFFER_BYTES = 16 << 10,
	FILES = 1000,
	FILE_BYTES = 16 << 20,
	/* Whoever may read a directory of traces is its owner's to decide, not ours. */
	MODE = 0640,
};

struct tako__quic_qlogs {
	int dir;
	uint32_t file_bytes;
	atomic_uint left; /* files that may be begun */
};

struct tako__quic_qlog {
	struct tako__quic_qlogs *all;
	uint64_t bytes; /* in the file, and kept here */
	uint32_t n;     /* kept */
	bool begun;
	bool over;
	char name[2 * NGTCP2_MAX_CIDLEN + sizeof ".sqlog"];
	char p[BUFFER_BYTES];
};

/* ---- The directory ------------------------------------------------------------------------ */

/* By the only way to know: it may be full, or read-only though its bits say otherwise. */
static int try_out(int dir, const char *path)
{
	static const char name[] = ".tako-qlog";
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, MODE);

	if (fd < 0)
		return tako__fail_errno("h3_qlog_dir %.200s: cannot be written to", path);
	close(fd);
	(void)unlinkat(dir, name, 0);
	return 0;
}

static int check(const tako_listen_config *cfg)
{
	if (!cfg->h3_qlog_dir && (cfg->h3_qlog_max_files || cfg->h3_qlog_max_bytes))
		return tako__fail(TAKO_EINVAL, "h3_qlog_max_%s is set, but h3_qlog_dir is not",
		                  cfg->h3_qlog_max_files ? "files" : "bytes");
	if (cfg->h3_qlog_max_bytes && cfg->h3_qlog_max_bytes < 4096)
		return tako__fail(TAKO_EINVAL, "h3_qlog_max_bytes is below 4096");
	return 0;
}

int tako__quic_qlogs_new(struct tako__quic_qlogs **ret, const tako_listen_config *cfg)
{
	int rc = check(cfg);
	struct tako__quic_qlogs *all;

	*ret = NULL;
	if (rc < 0 || !cfg->h3_qlog_dir)
		return rc;
	all = tako__zalloc(sizeof *all);
	if (!all)
		return tako__fail(TAKO_ENOMEM, "qlog: out of memory");
	all->file_bytes = cfg->h3_qlog_max_bytes ? cfg->h3_qlog_max_bytes : FILE_BYTES;
	atomic_init(&all->left, cfg->h3_qlog_max_files ? cfg->h3_qlog_max_files : FILES);
	all->dir = open(cfg->h3_qlog_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (all->dir < 0)
		rc = tako__fail_errno("h3_qlog_dir %.200s", cfg->h3_qlog_dir);
	else
		rc = try_out(all->dir, cfg->h3_qlog_dir);
	if (rc < 0)
		tako__quic_qlogs_free(all);
	else
		*ret = all;
	return rc;
}

void tako__quic_qlogs_free(struct tako__quic_qlogs *all)
{
	if (!all)
		return;
	if (all->dir >= 0)
		close(all->dir);
	tako__free(all, sizeof *all);
}

/* ---- One file ------------------------------------------------------------------------------- */

static bool take_one(struct tako__quic_qlogs *all)
{
	unsigned left = atomic_load_explicit(&all->left, memory_order_relaxed);

	while (left && !atomic_compare_exchange_weak(&all->left, &left, left - 1))
		;
	return left > 0;
}

struct tako__quic_qlog *tako__quic_qlog_new(struct tako__quic_qlogs *all, const ngtcp2_cid *odcid)
{
	struct tako__quic_qlog *log;

	if (!all || !take_one(all))
		return NULL;
	log = tako__alloc(sizeof *log);
	if (!log)
		return NULL;
	memset(log, 0, offsetof(struct tako__quic_qlog, p));
	log->all = all;
	tako__hex_encode(log->name, odcid->data, odcid->datalen);
	memcpy(log->name + 2 * odcid->datalen, ".sqlog", sizeof ".sqlog");
	return log;
}

/* A file that is there already is another connection's: an id is the client's to choose. */
static int open_file(struct tako__quic_qlog *log)
{
	int how = log->begun ? O_APPEND : O_CREAT | O_EXCL;

	log->begun = true;
	return openat(log->all->dir, log->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | how, MODE);
}

static void flush(struct tako__quic_qlog *log)
{
	uint32_t n = log->n;
	int fd;

	log->n = 0;
	if (!n || log->over)
		return;
	fd = open_file(log);
	/* A full disk, or somebody who cleans up: the rest is not worth a hole in it. */
	if (fd < 0 || write(fd, log->p, n) != (ssize_t)n)
		log->over = true;
	if (fd >= 0)
		close(fd);
}

void tako__quic_qlog_write(struct tako__quic_qlog *log, const void *p, size_t n)
{
	/* Whole records only, so that what there is can be read. */
	if (log->over || log->bytes + n > log->all->file_bytes || n > BUFFER_BYTES) {
		flush(log);
		log->over = true;
		return;
	}
	if (n > BUFFER_BYTES - log->n)
		flush(log);
	memcpy(log->p + log->n, p, n);
	log->n += (uint32_t)n;
	log->bytes += n;
}

void tako__quic_qlog_free(struct tako__quic_qlog *log)
{
	if (!log)
		return;
	flush(log);
	tako__free(log, sizeof *log);
}
