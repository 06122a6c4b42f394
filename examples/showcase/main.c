/* SPDX-License-Identifier: MIT
 *
 * The showcase: every feature of tako behind one port.  This file has the command line and the life
 * of the server; routes.c says what it answers.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "showcase.h"

enum {
	LISTENERS_MAX = 16,
	WORKERS_MAX = 256,
	CONNECTIONS_MAX = 65536,
	RECV_BYTES_MAX = 1 << 20,
	RECV_COUNT_MAX = 1024,
	EXIT_USAGE = 2,
};

enum carrier { CLEAR, OVER_TLS, OVER_QUIC };

struct options {
	const tako_runtime *runtime;
	uint32_t worker_count;
	uint32_t recv_buffer_bytes;
	uint32_t recv_buffer_count;
	uint32_t send_max_bytes;
	struct {
		const char *addr;
		enum carrier carrier;
	} listen[LISTENERS_MAX];
	size_t listen_count;
	const char *cert_file;
	const char *key_file;
	const char *files;
	bool quiet;
};

static const char usage_text[] =
	"usage: showcase [--runtime epoll|io_uring|auto] [--workers N] [--http ADDR]\n"
	"                [--tls ADDR] [--h3 ADDR] [--cert FILE --key FILE]\n"
	"                [--files DIR] [--quiet] [--recv-buffer-bytes N] [--recv-buffer-count N]\n"
	"                [--send-max-bytes N]\n"
	"\n"
	"  --http ADDR   127.0.0.1:8080, [::1]:8080, :8080, or port 0; may be repeated\n"
	"  --runtime R   auto takes io_uring where it works, else epoll; or what the\n"
	"                environment's TAKO_RUNTIME says\n"
	"  --tls ADDR    the same with TLS; may be repeated\n"
	"  --h3 ADDR     the same over UDP: HTTP/3; may be repeated\n"
	"  --cert FILE --key FILE\n"
	"                PEM; without them a certificate for localhost is made, and kept in\n"
	"                $XDG_CACHE_HOME/tako or ~/.cache/tako\n"
	"  --workers N   1 to 256; one per CPU when not given\n"
	"  --files DIR   served below /files\n"
	"  --quiet       no access log\n"
	"  --recv-buffer-bytes N, --recv-buffer-count N, --send-max-bytes N\n"
	"                how bytes are cut up on their way: answers stay the same\n";

static _Noreturn void refuse(const char *option, const char *why)
{
	fprintf(stderr, "showcase: %s: %s\n", option, why);
	exit(EXIT_USAGE);
}

static void set_runtime(struct options *o, const char *name)
{
	if (strcmp(name, "io_uring") == 0)
		o->runtime = tako_runtime_io_uring();
	else if (strcmp(name, "epoll") == 0)
		o->runtime = tako_runtime_epoll();
	else if (strcmp(name, "auto") == 0)
		o->runtime = NULL;
	else
		refuse("--runtime", "must be epoll, io_uring or auto");
}

static uint32_t positive(const char *option, uint32_t max)
{
	char why[48];
	uint64_t n;

	if (number_parse(tako_str_z(optarg), max, &n) && n > 0)
		return (uint32_t)n;
	snprintf(why, sizeof why, "must be a number from 1 to %u", max);
	refuse(option, why);
}

static void add_listener(struct options *o, const char *addr, enum carrier carrier)
{
	static const char *const names[] = {"--http", "--tls", "--h3"};

	if (o->listen_count == LISTENERS_MAX)
		refuse(names[carrier], "too many of them");
	o->listen[o->listen_count].addr = addr;
	o->listen[o->listen_count++].carrier = carrier;
}

static bool has_tls(const struct options *o)
{
	for (size_t i = 0; i < o->listen_count; i++) {
		if (o->listen[i].carrier != CLEAR)
			return true;
	}
	return false;
}

static void set_option(struct options *o, int which)
{
	switch (which) {
	case 'r':
		set_runtime(o, optarg);
		break;
	case 'w':
		o->worker_count = positive("--workers", WORKERS_MAX);
		break;
	case 'a':
		add_listener(o, optarg, CLEAR);
		break;
	case 't':
		add_listener(o, optarg, OVER_TLS);
		break;
	case 'c':
		o->cert_file = optarg;
		break;
	case 'k':
		o->key_file = optarg;
		break;
	case 'f':
		o->files = optarg;
		break;
	case 'b':
		o->recv_buffer_bytes = positive("--recv-buffer-bytes", RECV_BYTES_MAX);
		break;
	case 'n':
		o->recv_buffer_count = positive("--recv-buffer-count", RECV_COUNT_MAX);
		break;
	case 's':
		o->send_max_bytes = positive("--send-max-bytes", INT32_MAX);
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(0);
	case 'u':
		add_listener(o, optarg, OVER_QUIC);
		break;
	default: /* getopt_long has said what is wrong */
		fputs(usage_text, stderr);
		exit(EXIT_USAGE);
	}
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{"runtime", required_argument, NULL, 'r'},
		{"workers", required_argument, NULL, 'w'},
		{"http", required_argument, NULL, 'a'},
		{"files", required_argument, NULL, 'f'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{"tls", required_argument, NULL, 't'},
		{"cert", required_argument, NULL, 'c'},
		{"key", required_argument, NULL, 'k'},
		{"recv-buffer-bytes", required_argument, NULL, 'b'},
		{"recv-buffer-count", required_argument, NULL, 'n'},
		{"send-max-bytes", required_argument, NULL, 's'},
		{"h3", required_argument, NULL, 'u'},
		{NULL, 0, NULL, 0},
	};
	int which;

	while ((which = getopt_long(argc, argv, "", known, NULL)) != -1)
		set_option(o, which);
	if (optind < argc)
		refuse(argv[optind], "not an option");
	if ((o->cert_file != NULL) != (o->key_file != NULL))
		refuse(o->cert_file ? "--cert" : "--key", "needs the other one of the two");
	if (o->cert_file && !has_tls(o))
		refuse("--cert", "is for --tls and --h3, of which there is none");
	if (o->listen_count == 0)
		add_listener(o, "127.0.0.1:8080", CLEAR);
}

