/* SPDX-License-Identifier: MIT
 *
 * See local.h.  What is careful here is the file system: a path is removed only where it is certain that
 * what is there is a socket, and that nobody listens on it or that it is ours.
 */
#include "core/local.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/vm_sockets.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/base.h"
#include "core/conn.h"

enum {
	LOCK_TRIES = 100, /* a second in all: others hold it for some system calls */
	PAUSE_NS = 10000000,
	PROBES = 5,          /* 0.15 seconds */
	NAMES_BYTES = 16384, /* of an entry of the user or group database */
};

/* One address, and what its file shall be. */
struct place {
	const char *addr;
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_vm vm;
	} sa;
	socklen_t n;
	int type;
	int backlog;
	uid_t owner; /* -1: whoever we are */
	gid_t group;
	mode_t mode; /* 0: what the umask leaves */
};

/* ---- Parsing ------------------------------------------------------------------------------------ */

static const char *behind(const char *addr, const char *scheme)
{
	size_t n = strlen(scheme);

	return strncmp(addr, scheme, n) == 0 ? addr + n : NULL;
}

bool tako__local_is(const char *addr)
{
	return behind(addr, "unix:") || behind(addr, "vsock:");
}

static int bad(const char *addr, const char *why)
{
	return tako__fail(TAKO_EINVAL, "address \"%.60s\": %s", addr, why);
}

static int parse_unix(struct place *ret, const char *name)
{
	size_t n = strlen(name);

	/* A relative one would be another's after a chdir(). */
	if (name[0] != '/' && name[0] != '@')
		return bad(ret->addr, "a Unix socket is unix:/path or, without a file, unix:@name");
	if (n < 2)
		return bad(ret->addr, "a Unix socket needs a name");
	if (n >= sizeof ret->sa.un.sun_path)
		return bad(ret->addr, "longer than the 107 bytes that a Unix socket's name has");
	ret->sa.un.sun_family = AF_UNIX;
	memcpy(ret->sa.un.sun_path, name, n + 1);
	ret->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	if (name[0] == '@') {
		ret->sa.un.sun_path[0] = '\0';
		ret->n--; /* a NUL at its end would be part of it (unix(7)) */
	}
	return 0;
}

static bool parse_number(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	*ret = (uint32_t)value;
	return text[0] >= '0' && text[0] <= '9' && !*end && value < UINT32_MAX;
}

static int parse_vsock(struct place *ret, const char *rest)
{
	const char *colon = strchr(rest, ':');
	uint32_t cid = VMADDR_CID_ANY;
	uint32_t port;
	char text[16];

	if (colon) {
		snprintf(text, sizeof text, "%.*s", colon - rest < 15 ? (int)(colon - rest) : 15,
		         rest);
		if (!parse_number(text, &cid))
			return bad(ret->addr, "the context id is no number");
		rest = colon + 1;
	}
	if (!parse_number(rest, &port))
		return bad(ret->addr, "a vsock address is vsock:PORT or vsock:CID:PORT");
	ret->sa.vm.svm_family = AF_VSOCK;
	ret->sa.vm.svm_cid = cid;
	ret->sa.vm.svm_port = port ? port : VMADDR_PORT_ANY;
	ret->n = sizeof ret->sa.vm;
	return 0;
}

static int parse(struct place *ret, const char *addr)
{
	const char *rest = behind(addr, "unix:");

	ret->addr = addr;
	if (rest)
		return parse_unix(ret, rest);
	return parse_vsock(ret, behind(addr, "vsock:"));
}

int tako__local_address(struct sockaddr *ret, size_t room, socklen_t *ret_n, const char *addr)
{
	struct place p = {.n = 0};
	int rc = parse(&p, addr);

	if (rc < 0)
		return rc;
	if (p.sa.any.sa_family == AF_VSOCK &&
	    (p.sa.vm.svm_cid == VMADDR_CID_ANY || p.sa.vm.svm_port == VMADDR_PORT_ANY))
		return bad(addr, "whom to connect to is vsock:CID:PORT");
	if (p.n > room)
		return bad(addr, "longer than there is room for");
	memcpy(ret, &p.sa, p.n);
	*ret_n = p.n;
	return 0;
}

/* ---- Settings ------------------------------------------------------------------------------------- */

static int find_owner(uid_t *ret, const char *name)
{
	struct passwd *found = NULL;
	char buf[NAMES_BYTES];
	struct passwd pw;

	if (parse_number(name, ret))
		return 0;
	if (getpwnam_r(name, &pw, buf, sizeof buf, &found) != 0 || !found)
		return tako__fail(TAKO_EINVAL, "unix_owner: there is no user \"%.60s\"", name);
	*ret = found->pw_uid;
	return 0;
}

