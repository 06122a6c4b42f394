/* SPDX-License-Identifier: MIT
 *
 * tako_server_restart(): a process that is given our sockets, and waited for.  Between fork() and exec() the
 * child does nothing that needs a lock, since another thread may have held any; everything that it
 * needs is made before.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/handover.h"
#include "core/notify.h"
#include "core/server.h"

enum {
	PID_BYTES = 16,
	PATH_BYTES = 4096,
	LOOK_MS = 50, /* whether it has ended, or we shall */
	GRACE_MS = 1000,
	EXEC_FAILED = 127,
};

/* Everything that the child needs. */
struct child {
	struct tako__parcel parcel;
	char path[PATH_BYTES];
	char *const *argv;
	char **env;
	size_t env_count; /* room for, the NULL included */
	char *text;       /* of the variables that are new */
	size_t text_bytes;
	char *pid_at[2]; /* where its number goes, when it has one */
	int ready[2];    /* a pipe */
	pid_t pid;
};

/* ---- The program -------------------------------------------------------------------------------- */

static bool try_path(char *path, const char *folder, size_t folder_n, const char *name)
{
	int n = snprintf(path, PATH_BYTES, "%.*s%s%s", (int)folder_n, folder, folder_n ? "/" : "./",
	                 name);

	return n > 0 && n < PATH_BYTES && access(path, X_OK) == 0;
}

static int find_program(char *path, const tako_restart_config *cfg)
{
	const char *name = cfg->path ? cfg->path : cfg->argv[0];
	const char *at = getenv("PATH");

	if (cfg->path || strchr(name, '/')) {
		if (strlen(name) >= PATH_BYTES || access(name, X_OK) < 0)
			return tako__fail(TAKO_EINVAL, "%.120s is no program", name);
		memcpy(path, name, strlen(name) + 1);
		return 0;
	}
	while (at && *name) {
		size_t n = strcspn(at, ":");

		if (try_path(path, at, n, name))
			return 0;
		at = at[n] ? at + n + 1 : NULL;
	}
	return tako__fail(TAKO_EINVAL, "there is no program \"%.60s\" along PATH", name);
}

/* ---- Its environment ------------------------------------------------------------------------------- */

static bool is_replaced(const char *var)
{
	static const char ready[] = TAKO__INHERIT_READY "=";
	static const char *const names[] = {"LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=", ready,
	                                    "WATCHDOG_PID="};

	for (size_t i = 0; i < TAKO__COUNT(names); i++) {
		if (strncmp(var, names[i], strlen(names[i])) == 0)
			return true;
	}
	/* Without WATCHDOG_PID it is said to whoever reads it; if another process is watched it is not
	 * the new one either. */
	return strncmp(var, "WATCHDOG_USEC=", 14) == 0 && !tako__notify_is_watched();
}

/* The next variable's text, in what is left of c->text. */
static char *next_text(struct child *c, char *last)
{
	char *at = last ? last + strlen(last) + 1 : c->text;

	c->env[c->env_count++] = at;
	return at;
}

static size_t left(const struct child *c, const char *at)
{
	return c->text_bytes - (size_t)(at - c->text);
}

/* Room for a number that is not known yet. */
static char *write_pid_variable(struct child *c, char *last, const char *name, int slot)
{
	char *at = next_text(c, last);

	snprintf(at, left(c, at), "%s=%*s", name, PID_BYTES - 1, "");
	c->pid_at[slot] = at + strlen(name) + 1;
	return at;
}

static char *write_names(struct child *c, char *last)
{
	char *at = next_text(c, last);
	size_t n = (size_t)snprintf(at, left(c, at), "LISTEN_FDNAMES=");

	for (unsigned i = 0; i < c->parcel.count; i++)
		n += (size_t)snprintf(at + n, left(c, at) - n, "%s%s", i ? ":" : "",
		                      c->parcel.names[i]);
	return at;
}

static void write_variables(struct child *c)
{
	char *at = write_names(c, NULL);

	at = next_text(c, at);
	snprintf(at, left(c, at), "LISTEN_FDS=%u", c->parcel.count);
	at = next_text(c, at);
	snprintf(at, left(c, at), TAKO__INHERIT_READY "=%d",
	         TAKO__INHERIT_FIRST + (int)c->parcel.count);
	at = write_pid_variable(c, at, "LISTEN_PID", 0);
	/* Whom the supervisor watches is from now on the new process. */
	if (getenv("WATCHDOG_PID") && tako__notify_is_watched())
		write_pid_variable(c, at, "WATCHDOG_PID", 1);
}

static int make_environment(struct child *c)
{
	enum { OWN = 5, OWN_BYTES = 256 };
	size_t count = 0;
	size_t room;

	while (environ && environ[count])
		count++;
	room = count + OWN + 1;
	c->text_bytes = OWN_BYTES;
	for (unsigned i = 0; i < c->parcel.count; i++)
		c->text_bytes += strlen(c->parcel.names[i]) + 1;
	c->text = tako__zalloc(c->text_bytes);
	c->env = tako__zalloc(room * sizeof *c->env);
	if (!c->text || !c->env) {
		tako__free(c->env, room * sizeof *c->env);
		c->env = NULL;
		return tako__fail(TAKO_ENOMEM, "restart: out of memory");
	}
	for (size_t i = 0; i < count; i++) {
		if (!is_replaced(environ[i]))
			c->env[c->env_count++] = environ[i];
	}
	write_variables(c);
	c->env_count = room;
	return 0;
}

