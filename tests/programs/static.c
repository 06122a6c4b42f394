/* SPDX-License-Identifier: MIT
 *
 * A file server for the tests: every field of tako_static_config is an argument, beside those of
 * tako_server_config.  Further arguments: listen=ADDR, dir=DIR, prefix=P, and
 * no_openat2=ENOSYS|EPERM, which makes the kernel refuse openat2(2) as old ones and sandboxes
 * do.
 */
#include "program.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

struct args {
	tako_server_config cfg;
	tako_static_config files;
	const char *listen;
	const char *dir;
	const char *prefix;
	const char *no_openat2;
};

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

/* For this thread and those it starts: the whole server, as main() calls it first. */
static int refuse_openat2(unsigned errno_value)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errno_value),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* The value of "name=value", or NULL for another name. */
static bool parse_text(struct args *a, const char *arg)
{
	const struct {
		const char *name;
		const char **to;
	} texts[] = {
		{"listen", &a->listen},           {"dir", &a->dir},
		{"prefix", &a->prefix},           {"no_openat2", &a->no_openat2},
		{"index", &a->files.index},       {"cache_control", &a->files.cache_control},
		{"fallback", &a->files.fallback},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *value = program_value(arg, texts[i].name);

		if (value) {
			*texts[i].to = value;
			return true;
		}
	}
	return false;
}

static bool parse_number(struct args *a, const char *arg)
{
	const struct {
		const char *name;
		uint32_t *to;
	} numbers[] = {
		{"dotfiles", &a->files.dotfiles},
		{"no_precompressed", &a->files.no_precompressed},
		{"max_range_count", &a->files.max_range_count},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const char *value = program_value(arg, numbers[i].name);

		if (value) {
			*numbers[i].to = strcmp(value, "off") == 0
			                         ? TAKO_OFF
			                         : (uint32_t)strtoul(value, NULL, 10);
			return true;
		}
	}
	return false;
}

static int run(const struct args *a)
{
	tako_router *router = tako_router_new();
	tako_server *server = NULL;
	int rc;

	tako_get(router, "/hello", hello, NULL);
	tako_static_with(router, a->prefix, a->dir, &a->files);
	rc = program_server_new(&server, router, &a->cfg);
	tako_router_free(router);
	if (rc < 0)
		return program_refused("tako_server_new", rc);
	rc = program_listen(server, a->listen, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(server);
	if (rc == 0)
		rc = tako_server_run(server);
	if (rc < 0)
		rc = program_refused("server", rc);
	tako_server_free(server);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {.cfg = {.size = sizeof(a.cfg), .worker_count = 1},
	                 .files = {.size = sizeof(a.files)},
	                 .listen = "127.0.0.1:8080",
	                 .prefix = "/files"};

	for (int i = 1; i < argc; i++) {
		if (!parse_text(&a, argv[i]) && !parse_number(&a, argv[i]) &&
		    !program_set(&a.cfg, argv[i])) {
			fprintf(stderr, "what is '%s'?\n", argv[i]);
			return 1;
		}
	}
	if (a.no_openat2 && refuse_openat2(strcmp(a.no_openat2, "EPERM") == 0 ? EPERM : ENOSYS)) {
		perror("seccomp");
		return 1;
	}
	return run(&a);
}
