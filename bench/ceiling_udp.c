/* SPDX-License-Identifier: MIT
 *
 * Bare loops that send datagrams back, which raw UDP is compared with: by recvfrom() and sendto(), or in
 * batches by recvmmsg() and sendmmsg().  Neither does anything else, and neither knows trains.
 */
#include <string.h>

#include "ceiling.h"

enum { BATCH = 16, SOCKET_BUFFER_BYTES = 2 << 20 /* as tako asks for */ };

static void serve_calls(int fd)
{
	static char buf[65536];

	for (;;) {
		struct sockaddr_in from;
		socklen_t from_n = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_n);

		if (n >= 0)
			sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, from_n);
	}
}

static void serve_batches(int fd)
{
	static char bufs[BATCH][2048];
	struct sockaddr_in from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr v[BATCH];

	for (;;) {
		int n;

		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
			v[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
			                               .msg_namelen = sizeof(from[i]),
			                               .msg_iov = &iov[i],
			                               .msg_iovlen = 1};
		}
		n = recvmmsg(fd, v, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			iov[i].iov_len = v[i].msg_len;
		if (n > 0)
			sendmmsg(fd, v, (unsigned)n, 0);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int bytes = SOCKET_BUFFER_BYTES;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (argc != 4 || strcmp(argv[1], "--port") != 0 ||
	    (strcmp(argv[3], "calls") != 0 && strcmp(argv[3], "batches") != 0)) {
		fputs("usage: ceiling_udp --port N calls|batches\n", stderr);
		return 2;
	}
	end_by_signal();
	sa.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("socket");
	if (argv[3][0] == 'c')
		serve_calls(fd);
	else
		serve_batches(fd);
}
