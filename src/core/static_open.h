/* SPDX-License-Identifier: MIT
 *
 * From the path of a request to an open file below one directory, and never outside it.  Knows
 * nothing of HTTP.
 */
#ifndef TAKO_CORE_STATIC_OPEN_H
#define TAKO_CORE_STATIC_OPEN_H

#include <stdatomic.h>
#include <sys/stat.h>

#include <tako/base.h>

struct tako__static_dir {
	int fd;
	/* The kernel, or a sandbox, has no openat2(2): learnt at the first refusal.  Tests set
	 * it. */
	atomic_bool no_openat2;
};

/* Open the directory itself.  It stays the same one, whatever its name comes to mean later.
 * TAKO_ESYS, TAKO_EINVAL. */
int tako__static_dir_init(struct tako__static_dir *d, const char *path);
void tako__static_dir_fini(struct tako__static_dir *d);

/* Whether `path` is one that may be looked up: segments divided by single slashes, none of them
 * "." or "..", none that begins with a dot unless `dotfiles`, no NUL and no backslash.  It may
 * be empty or end with a slash. */
bool tako__static_path_ok(tako_str path, bool dotfiles);

/* Open what `path`, which is OK in this sense and ends with no slash, means below `d`, and stat
 * it.  Never waits for a FIFO or device, but may open one: look at st_mode.  Symbolic links
 * are followed as long as they stay below `d`; without openat2(2) all are refused.
 * Returns the descriptor or a negative errno. */
int tako__static_open(struct tako__static_dir *d, const char *path, struct stat *st);

#endif /* TAKO_CORE_STATIC_OPEN_H */