/* A demonstration that benchmarks use takes as many connections as it is allowed to. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* One line for the runtime and one a listener, whatever --quiet says: with port 0 it is the only
 * way to know. */
static int announce(const tako_server *srv, const struct options *o)
{
	static const char *const schemes[] = {"http", "https", "h3"};
	tako_stats stats = {.size = sizeof stats};
	char addr[64];
	int err = tako_server_stats(srv, &stats);

	if (err < 0)
		return err;
	printf("runtime %s (%s)\n", stats.runtime, stats.runtime_why);
	for (size_t i = 0; i < o->listen_count; i++) {
		int rc = tako_server_local_addr(srv, i, addr, sizeof addr);

		if (rc < 0)
			return rc;
		printf("listening on %s://%s\n", schemes[o->listen[i].carrier], addr);
	}
	fflush(stdout);
	return 0;
}

static int listen_all(tako_server *srv, const struct options *o)
{
	const tako_transport *const transports[] = {tako_http(), tako_tls(), tako_h3()};
	tako_cert *cert = NULL;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < o->listen_count; i++) {
		enum carrier carrier = o->listen[i].carrier;

		if (carrier != CLEAR && !cert)
			rc = certificate_load(&cert, o->cert_file, o->key_file);
		if (rc == 0)
			rc = tako_server_listen(
				srv, transports[carrier], o->listen[i].addr,
				TAKO_LISTEN_CONFIG(.cert = carrier == CLEAR ? NULL : cert));
	}
	/* The listeners have their own references. */
	tako_cert_free(cert);
	return rc;
}

static int serve(tako_router *router, const struct options *o)
{
	tako_server *srv = NULL;
	int rc = tako_server_new(&srv, router,
	                         TAKO_SERVER_CONFIG(.runtime = o->runtime,
	                                            .worker_count = o->worker_count,
	                                            .max_connections = CONNECTIONS_MAX,
	                                            .recv_buffer_bytes = o->recv_buffer_bytes,
	                                            .recv_buffer_count = o->recv_buffer_count,
	                                            .send_max_bytes = o->send_max_bytes,
	                                            .access_log_fd = o->quiet ? 0 : STDERR_FILENO));

	if (rc == 0)
		rc = listen_all(srv, o);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = talk_start(srv);
	if (rc == 0)
		rc = announce(srv, o);
	if (rc == 0)
		rc = tako_server_run(srv);
	talk_stop();
	if (rc < 0)
		fprintf(stderr, "showcase: %s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	tako_router *router;
	int rc;

	read_options(&o, argc, argv);
	raise_file_limit();
	router = tako_router_new();
	routes_add(router, o.files);
	rc = serve(router, &o);
	tako_router_free(router);
	/* What this build, or this machine, does not have is no failure but a wrong command. */
	return rc == TAKO_ENOTSUP ? EXIT_USAGE : rc < 0;
}
