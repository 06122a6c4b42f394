/* SPDX-License-Identifier: MIT
 *
 * Blocks of files, in memory for as long as a stream may have to send them again.  Streams of one worker that send the
 * same file share them: what many ask for at the same time is read from the kernel once, and is then in the CPU's
 * near cache for all of them.
 *
 * It is no cache to be told of changes.  A block is given to another stream only within a second of when it was read,
 * by a file of the same size and times, and if the last change was no later than two seconds before that: a clock of
 * a file system that counts in jiffies would not tell of another.  So what is sent is at no time older than what a
 * page cache of a file server may have.  Nothing is mapped: a file that is cut short is an error to read, and a signal
 * to touch.
 */
#ifndef TAKO_H3_FILE_H
#define TAKO_H3_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <tako/sys/runtime.h>

#include "core/cold.h"

enum {
	TAKO__H3_FILE_BYTES = 64 << 10, /* of a file at a time */
	/* To be found by others, whoever sends them: 2 MiB, a CPU's second cache. */
	TAKO__H3_FILE_SLOTS = 32,
};

struct tako__h3_file_block {
	unsigned refs;
	size_t cap;
	size_t n;
	/* What it is of, and when. */
	uint64_t read_ns;
	int64_t pos;
	struct stat of;
	char data[];
};

/* Of one worker. */
struct tako__h3_files {
	struct tako__h3_file_block *slots[TAKO__H3_FILE_SLOTS];
	uint64_t settled_ns; /* how long ago a file must have changed last */
};

void tako__h3_files_init(struct tako__h3_files *f);
/* What streams still hold stays theirs. */
void tako__h3_files_fini(struct tako__h3_files *f);

/* The first `n` (at most TAKO__H3_FILE_BYTES) of the bytes of `file`, a range; possibly less.  1: *ret is a reference,
 * to be given back; 0: a disk has to be waited for, ask again in a millisecond, with the same *cold, zeroed
 * at first; TAKO_ENOMEM; TAKO_ESYS: it cannot be read or has become shorter. */
int tako__h3_file_get(struct tako__h3_files *f, struct tako_send *file, size_t n, uint64_t now_ns,
                      struct tako__cold *cold, struct tako__h3_file_block **ret);
void tako__h3_file_put(struct tako__h3_file_block *b);

#endif /* TAKO_H3_FILE_H */
