/* SPDX-License-Identifier: MIT
 *
 * The ceiling of io_uring: the least a one-thread loop on it can spend per request on this kernel.
 * As ceiling_epoll.c, it answers a constant and parses nothing.  Keep-alive is what it is for: one
 * multishot receive per connection, and one enter a turn, which sends the answers of the turn before
 * (without a completion for each, as nobody waits for them) and waits for more.  "echo" is the same with
 * what it was sent.  close and post are what a plain ring does there, which is no ceiling: ceiling_epoll.c
 * is faster.
 * It must never grow a feature: whatever it does not do is what a framework is allowed to cost.
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "ceiling.h"

#define RESPONSE                                                                                   \
	"HTTP/1.1 200 OK\r\nServer: tako\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"               \
	"Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"

enum {
	RESPONSE_BYTES = sizeof(RESPONSE) - 1,
	ENTRIES = 512,
	CQ_ENTRIES = 4 * ENTRIES,
	BUFFERS = 1024, /* one for each connection that may ask in the same turn */
	BUFFER_BYTES = 4096,
	BATCH_MAX = BUFFER_BYTES / 16, /* answers in one send */
};

enum mode { KEEPALIVE, CLOSE, POST, ECHO };
enum tag { ACCEPT, RECV, SEND, CLOSED };

struct conn {
	uint32_t request_bytes; /* 0 until the first request has been seen whole */
	uint32_t seen_bytes;    /* of the request being received */
};

static char batch[BATCH_MAX * RESPONSE_BYTES];
static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *buffer_data;
static struct conn *conns;
static size_t conns_max;
static int listen_fd;
static enum mode mode;
static uint64_t post_bytes;

static struct io_uring_sqe *entry(enum tag tag, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
		if (!sqe)
			die("io_uring_get_sqe");
	}
	sqe->user_data = (uint64_t)fd << 2 | tag;
	return sqe;
}