/* ---- In the child -------------------------------------------------------------------------------------- */

static void write_pid(char *at)
{
	char digits[PID_BYTES];
	int n = 0;

	for (long pid = getpid(); pid; pid /= 10)
		digits[n++] = (char)('0' + pid % 10);
	while (n)
		*at++ = digits[--n];
	*at = '\0';
}

/* A handler of ours must not run in the new process, before it is another program. */
static void reset_signals(void)
{
	struct sigaction sa;
	sigset_t none;

	for (int i = 1; i < NSIG; i++) {
		if (sigaction(i, NULL, &sa) < 0 || sa.sa_handler == SIG_IGN)
			continue;
		sa = (struct sigaction){.sa_handler = SIG_DFL};
		sigaction(i, &sa, NULL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(struct child *c)
{
	int at = TAKO__INHERIT_FIRST;
	char failed[1 + sizeof(int)] = "!";
	int err = 0;

	reset_signals();
	for (unsigned i = 0; i < c->parcel.count && !err; i++)
		err = dup2(c->parcel.fds[i], at++) < 0 ? errno : 0;
	if (!err && dup2(c->ready[1], at) < 0)
		err = errno;
	for (int i = 0; i < 2; i++) {
		if (c->pid_at[i])
			write_pid(c->pid_at[i]);
	}
	if (!err) {
		execve(c->path, c->argv, c->env);
		err = errno;
	}
	memcpy(failed + 1, &err, sizeof err);
	while (write(c->ready[1], failed, sizeof failed) < 0 && errno == EINTR)
		;
	_exit(EXEC_FAILED);
}

/* ---- Starting it ----------------------------------------------------------------------------------------- */

static int start(struct child *c)
{
	sigset_t all;
	sigset_t old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->pid = fork();
	if (c->pid == 0)
		become(c);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(c->ready[1]);
	c->ready[1] = -1;
	errno = err;
	return c->pid < 0 ? tako__fail_errno("fork") : 0;
}

/* Both ends beyond where the child puts its descriptors. */
static int make_pipe(struct child *c, int above)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return tako__fail_errno("pipe");
	for (int i = 0; i < 2; i++) {
		c->ready[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, above);
		close(fds[i]);
	}
	return c->ready[0] < 0 || c->ready[1] < 0 ? tako__fail_errno("pipe") : 0;
}

static int prepare(struct child *c, struct tako_server *srv, const tako_restart_config *cfg)
{
	int above = TAKO__INHERIT_FIRST + (int)tako__parcel_max(srv) + 1;
	int rc = find_program(c->path, cfg);

	c->argv = cfg->argv;
	if (rc == 0)
		rc = tako__parcel_pack(&c->parcel, srv, above);
	if (rc == 0)
		rc = make_pipe(c, above);
	return rc == 0 ? make_environment(c) : rc;
}

/* ---- Waiting for it ---------------------------------------------------------------------------------------- */

/* 1: it serves; 0: nothing yet; or why it will not. */
static int hear(struct child *c)
{
	char said[1 + sizeof(int)];
	struct pollfd p = {.fd = c->ready[0], .events = POLLIN};
	ssize_t n;

	if (poll(&p, 1, LOOK_MS) <= 0)
		return 0;
	n = read(c->ready[0], said, sizeof said);
	if (n < 0)
		return errno == EINTR ? 0 : tako__fail_errno("restart");
	if (n > 0 && said[0] == '\n')
		return 1;
	if (n == (ssize_t)sizeof said) {
		memcpy(&errno, said + 1, sizeof(int));
		return tako__fail_errno("exec %.120s", c->path);
	}
	return tako__fail(TAKO_ECLOSED, "the new process has closed its pipe");
}

/* How it ended.  Where somebody else has been told, or nobody is since SIGCHLD is ignored, there is only that
 * it did; its number may be another process's by now. */
static int tell_end(struct child *c, bool wait)
{
	int status = 0;
	pid_t got = c->pid > 0 ? waitpid(c->pid, &status, wait ? 0 : WNOHANG) : 0;

	if (got == 0 || (got < 0 && errno != ECHILD))
		return 0;
	c->pid = 0;
	if (got < 0)
		return tako__fail(TAKO_ECLOSED, "the new process ended");
	if (WIFSIGNALED(status))
		return tako__fail(TAKO_ECLOSED, "the new process was ended by signal %d",
		                  WTERMSIG(status));
	return tako__fail(TAKO_ECLOSED, "the new process ended with status %d",
	                  WEXITSTATUS(status));
}

static int wait_ready(struct child *c, struct tako_server *srv, uint32_t timeout_ms)
{
	uint64_t end = tako__clock_ns() + (uint64_t)timeout_ms * 1000000;

	for (;;) {
		int rc = hear(c);

		if (atomic_load(&srv->stop_calls))
			return tako__fail(TAKO_ESTATE, "the server was stopped meanwhile");
		if (rc != 0)
			return rc;
		rc = tell_end(c, false);
		if (rc < 0)
			return rc;
		if (tako__clock_ns() >= end)
			return tako__fail(TAKO_ETIMEDOUT,
			                  "the new process did not serve within %u ms", timeout_ms);
	}
}

/* It will not serve: no process of ours is left.  Returns why, if how it ended says more. */
static int end_child(struct child *c, int why)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
	int rc = 0;

	/* Whoever closes the pipe is about to end. */
	for (int i = 0; c->pid > 0 && rc == 0 && i < GRACE_MS / LOOK_MS; i++) {
		rc = tell_end(c, false);
		if (rc == 0 && (i == 2 || why != TAKO_ECLOSED))
			kill(c->pid, SIGTERM);
		if (rc == 0)
			nanosleep(&pause, NULL);
	}
	if (c->pid > 0 && rc == 0) {
		kill(c->pid, SIGKILL);
		rc = tell_end(c, true);
	}
	return why == TAKO_ECLOSED && rc < 0 ? rc : why;
}

static void fini(struct child *c)
{
	tako__parcel_free(&c->parcel);
	for (int i = 0; i < 2; i++) {
		if (c->ready[i] >= 0)
			close(c->ready[i]);
	}
	tako__free(c->text, c->text_bytes);
	if (c->env)
		tako__free(c->env, c->env_count * sizeof *c->env);
	tako__free(c, sizeof *c);
}

/* ---- All of it ---------------------------------------------------------------------------------------------- */

static int run(struct child *c, struct tako_server *srv, const tako_restart_config *cfg)
{
	char why[256];
	int rc = prepare(c, srv, cfg);

	if (rc == 0)
		rc = start(c);
	if (rc == 0)
		rc = wait_ready(c, srv, cfg->ready_timeout_ms);
	if (rc > 0)
		return (int)c->pid;
	snprintf(why, sizeof why, "%s", tako_last_error());
	return end_child(c, rc) == TAKO_ECLOSED ? TAKO_ECLOSED : tako__fail(rc, "%s", why);
}

int tako__restart_import(tako_restart_config *ret, const tako_restart_config *cfg)
{
	int rc = tako__import(ret, sizeof *ret, cfg, offsetof(tako_restart_config, path),
	                      "tako_restart_config");

	if (rc < 0)
		return rc;
	if (!ret->ready_timeout_ms)
		ret->ready_timeout_ms = 30000;
	if (!ret->last_call_ms)
		ret->last_call_ms = 2000;
	if (ret->ready_timeout_ms > INT32_MAX || ret->last_call_ms > INT32_MAX)
		return tako__fail(TAKO_EINVAL, "tako_restart_config: a time is over %d ms",
		                  INT32_MAX);
	return 0;
}

static void tell(struct tako_server *srv, int rc)
{
	char text[320];
	char why[256];

	if (!srv->cfg.notify)
		return;
	snprintf(why, sizeof why, "%s", tako_last_error());
	/* The supervisor believes whom it started, and that is us until we have said who is next. */
	if (rc > 0)
		snprintf(text, sizeof text, "MAINPID=%d\nREADY=1", rc);
	else
		snprintf(text, sizeof text, "READY=1\nSTATUS=restart: %s", why);
	/* That it cannot be told is not what our caller wants to know. */
	if (tako_notify(text) < 0)
		tako__note("%s", why);
}

static int restart(struct tako_server *srv, const tako_restart_config *cfg)
{
	struct child *c = tako__zalloc(sizeof *c);
	int rc;

	if (!c)
		return tako__fail(TAKO_ENOMEM, "restart: out of memory");
	c->ready[0] = c->ready[1] = -1;
	if (srv->cfg.notify)
		(void)tako_notify_reloading();
	rc = run(c, srv, cfg);
	tell(srv, rc);
	if (rc > 0)
		tako__hand_over(srv, cfg->last_call_ms);
	fini(c);
	return rc;
}

int tako_server_restart(tako_server *srv, const tako_restart_config *cfg)
{
	tako_restart_config own;
	int rc;

	if (!srv || !cfg)
		return tako__fail(TAKO_EINVAL, "tako_server_restart: no server or config");
	rc = tako__restart_import(&own, cfg);
	if (rc == 0 && (!own.argv || !own.argv[0]))
		rc = tako__fail(TAKO_EINVAL, "tako_server_restart: argv is missing");
	if (rc < 0)
		return rc;
	if (!srv->threads || atomic_load(&srv->joined) || atomic_load(&srv->stop_calls))
		return tako__fail(TAKO_ESTATE, "only a server of tako_server_start() that serves "
		                               "can be restarted");
	if (atomic_exchange(&srv->restarting, true))
		return tako__fail(TAKO_EBUSY, "the server is being restarted");
	rc = restart(srv, &own);
	atomic_store(&srv->restarting, false);
	return rc;
}