static int find_group(gid_t *ret, const char *name)
{
	struct group *found = NULL;
	char buf[NAMES_BYTES];
	struct group gr;

	if (parse_number(name, ret))
		return 0;
	if (getgrnam_r(name, &gr, buf, sizeof buf, &found) != 0 || !found)
		return tako__fail(TAKO_EINVAL, "unix_group: there is no group \"%.60s\"", name);
	*ret = found->gr_gid;
	return 0;
}

int tako__local_refuse(const char *addr, const tako_listen_config *cfg)
{
	const char *set = cfg->unix_owner   ? "unix_owner"
	                  : cfg->unix_group ? "unix_group"
	                  : cfg->unix_mode  ? "unix_mode"
	                                    : NULL;

	return set ? tako__fail(TAKO_ENOTSUP, "%s is set, but \"%.60s\" is no file", set, addr) : 0;
}

static bool has_path(const struct place *at)
{
	return at->sa.any.sa_family == AF_UNIX && at->sa.un.sun_path[0];
}

static int take_settings(struct place *at, const tako_listen_config *cfg)
{
	int rc = 0;

	at->backlog = (int)cfg->backlog;
	at->owner = (uid_t)-1;
	at->group = (gid_t)-1;
	at->mode = (mode_t)cfg->unix_mode;
	if (!has_path(at))
		return tako__local_refuse(at->addr, cfg);
	if (cfg->unix_mode > 0777)
		return tako__fail(TAKO_EINVAL, "unix_mode is 0%o, not in 0 to 0777",
		                  cfg->unix_mode);
	if (cfg->unix_owner)
		rc = find_owner(&at->owner, cfg->unix_owner);
	if (rc == 0 && cfg->unix_group)
		rc = find_group(&at->group, cfg->unix_group);
	return rc;
}

/* ---- The path --------------------------------------------------------------------------------------- */

/* The directory, while we look at what is there, remove it and listen: two servers that start at the
 * same time would take each other's new socket for an old one, since until it listens it refuses
 * connections as an old one does.  -1: it cannot be locked. */
