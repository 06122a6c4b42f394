/* SPDX-License-Identifier: MIT
 *
 * A libmicrohttpd server that answers what the showcase answers: /plaintext, POST /count and the files
 * below a directory. One epoll thread, turbo mode, one shared response object: its best settings.
 * It is a peer to compare with, not an example.
 */
#include <fcntl.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELLO "Hello, World!"

static const char *files_dir;
static struct MHD_Response *hello;
static struct MHD_Response *not_found;

struct upload {
	uint64_t bytes;
};

static struct upload no_upload; /* the state of requests that have none */

static enum MHD_Result answer_file(struct MHD_Connection *conn, const char *name)
{
	char path[1024];
	struct stat st;
	struct MHD_Response *response;
	enum MHD_Result result;
	int fd;

	if (!files_dir || strstr(name, "..") ||
	    snprintf(path, sizeof(path), "%s/%s", files_dir, name) >= (int)sizeof(path))
		return MHD_queue_response(conn, MHD_HTTP_NOT_FOUND, not_found);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			close(fd);
		return MHD_queue_response(conn, MHD_HTTP_NOT_FOUND, not_found);
	}
	response = MHD_create_response_from_fd((uint64_t)st.st_size, fd);
	MHD_add_response_header(response, "Content-Type", "application/octet-stream");
	result = MHD_queue_response(conn, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_count(struct MHD_Connection *conn, const char *data, size_t *size,
                                    void **state)
{
	struct upload *up = *state;
	struct MHD_Response *response;
	enum MHD_Result result;
	char text[24];
	int n;

	(void)data;
	if (!up) {
		*state = calloc(1, sizeof(*up));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*size > 0) {
		up->bytes += *size;
		*size = 0;
		return MHD_YES;
	}
	n = snprintf(text, sizeof(text), "%llu", (unsigned long long)up->bytes);
	response = MHD_create_response_from_buffer((size_t)n, text, MHD_RESPMEM_MUST_COPY);
	MHD_add_response_header(response, "Content-Type", "text/plain");
	result = MHD_queue_response(conn, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

/* The first call for a request only announces it: an answer queued there closes the connection. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
	(void)cls;
	(void)version;
	if (strcmp(method, "POST") == 0)
		return answer_count(conn, data, size, state);
	if (!*state) {
		*state = &no_upload;
		return MHD_YES;
	}
	if (strcmp(url, "/plaintext") == 0)
		return MHD_queue_response(conn, MHD_HTTP_OK, hello);
	if (strncmp(url, "/files/", 7) == 0)
		return answer_file(conn, url + 7);
	return MHD_queue_response(conn, MHD_HTTP_NOT_FOUND, not_found);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode code)
{
	(void)cls;
	(void)conn;
	(void)code;
	if (*state != &no_upload)
		free(*state);
	*state = NULL;
}

static void on_term(int sig)
{
	(void)sig;
	_exit(0);
}

static void set_up(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	signal(SIGPIPE, SIG_IGN);
	hello = MHD_create_response_from_buffer(sizeof(HELLO) - 1, (void *)(uintptr_t)HELLO,
	                                        MHD_RESPMEM_PERSISTENT);
	not_found = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	MHD_add_response_header(hello, "Content-Type", "text/plain");
}

int main(int argc, char **argv)
{
	struct MHD_Daemon *daemon;
	unsigned long port;
	size_t memory_bytes = 32 * 1024;

	if (argc < 2) {
		fputs("usage: mhd PORT [FILES_DIR [BYTES_PER_CONNECTION]]\n", stderr);
		return 2;
	}
	port = strtoul(argv[1], NULL, 10);
	files_dir = argc > 2 ? argv[2] : NULL;
	if (argc > 3)
		memory_bytes = strtoul(argv[3], NULL, 10);
	set_up();
	daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, (uint16_t)port, NULL, NULL,
		on_request, NULL, MHD_OPTION_CONNECTION_LIMIT, 19000u,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory_bytes, MHD_OPTION_CONNECTION_TIMEOUT,
		300u, MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (!daemon) {
		fputs("mhd: cannot start\n", stderr);
		return 1;
	}
	for (;;)
		pause();
}
