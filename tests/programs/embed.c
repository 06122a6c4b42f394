/* SPDX-License-Identifier: MIT
 *
 * A program that embeds servers and does with them what the lines on its standard input say, so that
 * a test can tell any story of their lives.  Each command answers one line, "CODE text":
 *   new N [field=value...]   listen N ADDR   addr N INDEX   start N   wait N   stop N
 *   shutdown N MS   signals N   free N   stats N
 *   run N    tako_server_run() on a thread; "ran N CODE" comes when it returns
 *   host N   a poll() loop on a thread; "hosted N CODE TURNS" comes when it ends
 *   step N MS   without a loop
 */
#include "program.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>

enum { SERVERS = 4, LINE_BYTES = 512 };

struct slot {
	tako_server *srv;
	pthread_t thread;
	sem_t ready; /* of a hosted one: tako_server_fd() has returned */
	bool threaded;
	char name; /* its index, as the commands say it */
};

static struct slot slots[SERVERS];

static void hold(tako_res *res, void *arg)
{
	(void)arg;
	tako_res_text(res, 200, "slow\n");
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, (uint32_t)program_number(req, "ms", 100), hold, NULL);
}

static int hello(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof(info)};
	int rc = tako_req_conn_info(req, &info);

	return rc < 0 ? rc
	              : tako_res_text(res, 200, "hello from %s at %s\n", (const char *)arg,
	                              info.local);
}

/* ---- Commands ---------------------------------------------------------------- */

static int make(struct slot *s, char *rest)
{
	static const char *names[SERVERS] = {"0", "1", "2", "3"};
	tako_server_config cfg = {.size = sizeof(cfg)};
	tako_router *router = tako_router_new();

	for (char *arg = strtok(rest, " "); arg; arg = strtok(NULL, " "))
		if (!program_set(&cfg, arg))
			return TAKO_EINVAL;
	tako_get(router, "/hello", hello, (void *)(uintptr_t)names[s - slots]);
	tako_get(router, "/slow", slow, NULL);
	int rc = program_server_new(&s->srv, router, &cfg);
	tako_router_free(router);
	return rc;
}

static void *run_thread(void *arg)
{
	struct slot *s = arg;
	int rc = tako_server_run(s->srv);

	printf("ran %c %s\n", s->name, program_code(rc));
	fflush(stdout);
	return NULL;
}

static void *host_thread(void *arg)
{
	struct slot *s = arg;
	struct pollfd p = {.fd = tako_server_fd(s->srv), .events = POLLIN};
	int rc = p.fd < 0 ? p.fd : 1;
	int turns = 0;

	sem_post(&s->ready);
	while (rc == 1) {
		poll(&p, 1, -1);
		rc = tako_server_step(s->srv, 0);
		turns++;
	}
	printf("hosted %c %s %d\n", s->name, program_code(rc), turns);
	fflush(stdout);
	return NULL;
}

static int on_thread(struct slot *s, void *(*fn)(void *))
{
	if (s->threaded || pthread_create(&s->thread, NULL, fn, s) != 0)
		return TAKO_ESYS;
	s->threaded = true;
	return 0;
}

static int drop(struct slot *s)
{
	if (s->threaded)
		pthread_join(s->thread, NULL);
	s->threaded = false;
	tako_server_free(s->srv);
	s->srv = NULL;
	return 0;
}

static int tell_addr(const struct slot *s, const char *rest, char *text, size_t room)
{
	int rc = tako_server_local_addr(s->srv, strtoul(rest, NULL, 10), text, room);

	return rc < 0 || (size_t)rc == strlen(text) ? rc : TAKO_EPROTO;
}

static int tell_stats(const struct slot *s, char *text, size_t room)
{
	tako_stats st = {.size = sizeof(st)};
	int rc = tako_server_stats(s->srv, &st);

	snprintf(text, room, "runtime %s accepted %" PRIu64 " requests %" PRIu64,
	         rc < 0 ? "-" : st.runtime, st.connections_accepted, st.requests);
	return rc;
}

static int command(struct slot *s, const char *verb, char *rest, char *text, size_t room)
{
	uint32_t ms = (uint32_t)strtoul(rest, NULL, 10);

	if (strcmp(verb, "new") == 0)
		return make(s, rest);
	if (strcmp(verb, "listen") == 0)
		return tako_server_listen(s->srv, tako_http1(), rest, NULL);
	if (strcmp(verb, "addr") == 0)
		return tell_addr(s, rest, text, room);
	if (strcmp(verb, "start") == 0)
		return tako_server_start(s->srv);
	if (strcmp(verb, "wait") == 0)
		return tako_server_wait(s->srv);
	if (strcmp(verb, "shutdown") == 0)
		return tako_server_shutdown(s->srv, ms);
	if (strcmp(verb, "signals") == 0)
		return tako_server_stop_on_signals(s->srv);
	if (strcmp(verb, "step") == 0)
		return tako_server_step(s->srv, ms);
	if (strcmp(verb, "stats") == 0)
		return tell_stats(s, text, room);
	if (strcmp(verb, "run") == 0)
		return on_thread(s, run_thread);
	if (strcmp(verb, "host") == 0) {
		int rc = on_thread(s, host_thread);
		if (rc == 0)
			sem_wait(&s->ready);
		return rc;
	}
	if (strcmp(verb, "free") == 0)
		return drop(s);
	if (strcmp(verb, "stop") == 0) {
		tako_server_stop(s->srv);
		return 0;
	}
	return TAKO_ENOENT;
}

static bool wait_for_line(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return false;
	return true;
}

int main(void)
{
	char in[LINE_BYTES];

	for (int i = 0; i < SERVERS; i++) {
		slots[i].name = (char)('0' + i);
		sem_init(&slots[i].ready, 0, 0);
	}
	/* ThreadSanitizer runs signal handlers within poll(), but not within a read that blocks. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (wait_for_line() && fgets(in, sizeof(in), stdin)) {
		char text[LINE_BYTES] = "";
		char verb[16] = "";
		unsigned long n = 0;
		char *rest = NULL;
		int at = 0;

		in[strcspn(in, "\n")] = 0;
		if (sscanf(in, "%15s %n", verb, &at) != 1)
			return EXIT_REFUSED;
		n = strtoul(in + at, &rest, 10);
		if (rest == in + at || n >= SERVERS)
			return EXIT_REFUSED;
		rest += strspn(rest, " ");
		int rc = command(&slots[n], verb, rest, text, sizeof(text));
		printf("%s %s\n", rc == 1 ? "MORE" : program_code(rc),
		       rc < 0 ? tako_last_error() : text);
		fflush(stdout);
	}
	for (size_t i = 0; i < SERVERS; i++)
		drop(&slots[i]);
	return 0;
}