static int lock_folder(const char *path)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	size_t n = (size_t)(strrchr(path, '/') - path);
	int fd;

	memcpy(folder, path, n + 1);
	folder[n ? n : 1] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i == LOCK_TRIES || errno != EWOULDBLOCK) {
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* Does somebody listen there?  Only a refusal says that nobody does: a queue that is full, a socket of
 * another type and a lack of permission do not. */
static bool is_refused(const struct place *at)
{
	int fd = socket(AF_UNIX, at->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool refused = fd >= 0 && connect(fd, &at->sa.any, at->n) < 0 && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return refused;
}

/* A process that was killed may be gone before the kernel has let go of its sockets, and whoever starts
 * it again is quick: ask some times more. */
static bool is_dead(const struct place *at)
{
	struct timespec pause = {.tv_nsec = PAUSE_NS};

	for (int i = 1; !is_refused(at); i++, pause.tv_nsec *= 2) {
		if (i == PROBES)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* Something has the path. */
static int make_way(const struct place *at, bool locked)
{
	const char *path = at->sa.un.sun_path;
	struct stat before;
	struct stat now;

	if (lstat(path, &before) < 0)
		return errno == ENOENT ? 0 : tako__fail_errno("bind %.120s", at->addr);
	if (!S_ISSOCK(before.st_mode))
		return tako__fail(TAKO_EEXIST, "bind %.120s: what is there is no socket", at->addr);
	if (!is_dead(at))
		return tako__fail(TAKO_EEXIST, "bind %.120s: somebody has this socket", at->addr);
	if (!locked)
		return tako__fail(TAKO_EEXIST,
		                  "bind %.120s: nobody listens on this socket, but its folder "
		                  "cannot be locked to replace it",
		                  at->addr);
	if (lstat(path, &now) < 0 || now.st_ino != before.st_ino || now.st_dev != before.st_dev)
		return tako__fail(TAKO_EEXIST, "bind %.120s: somebody else is at it", at->addr);
	return unlink(path) < 0 ? tako__fail_errno("remove %.120s", path) : 0;
}

/* Nobody can connect before listen(), whatever the mode is until then. */
static int set_rights(const struct place *at)
{
	const char *path = at->sa.un.sun_path;

	if ((at->owner != (uid_t)-1 || at->group != (gid_t)-1) &&
	    fchownat(AT_FDCWD, path, at->owner, at->group, AT_SYMLINK_NOFOLLOW) < 0)
		return tako__fail_errno("owner of %.120s", path);
	if (at->mode && fchmodat(AT_FDCWD, path, at->mode, AT_SYMLINK_NOFOLLOW) < 0)
		return tako__fail_errno("mode of %.120s", path);
	return 0;
}

static int do_listen(const struct place *at, int fd)
{
	return listen(fd, at->backlog) < 0 ? tako__fail_errno("listen on %.120s", at->addr) : 0;
}

static int do_bind(const struct place *at, int fd)
{
	if (bind(fd, &at->sa.any, at->n) == 0)
		return 0;
	return errno == EADDRINUSE
	               ? tako__fail(TAKO_EEXIST, "bind %.120s: somebody has this address", at->addr)
	               : tako__fail_errno("bind %.120s", at->addr);
}

/* What bind() has made is ours, and goes again where the rest fails. */
static int settle(struct tako__local_sock *l, const struct place *at, int fd)
{
	const char *path = at->sa.un.sun_path;
	struct stat st;
	int rc;

	if (lstat(path, &st) < 0)
		return tako__fail_errno("bind %.120s", at->addr);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	memcpy(l->path, path, strlen(path) + 1);
	rc = set_rights(at);
	if (rc == 0)
		rc = do_listen(at, fd);
	atomic_store(&l->listens, true);
	if (rc < 0)
		tako__local_end(l, fd);
	return rc;
}

static int listen_at_path(struct tako__local_sock *l, const struct place *at, int fd)
{
	int lock = lock_folder(at->sa.un.sun_path);
	int rc = make_way(at, lock >= 0);

	if (rc == 0)
		rc = do_bind(at, fd);
	if (rc == 0)
		rc = settle(l, at, fd);
	if (lock >= 0)
		close(lock);
	return rc;
}

static int listen_at_name(struct tako__local_sock *l, const struct place *at, int fd)
{
	int rc = do_bind(at, fd);

	if (rc == 0)
		rc = do_listen(at, fd);
	atomic_store(&l->listens, rc == 0 && at->sa.any.sa_family == AF_UNIX);
	return rc;
}

int tako__local_listen(struct tako__local_sock *ret, const char *addr, int type,
                       const tako_listen_config *cfg)
{
	struct place at = {.type = type};
	int rc = parse(&at, addr);
	int fd;

	if (rc == 0)
		rc = take_settings(&at, cfg);
	if (rc < 0)
		return rc;
	fd = socket(at.sa.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && (errno == EAFNOSUPPORT || errno == ESOCKTNOSUPPORT))
		return tako__fail(TAKO_ENOTSUP, "%.60s: this kernel has no such sockets", addr);
	if (fd < 0)
		return tako__fail_errno("socket for %.60s", addr);
	rc = has_path(&at) ? listen_at_path(ret, &at, fd) : listen_at_name(ret, &at, fd);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* ---- The end ----------------------------------------------------------------------------------------- */

void tako__local_adopt(struct tako__local_sock *l, const char *addr)
{
	const char *path = behind(addr, "unix:");
	struct stat st;

	if (!path)
		return;
	if (path[0] == '/' && strlen(path) < sizeof l->path && lstat(path, &st) == 0 &&
	    S_ISSOCK(st.st_mode)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
		memcpy(l->path, path, strlen(path) + 1);
	}
	atomic_store(&l->listens, true);
}

void tako__local_disown(struct tako__local_sock *l)
{
	atomic_store(&l->listens, false);
}

void tako__local_end(struct tako__local_sock *l, int fd)
{
	struct stat st;

	if (!l || !atomic_exchange(&l->listens, false))
		return;
	/* While it still listens: a server that starts now finds it alive, and does not remove it itself
	 * to be robbed of its own by us. */
	if (l->path[0] && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	/* Who has found the path before that is refused, instead of being accepted by nobody.  What is in
	 * the backlog stays there to be accepted. */
	shutdown(fd, SHUT_RD);
}

/* ---- What is told ------------------------------------------------------------------------------------- */

static size_t cut(int len, size_t n)
{
	return len < 0 ? 0 : (size_t)len < n ? (size_t)len : n - 1;
}

size_t tako__local_format(const struct sockaddr *sa, socklen_t sa_n, char *buf, size_t n)
{
	const struct sockaddr_un *un = (const void *)sa;
	size_t head = offsetof(struct sockaddr_un, sun_path);
	bool abstract;
	int name_n;

	if (sa->sa_family != AF_UNIX || sa_n <= head)
		return tako__addr_format(sa, buf, n);
	abstract = !un->sun_path[0];
	name_n = abstract ? (int)(sa_n - head - 1)
	                  : (int)strnlen(un->sun_path, (size_t)sa_n - head);
	return cut(snprintf(buf, n, "unix:%s%.*s", abstract ? "@" : "", name_n,
	                    un->sun_path + abstract),
	           n);
}

bool tako__local_peer(tako_conn_info *info, int fd)
{
	struct ucred who;
	socklen_t n = sizeof who;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || n != sizeof who)
		return false;
	info->has_peer_cred = 1;
	info->peer_pid = who.pid;
	info->peer_uid = who.uid;
	info->peer_gid = who.gid;
	return true;
}
