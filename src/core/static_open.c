/* SPDX-License-Identifier: MIT
 *
 * Opening below a directory.  The kernel resolves the path and checks that it stays below in
 * one step; a check of our own before opening would be true only until somebody renames
 * something.
 */
#include "core/static_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base.h"

enum {
	/* O_NONBLOCK: opening a FIFO would wait for its writer.  Reading regular files ignores
	 * it. */
	OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	/* openat2() says EAGAIN when a directory moved while it climbed a "..". */
	TRIES_MAX = 8,
};

int tako__static_dir_init(struct tako__static_dir *d, const char *path)
{
	if (!path || !*path)
		return tako__fail(TAKO_EINVAL, "static files: no directory given");
	atomic_init(&d->no_openat2, false);
	d->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return d->fd < 0 ? tako__fail_errno("static files: %s", path) : 0;
}

void tako__static_dir_fini(struct tako__static_dir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

/* ---- Paths ------------------------------------------------------------------------ */

static bool segment_ok(const char *p, size_t n, bool dotfiles)
{
	if (p[0] != '.')
		return true;
	return dotfiles && !(n == 1 || (n == 2 && p[1] == '.'));
}

bool tako__static_path_ok(tako_str path, bool dotfiles)
{
	size_t at = 0;

	/* A NUL is how the router marks an encoded slash.  A backslash is no separator here, but
	 * for some of those between us and the client. */
	if (path.n && (memchr(path.p, '\0', path.n) || memchr(path.p, '\\', path.n)))
		return false;
	while (at < path.n) {
		const char *slash = memchr(path.p + at, '/', path.n - at);
		size_t n = slash ? (size_t)(slash - path.p) - at : path.n - at;

		if (n == 0 || !segment_ok(path.p + at, n, dotfiles))
			return false;
		at += n + 1;
	}
	return true;
}

/* ---- Opening ------------------------------------------------------------------------- */

static int open_beneath(int dir, const char *path)
{
	struct open_how how = {.flags = OPEN_FLAGS,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int fd = -1;

	for (int i = 0; i < TRIES_MAX; i++) {
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : fd;
}

/* The directory of the segment path[0..n) in `at`; a link is none. */
static int enter(int at, const char *path, size_t n)
{
	char name[NAME_MAX + 1];
	int fd;

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	if (n == 2 && path[0] == '.' && path[1] == '.')
		return -EXDEV;
	memcpy(name, path, n);
	name[n] = '\0';
	fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* One segment after the other, following no link: where each of them is cannot change under
 * us, and "up" is none of them. */
static int open_stepwise(int dir, const char *path)
{
	int at = dir;
	const char *slash;
	int fd;

	while ((slash = strchr(path, '/'))) {
		int next = enter(at, path, (size_t)(slash - path));

		if (at != dir)
			close(at);
		if (next < 0)
			return next;
		at = next;
		path = slash + 1;
	}
	/* A final ".." can only be a directory, which nobody reads: no danger. */
	fd = openat(at, *path ? path : ".", OPEN_FLAGS | O_NOFOLLOW);
	if (fd < 0)
		fd = -errno;
	if (at != dir)
		close(at);
	return fd;
}

static int open_below(struct tako__static_dir *d, const char *path)
{
	int fd;

	if (!atomic_load_explicit(&d->no_openat2, memory_order_relaxed)) {
		fd = open_beneath(d->fd, *path ? path : ".");
		/* EPERM is what a seccomp filter says that knows no better; opening for reading
		 * has no use for it. */
		if (fd != -ENOSYS && fd != -EPERM)
			return fd;
		if (fd == -ENOSYS)
			atomic_store_explicit(&d->no_openat2, true, memory_order_relaxed);
	}
	return open_stepwise(d->fd, path);
}

int tako__static_open(struct tako__static_dir *d, const char *path, struct stat *st)
{
	int fd = open_below(d, path);

	if (fd >= 0 && fstat(fd, st) < 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}
