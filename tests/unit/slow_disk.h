/* SPDX-License-Identifier: MIT
 *
 * A disk that is as slow as a test wants: what the library asks and does about files goes through
 * here, and while the disk is cold every read of a file that would wait for it is counted.
 */
#ifndef TESTS_UNIT_SLOW_DISK_H
#define TESTS_UNIT_SLOW_DISK_H

#include <stdbool.h>
#include <stdint.h>

struct slow_disk {
	bool cold; /* pages from warm_bytes on are not in memory */
	int64_t warm_bytes;
	int probe_errno;     /* what the question fails with instead, if not 0 */
	unsigned probes;     /* how often it was asked */
	unsigned advices;    /* how often it was told what will be needed, */
	int64_t advised_pos; /* … and what the last time */
	int64_t advised_bytes;
	unsigned waits; /* reads and sends of what was not there */
};

/* All 0 is a disk whose files are in memory. */
extern struct slow_disk slow_disk;

#endif /* TESTS_UNIT_SLOW_DISK_H */