static void arm_accept(void)
{
	struct io_uring_sqe *sqe = entry(ACCEPT, listen_fd);

	io_uring_prep_multishot_accept(sqe, listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

static void arm_recv(int fd)
{
	struct io_uring_sqe *sqe = entry(RECV, fd);

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = 0;
}

static void close_conn(int fd)
{
	struct io_uring_sqe *sqe = entry(CLOSED, fd);

	io_uring_prep_close(sqe, fd);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	conns[fd] = (struct conn){0};
}

static void send_answers(int fd, uint32_t count)
{
	while (count > 0) {
		uint32_t n = count < BATCH_MAX ? count : BATCH_MAX;
		struct io_uring_sqe *sqe = entry(SEND, fd);

		io_uring_prep_send(sqe, fd, batch, (size_t)n * RESPONSE_BYTES,
		                   MSG_NOSIGNAL | MSG_WAITALL);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		count -= n;
	}
}

/* Send, then shut down: the receive that is armed ends with it, and then the descriptor is closed. */
static void answer_and_close(int fd)
{
	struct io_uring_sqe *sqe = entry(SEND, fd);

	io_uring_prep_send(sqe, fd, batch, RESPONSE_BYTES, MSG_NOSIGNAL | MSG_WAITALL);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK;
	sqe = entry(SEND, fd);
	io_uring_prep_shutdown(sqe, fd, SHUT_RDWR);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static bool learn_request(struct conn *c, const char *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);

	if (!end)
		return false; /* a head in pieces is not what this program measures */
	c->request_bytes = (uint32_t)(end + 4 - p);
	if (mode == POST)
		c->request_bytes += (uint32_t)post_bytes;
	return true;
}

/* The buffer is given back before this leaves, behind a thousand others: with fewer connections nothing comes
 * into it until the next turn. */
static void send_back(int fd, const char *p, size_t n)
{
	struct io_uring_sqe *sqe = entry(SEND, fd);

	io_uring_prep_send(sqe, fd, p, n, MSG_NOSIGNAL | MSG_WAITALL);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void answer(int fd, const char *p, size_t n)
{
	struct conn *c = &conns[fd];
	uint32_t total;

	if (mode == ECHO) {
		send_back(fd, p, n);
		return;
	}
	if (mode == CLOSE) {
		answer_and_close(fd);
		return;
	}
	if (c->request_bytes == 0 && !learn_request(c, p, n)) {
		shutdown(fd, SHUT_RDWR);
		return;
	}
	total = c->seen_bytes + (uint32_t)n;
	c->seen_bytes = total % c->request_bytes;
	send_answers(fd, total / c->request_bytes);
}

static void give(unsigned id)
{
	io_uring_buf_ring_add(buffers, buffer_data + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
	                      (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(buffers, 1);
}

static void on_recv(int fd, int res, uint32_t flags)
{
	if (flags & IORING_CQE_F_BUFFER) {
		unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;

		if (res > 0)
			answer(fd, buffer_data + (size_t)id * BUFFER_BYTES, (size_t)res);
		give(id);
	}
	if (flags & IORING_CQE_F_MORE)
		return;
	if (res > 0 || res == -ENOBUFS)
		arm_recv(fd);
	else
		close_conn(fd);
}

static void on_accept(int fd, uint32_t flags)
{
	if (fd >= 0 && (size_t)fd < conns_max)
		arm_recv(fd);
	else if (fd >= 0)
		close(fd);
	if (!(flags & IORING_CQE_F_MORE))
		arm_accept();
}

static void run(void)
{
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned head;
		unsigned count = 0;

		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			int fd = (int)(cqe->user_data >> 2);

			count++;
			if ((cqe->user_data & 3) == RECV)
				on_recv(fd, cqe->res, cqe->flags);
			else if ((cqe->user_data & 3) == ACCEPT)
				on_accept(cqe->res, cqe->flags);
		}
		io_uring_cq_advance(&ring, count);
	}
}

static void open_ring(void)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
	                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
	void *block = NULL;

	errno = -io_uring_queue_init_params(ENTRIES, &ring, &p);
	if (errno)
		die("io_uring");
	io_uring_register_ring_fd(&ring);
	if (posix_memalign(&block, 4096, BUFFERS * (sizeof(struct io_uring_buf) + BUFFER_BYTES)))
		die("buffers");
	buffers = block;
	buffer_data = (char *)block + BUFFERS * sizeof(struct io_uring_buf);
	reg.ring_addr = (uint64_t)(uintptr_t)block;
	errno = -io_uring_register_buf_ring(&ring, &reg, 0);
	if (errno)
		die("buffer ring");
	io_uring_buf_ring_init(buffers);
	for (unsigned id = 0; id < BUFFERS; id++)
		give(id);
}

static void usage(void)
{
	fputs("usage: ceiling_uring [--port N] keepalive|close|post BYTES|echo\n", stderr);
	exit(2);
}

static void set_mode(const char *name, const char *arg)
{
	if (!strcmp(name, "keepalive")) {
		mode = KEEPALIVE;
	} else if (!strcmp(name, "close")) {
		mode = CLOSE;
	} else if (!strcmp(name, "echo")) {
		mode = ECHO;
	} else if (!strcmp(name, "post") && arg) {
		mode = POST;
		post_bytes = strtoull(arg, NULL, 10);
		if (post_bytes > 1u << 30)
			usage();
	} else {
		usage();
	}
}

static void set_up(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		die("getrlimit");
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	conns_max = rl.rlim_cur < 1u << 20 ? (size_t)rl.rlim_cur : 1u << 20;
	conns = calloc(conns_max, sizeof(*conns));
	if (!conns)
		die("calloc");
	for (size_t i = 0; i < BATCH_MAX; i++)
		memcpy(batch + i * RESPONSE_BYTES, RESPONSE, RESPONSE_BYTES);
	end_by_signal();
}

int main(int argc, char **argv)
{
	unsigned long port = 0;
	int i = 1;

	if (argc > 2 && !strcmp(argv[1], "--port")) {
		port = strtoul(argv[2], NULL, 10);
		i = 3;
	}
	if (i >= argc || port > UINT16_MAX)
		usage();
	set_mode(argv[i], i + 1 < argc ? argv[i + 1] : NULL);
	set_up();
	listen_fd = listen_on((uint16_t)port, 0);
	say_port(listen_fd);
	open_ring();
	arm_accept();
	run();
}
