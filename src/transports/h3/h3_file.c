/* SPDX-License-Identifier: MIT
 *
 * See h3_file.h.  A table without chains: which blocks there are is up to peers, who choose ranges, and who finds
 * another in its place reads for itself.
 */
#include "transports/h3/h3_file.h"

#include <time.h>

#include "core/base.h"
#include "core/cold.h"
#include "core/mem.h"

enum { SHARED_BYTES_MIN = 8 << 10 }; /* reading less costs no more than to look for it */

static const uint64_t second_ns = UINT64_C(1000000000);

void tako__h3_files_init(struct tako__h3_files *f)
{
	*f = (struct tako__h3_files){.settled_ns = 2 * second_ns};
}

void tako__h3_files_fini(struct tako__h3_files *f)
{
	for (size_t i = 0; i < TAKO__H3_FILE_SLOTS; i++) {
		if (f->slots[i])
			tako__h3_file_put(f->slots[i]);
	}
}

void tako__h3_file_put(struct tako__h3_file_block *b)
{
	if (--b->refs == 0)
		tako__free(b, sizeof *b + b->cap);
}

/* Neighbours in a file are neighbours here, and so not in each other's way. */
static struct tako__h3_file_block **slot_of(struct tako__h3_files *f, const struct stat *st,
                                            int64_t pos)
{
	uint64_t file = (uint64_t)st->st_ino * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return &f->slots[(file + (uint64_t)pos / TAKO__H3_FILE_BYTES) % TAKO__H3_FILE_SLOTS];
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_of(const struct tako__h3_file_block *b, const struct stat *st, int64_t pos, size_t n)
{
	return b->pos == pos && b->n == n && b->of.st_ino == st->st_ino &&
	       b->of.st_dev == st->st_dev && b->of.st_size == st->st_size &&
	       same_time(&b->of.st_mtim, &st->st_mtim) && same_time(&b->of.st_ctim, &st->st_ctim);
}

static bool is_older(const struct timespec *t, const struct timespec *than)
{
	return t->tv_sec < than->tv_sec ||
	       (t->tv_sec == than->tv_sec && t->tv_nsec <= than->tv_nsec);
}

/* Who changes it again will be seen to. */
static bool has_settled(const struct stat *st, uint64_t settled_ns)
{
	struct timespec then;

	clock_gettime(CLOCK_REALTIME, &then);
	then.tv_sec -= (time_t)(settled_ns / second_ns);
	return is_older(&st->st_mtim, &then) && is_older(&st->st_ctim, &then);
}

static int read_block(const struct tako_send *file, size_t n, struct tako__h3_file_block **ret)
{
	struct tako__h3_file_block *b = tako__alloc(sizeof *b + n);
	ssize_t got;

	if (!b)
		return TAKO_ENOMEM;
	got = n ? tako__file_piece(file->file_fd, b->data, n, file->file_pos) : 0;
	if (got < 0) {
		tako__free(b, sizeof *b + n);
		return TAKO_ESYS;
	}
	b->refs = 1;
	b->cap = n;
	b->n = (size_t)got;
	*ret = b;
	return 1;
}

/* For others to find, in the place of what was there. */
static void share(struct tako__h3_file_block **slot, struct tako__h3_file_block *b,
                  const struct stat *st, int64_t pos, uint64_t now_ns)
{
	b->of = *st;
	b->pos = pos;
	b->read_ns = now_ns;
	b->refs++;
	if (*slot)
		tako__h3_file_put(*slot);
	*slot = b;
}

int tako__h3_file_get(struct tako__h3_files *f, struct tako_send *file, size_t n, uint64_t now_ns,
                      struct tako__cold *cold, struct tako__h3_file_block **ret)
{
	struct tako__h3_file_block **slot = NULL;
	struct stat st; /* from before it is read: a change since then makes it another file's */
	int rc;

	if (n >= SHARED_BYTES_MIN && fstat(file->file_fd, &st) == 0 && S_ISREG(st.st_mode)) {
		slot = slot_of(f, &st, file->file_pos);
		if (*slot && is_of(*slot, &st, file->file_pos, n) &&
		    now_ns - (*slot)->read_ns < second_ns) {
			*cold = (struct tako__cold){0};
			*ret = *slot;
			(*ret)->refs++;
			return 1;
		}
	}
	if (n && tako__file_waits(cold, now_ns, file, n))
		return 0;
	rc = read_block(file, n, ret);
	if (rc > 0 && slot && (*ret)->n == n && has_settled(&st, f->settled_ns))
		share(slot, *ret, &st, file->file_pos, now_ns);
	return rc;
}
