/* SPDX-License-Identifier: MIT
 *
 * The neutral half of datagrams: what control messages say, which are made for a send, how a
 * train is cut, and that every op completes once with the right error.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tako/sys/runtime.h>

#include "core/base.h"

/* ---- Options ---------------------------------------------------------------------------- */

static bool is_on(int fd, int level, int option)
{
	socklen_t n = sizeof(int);
	int on = 0;

	return getsockopt(fd, level, option, &on, &n) == 0 && on;
}

/* What the kernel of this machine has is asked for, and what came of it is said. */
static void test_setup(void **state)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	int other = socket(AF_INET, SOCK_DGRAM, 0);
	bool gro = setsockopt(other, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(int)) == 0;
	socklen_t n = sizeof at;
	struct tako_dgram_info info;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	assert_int_equal(tako_dgram_setup(&info, fd), 0);
	assert_int_equal(info.family, AF_INET6);
	assert_int_equal(info.port, at.sin6_port);
	assert_true(is_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO));
	assert_true(is_on(fd, IPPROTO_IPV6, IPV6_RECVTCLASS));
	assert_true(is_on(fd, IPPROTO_IP, IP_RECVTOS));
	assert_int_equal(is_on(fd, IPPROTO_UDP, UDP_GRO), gro);
	assert_int_equal((info.caps & TAKO_RT_DGRAM_GRO) != 0, gro);
	n = sizeof(int);
	assert_int_equal((info.caps & TAKO_RT_DGRAM_GSO) != 0,
	                 getsockopt(other, IPPROTO_UDP, UDP_SEGMENT, &(int){0}, &n) == 0);
	close(fd);
	close(other);
}

/* ---- Received --------------------------------------------------------------------------- */

static void add(struct msghdr *m, int level, int type, const void *value, size_t n)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)m->msg_control + m->msg_controllen);

	memset(c, 0, CMSG_SPACE(n));
	*c = (struct cmsghdr){.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(n)};
	memcpy(CMSG_DATA(c), value, n);
	m->msg_controllen += CMSG_SPACE(n);
}

static void add_int(struct msghdr *m, int level, int type, int value)
{
	add(m, level, type, &value, sizeof value);
}

static struct in6_addr ip6(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static void test_decode_plain(void **state)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from};
	struct tako_dgram_info info = {.family = AF_INET};
	union tako_dgram_addr to;
	struct tako_dgram d;

	(void)state;
	tako_dgram_decode(&d, &to, &info, &m, "abc", 3);
	assert_memory_equal(d.p, "abc", 3);
	assert_int_equal(d.n, 3);
	assert_int_equal(d.segment_bytes, 3);
	assert_ptr_equal(d.from, &from);
	assert_int_equal(d.from_n, sizeof from);
	assert_null(d.to);
	assert_int_equal(d.to_n, 0);
	assert_int_equal(d.ecn, 0);
	assert_int_equal(d.ifindex, 0);
	assert_false(d.truncated);
	/* A Unix socket that has no name; and an empty datagram. */
	m.msg_namelen = 0;
	tako_dgram_decode(&d, &to, &info, &m, "", 0);
	assert_null(d.from);
	assert_int_equal(d.segment_bytes, 0);
	assert_non_null(d.p);
}

static void test_decode_drops(void **state)
{
	union tako_dgram_control room;
	struct msghdr m = {.msg_control = &room};
	struct tako_dgram_info info = {.family = AF_INET};
	union tako_dgram_addr to;
	struct tako_dgram d;

	(void)state;
	tako_dgram_decode(&d, &to, &info, &m, "abc", 3);
	assert_int_equal(d.dropped, 0);
	add_int(&m, SOL_SOCKET, SO_RXQ_OVFL, -2);
	tako_dgram_decode(&d, &to, &info, &m, "abc", 3);
	assert_int_equal(d.dropped, UINT32_MAX - 1);
}

/* An IPv6 socket is told of IPv4's groups as mapped addresses: none to answer from either. */
static void test_decode_mapped_groups(void **state)
{
	static const char *const groups[] = {"::ffff:239.1.2.3", "::ffff:255.255.255.255",
	                                     "ff02::1"};
	struct tako_dgram_info info = {.family = AF_INET6, .port = htons(443)};
	struct in6_pktinfo pkt = {.ipi6_ifindex = 7};
	union tako_dgram_control room;
	union tako_dgram_addr to;
	struct tako_dgram d;

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(groups); i++) {
		struct msghdr m = {.msg_control = &room};

		pkt.ipi6_addr = ip6(groups[i]);
		add(&m, IPPROTO_IPV6, IPV6_PKTINFO, &pkt, sizeof pkt);
		tako_dgram_decode(&d, &to, &info, &m, "abc", 3);
		assert_true(IN6_IS_ADDR_UNSPECIFIED(&to.in6.sin6_addr));
		assert_int_equal(d.ifindex, 7);
	}
	pkt.ipi6_addr = ip6("::ffff:10.1.2.3");
	{
		struct msghdr m = {.msg_control = &room};

		add(&m, IPPROTO_IPV6, IPV6_PKTINFO, &pkt, sizeof pkt);
		tako_dgram_decode(&d, &to, &info, &m, "abc", 3);
		assert_memory_equal(&to.in6.sin6_addr, &pkt.ipi6_addr, sizeof pkt.ipi6_addr);
	}
}

static void test_decode_ip(void **state)
{
	union tako_dgram_control room;
	struct msghdr m = {.msg_control = &room, .msg_flags = MSG_TRUNC};
	struct tako_dgram_info info = {.family = AF_INET, .port = htons(443)};
	struct in_pktinfo pkt = {.ipi_ifindex = 7,
	                         .ipi_spec_dst = {htonl(0x7f000002)},
	                         .ipi_addr = {htonl(0xe0000001)}};
	union tako_dgram_addr to;
	struct tako_dgram d;
	uint8_t tos = 0xb9;

	(void)state;
	add(&m, IPPROTO_IP, IP_PKTINFO, &pkt, sizeof pkt);
	add(&m, IPPROTO_IP, IP_TOS, &tos, 1);
	add_int(&m, IPPROTO_UDP, UDP_GRO, 1200);
	tako_dgram_decode(&d, &to, &info, &m, "", 3000);
	assert_ptr_equal(d.to, &to.any);
	assert_int_equal(d.to_n, sizeof to.in);
	assert_int_equal(to.in.sin_family, AF_INET);
	assert_int_equal(to.in.sin_port, htons(443));
	/* The address to answer from, not the group. */
	assert_int_equal(to.in.sin_addr.s_addr, htonl(0x7f000002));
	assert_int_equal(d.ifindex, 7);
	assert_int_equal(d.ecn, 1);
	assert_int_equal(d.segment_bytes, 1200);
	assert_true(d.truncated);
}

static void test_decode_ip6(void **state)
{
	static const struct {
		const char *sent_to;
		const char *to;
		uint32_t scope;
	} cases[] = {
		{"2001:db8::5", "2001:db8::5", 0},
		{"fe80::1", "fe80::1", 9},
		{"ff02::1", "::", 0},
		{"::ffff:127.0.0.2", "::ffff:127.0.0.2", 0},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		union tako_dgram_control room;
		struct msghdr m = {.msg_control = &room};
		struct tako_dgram_info info = {.family = AF_INET6, .port = htons(53)};
		struct in6_pktinfo pkt = {.ipi6_addr = ip6(cases[i].sent_to), .ipi6_ifindex = 9};
		struct in6_addr want = ip6(cases[i].to);
		union tako_dgram_addr to;
		struct tako_dgram d;

		add_int(&m, IPPROTO_IPV6, IPV6_TCLASS, 0xb8 | 2);
		add(&m, IPPROTO_IPV6, IPV6_PKTINFO, &pkt, sizeof pkt);
		tako_dgram_decode(&d, &to, &info, &m, "x", 1);
		assert_ptr_equal(d.to, &to.any);
		assert_int_equal(d.to_n, sizeof to.in6);
		assert_int_equal(to.in6.sin6_port, htons(53));
		assert_memory_equal(&to.in6.sin6_addr, &want, sizeof want);
		assert_int_equal(to.in6.sin6_scope_id, cases[i].scope);
		assert_int_equal(d.ifindex, 9);
		assert_int_equal(d.ecn, 2);
	}
}

/* What is too short, unknown or makes no sense is left alone. */
static void test_decode_nonsense(void **state)
{
	static const int gro[] = {0, -1, 3000, 3001, INT32_MAX};
	struct tako_dgram_info info = {.family = AF_INET};
	union tako_dgram_control room;
	union tako_dgram_addr to;
	struct tako_dgram d;

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(gro); i++) {
		struct msghdr m = {.msg_control = &room};

		add_int(&m, IPPROTO_UDP, UDP_GRO, gro[i]);
		tako_dgram_decode(&d, &to, &info, &m, "", 3000);
		assert_int_equal(d.segment_bytes, 3000);
	}
	for (int level = 0; level < 3; level++) {
		static const int levels[] = {IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP};
		struct msghdr m = {.msg_control = &room};

		for (int type = 0; type < 8; type++)
			add(&m, levels[level], level == 0 ? IP_PKTINFO : IPV6_PKTINFO, "\1\2", 2);
		add(&m, levels[level], 9999, "\1\2\3\4", 4);
		tako_dgram_decode(&d, &to, &info, &m, "", 3000);
		assert_null(d.to);
		assert_int_equal(d.ecn, 0);
		assert_int_equal(d.segment_bytes, 3000);
	}
}

/* From a kernel: a datagram that is longer than the buffer. */
static void test_truncated(void **state)
{
	char buffer[4];
	struct iovec iov = {.iov_base = buffer, .iov_len = sizeof buffer};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct tako_dgram_info info;
	union tako_dgram_addr to;
	struct tako_dgram d;
	ssize_t n;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	assert_int_equal(tako_dgram_setup(&info, fds[0]), 0);
	assert_int_equal(info.family, AF_UNIX);
	assert_int_equal(info.caps, 0);
	for (int longer = 0; longer < 2; longer++) {
		assert_int_equal(write(fds[1], "abcde", 4 + (size_t)longer), 4 + longer);
		n = recvmsg(fds[0], &m, 0);
		tako_dgram_decode(&d, &to, &info, &m, buffer, (size_t)n);
		assert_int_equal(d.n, 4);
		assert_int_equal(d.truncated, longer);
	}
	close(fds[0]);
	close(fds[1]);
}

/* ---- To be sent -------------------------------------------------------------------------- */

/* The value of a control message; NULL: it is not there. */
static const void *value_of(struct msghdr *m, int level, int type, size_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != level || c->cmsg_type != type)
			continue;
		assert_int_equal(c->cmsg_len, CMSG_LEN(n));
		return CMSG_DATA(c);
	}
	return NULL;
}

static const struct tako_dgram_info with_gso = {.family = AF_INET, .caps = TAKO_RT_DGRAM_GSO};
static const struct tako_dgram_info without = {.family = AF_INET};

static void test_encode_plain(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct tako_dgram_send d = {.op = {.p = "hello", .n = 5}};
	union tako_dgram_control room;
	struct iovec iov;
	struct msghdr m;

	(void)state;
	assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d, 0, &with_gso), 5);
	assert_null(m.msg_name);
	assert_int_equal(m.msg_namelen, 0);
	assert_int_equal(m.msg_controllen, 0);
	assert_ptr_equal(m.msg_iov, &iov);
	assert_int_equal(m.msg_iovlen, 1);
	assert_ptr_equal(iov.iov_base, d.op.p);
	assert_int_equal(iov.iov_len, 5);
	d.to = (struct sockaddr *)&to;
	d.to_n = sizeof to;
	d.op.n = 0;
	assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d, 0, &with_gso), 0);
	assert_ptr_equal(m.msg_name, &to);
	assert_int_equal(m.msg_namelen, sizeof to);
}

static void test_encode_source_and_ecn(void **state)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000002)}};
	struct sockaddr_in6 from6 = {.sin6_family = AF_INET6, .sin6_scope_id = 4};
	struct tako_dgram_info info6 = {.family = AF_INET6, .caps = TAKO_RT_DGRAM_GSO};
	struct tako_dgram_send d = {.op = {.p = "hello", .n = 5},
	                            .segment_bytes = 3,
	                            .from = (struct sockaddr *)&from,
	                            .from_n = sizeof from,
	                            .ecn = 0xfe};
	union tako_dgram_control room;
	struct iovec iov;
	struct msghdr m;
	const struct in_pktinfo *pkt;
	const struct in6_pktinfo *pkt6;

	(void)state;
	assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d, 0, &with_gso), 5);
	pkt = value_of(&m, IPPROTO_IP, IP_PKTINFO, sizeof *pkt);
	assert_int_equal(pkt->ipi_spec_dst.s_addr, htonl(0x7f000002));
	assert_int_equal(*(const int *)value_of(&m, IPPROTO_IP, IP_TOS, sizeof(int)), 2);
	assert_int_equal(*(const uint16_t *)value_of(&m, IPPROTO_UDP, UDP_SEGMENT, 2), 3);
	assert_null(value_of(&m, IPPROTO_IPV6, IPV6_TCLASS, sizeof(int)));
	/* The most there can be fits. */
	from6.sin6_addr = ip6("fe80::1");
	d.from = (struct sockaddr *)&from6;
	d.from_n = sizeof from6;
	assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d, 0, &info6), 5);
	pkt6 = value_of(&m, IPPROTO_IPV6, IPV6_PKTINFO, sizeof *pkt6);
	assert_memory_equal(&pkt6->ipi6_addr, &from6.sin6_addr, 16);
	assert_int_equal(pkt6->ipi6_ifindex, 4);
	assert_int_equal(*(const int *)value_of(&m, IPPROTO_IP, IP_TOS, sizeof(int)), 2);
	assert_int_equal(*(const int *)value_of(&m, IPPROTO_IPV6, IPV6_TCLASS, sizeof(int)), 2);
	assert_int_equal(*(const uint16_t *)value_of(&m, IPPROTO_UDP, UDP_SEGMENT, 2), 3);
	assert_true(m.msg_controllen <= TAKO_DGRAM_CONTROL_BYTES);
	/* An address that is none. */
	d.from_n = 3;
	assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d, 0, &info6), -EAFNOSUPPORT);
}

/* Bytes, segment -> with GSO one message or an error; without, its datagrams. */
static void test_encode_trains(void **state)
{
	static const struct {
		uint64_t n;
		uint32_t segment_bytes;
		int with;   /* what encode returns */
		int train;  /* whether as a train */
		int pieces; /* without GSO */
		int last;   /* bytes of the last of them */
	} cases[] = {
		{0, 0, 0, 0, 1, 0},
		{0, 100, 0, 0, 1, 0},
		{100, 0, 100, 0, 1, 100},
		{100, 100, 100, 0, 1, 100},
		{99, 100, 99, 0, 1, 99},
		{101, 100, 101, 1, 2, 1},
		{200, 100, 200, 1, 2, 100},
		{6400, 100, 6400, 1, 64, 100},
		{6399, 100, 6399, 1, 64, 99},
		{6401, 100, -EINVAL, 0, 0, 0},
		{65507, 1200, 65507, 1, 55, 707},
		{65508, 1200, -EINVAL, 0, 0, 0},
		/* Not a train: the kernel's to say. */
		{65508, 0, 65508, 0, 1, 65508},
		{65508, 70000, 65508, 0, 1, 65508},
		{UINT64_C(1) << 32, 0, -EMSGSIZE, 0, 0, 0},
		{UINT64_C(1) << 32, 1, -EINVAL, 0, 0, 0},
	};
	union tako_dgram_control room;
	struct iovec iov;
	struct msghdr m;

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		static const char data[70000];
		struct tako_dgram_send d = {.op = {.p = data, .n = cases[i].n},
		                            .segment_bytes = cases[i].segment_bytes};
		int n = tako_dgram_encode(&m, &iov, &room, &d, 0, &with_gso);
		int pieces = 0;
		size_t at = 0;

		assert_int_equal(n, cases[i].with);
		if (n < 0) {
			assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d, 0, &without), n);
			continue;
		}
		assert_int_equal(value_of(&m, IPPROTO_UDP, UDP_SEGMENT, 2) != NULL, cases[i].train);
		do {
			n = tako_dgram_encode(&m, &iov, &room, &d, at, &without);
			assert_ptr_equal(iov.iov_base, data + at);
			assert_int_equal(iov.iov_len, n);
			assert_null(value_of(&m, IPPROTO_UDP, UDP_SEGMENT, 2));
			at += (size_t)n;
			pieces++;
		} while (at < cases[i].n);
		assert_int_equal(pieces, cases[i].pieces);
		assert_int_equal(n, cases[i].last);
	}
}

/* ---- Done ---------------------------------------------------------------------------------- */

static struct {
	unsigned count;
	struct tako_send *op;
	int err;
} done;

static void on_done(struct tako_send *op, int err)
{
	done.count++;
	done.op = op;
	done.err = err;
}

static void queue(struct tako_sock *s, struct tako_dgram_send *d, uint64_t n, uint32_t segment)
{
	*d = (struct tako_dgram_send){.op = {.p = "abcdefghijklmnopqrstuvwxyz", .n = n},
	                              .segment_bytes = segment};
	d->op.done = on_done;
	d->op.file_fd = -1;
	tako_sock_queue(s, &d->op);
}

static void test_sent_in_parts(void **state)
{
	struct tako_sock s = {0};
	struct tako_dgram_send d[3];

	(void)state;
	memset(&done, 0, sizeof done);
	queue(&s, &d[0], 25, 10);
	queue(&s, &d[1], 0, 0);
	queue(&s, &d[2], 3, 0);
	assert_int_equal(s.queued_bytes, 28);
	tako_dgram_sent(&s, 10);
	tako_dgram_sent(&s, 10);
	assert_int_equal(done.count, 0);
	assert_int_equal(d[0].op.n, 5);
	assert_int_equal(*d[0].op.p, 'u');
	assert_int_equal(s.queued_bytes, 8);
	tako_dgram_sent(&s, 5);
	/* The empty one behind it has not left. */
	assert_int_equal(done.count, 1);
	assert_ptr_equal(s.head, &d[1].op);
	tako_dgram_sent(&s, 0);
	assert_int_equal(done.count, 2);
	tako_dgram_sent(&s, 3);
	assert_int_equal(done.count, 3);
	assert_ptr_equal(done.op, &d[2].op);
	assert_int_equal(done.err, 0);
	assert_null(s.head);
	assert_null(s.tail);
	assert_int_equal(s.queued_bytes, 0);
	assert_int_equal(s.sent_bytes, 28);
}

static void test_failed_twice_fails(void **state)
{
	struct tako_dgram_info info = with_gso;
	struct tako_sock s = {0};
	struct tako_dgram_send d[2];

	(void)state;
	memset(&done, 0, sizeof done);
	queue(&s, &d[0], 5, 0);
	queue(&s, &d[1], 5, 0);
	assert_true(tako_dgram_failed(&s, &info, ENETUNREACH));
	assert_int_equal(done.count, 0);
	assert_false(tako_dgram_failed(&s, &info, EMSGSIZE));
	assert_int_equal(done.count, 1);
	assert_ptr_equal(done.op, &d[0].op);
	assert_int_equal(done.err, TAKO_ESYS);
	assert_int_equal(d[0].sys_errno, EMSGSIZE);
	assert_int_equal(s.queued_bytes, 5);
	assert_int_equal(s.sent_bytes, 0);
	/* The first failure of the next is the first again; if it then leaves, it was not its own. */
	assert_true(tako_dgram_failed(&s, &info, ECONNREFUSED));
	assert_int_equal(tako_dgram_sent(&s, 5), ECONNREFUSED);
	assert_int_equal(done.err, 0);
	assert_int_equal(d[1].sys_errno, 0);
	assert_int_equal(info.caps, TAKO_RT_DGRAM_GSO);
}

static void test_failed_trains(void **state)
{
	static const struct {
		int errno_value;
		uint32_t caps; /* after it */
		int next;      /* encode returns */
	} cases[] = {
		{EIO, 0, 10},
		{EINVAL, TAKO_RT_DGRAM_GSO, 10},
		{EMSGSIZE, TAKO_RT_DGRAM_GSO, 10},
		{ENOBUFS, TAKO_RT_DGRAM_GSO, 25},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		struct tako_dgram_info info = with_gso;
		struct tako_sock s = {0};
		union tako_dgram_control room;
		struct tako_dgram_send d[2];
		struct iovec iov;
		struct msghdr m;

		memset(&done, 0, sizeof done);
		queue(&s, &d[0], 25, 10);
		queue(&s, &d[1], 25, 10);
		assert_true(tako_dgram_failed(&s, &info, cases[i].errno_value));
		assert_int_equal(info.caps, cases[i].caps);
		assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d[0], 0, &info),
		                 cases[i].next);
		assert_int_equal(tako_dgram_encode(&m, &iov, &room, &d[1], 0, &info),
		                 cases[i].caps ? 25 : 10);
		/* One at a time, what it says is final at the second time. */
		(void)tako_dgram_failed(&s, &info, cases[i].errno_value);
		if (done.count == 0)
			assert_false(tako_dgram_failed(&s, &info, cases[i].errno_value));
		assert_int_equal(done.count, 1);
		assert_int_equal(d[0].sys_errno, cases[i].errno_value);
		assert_int_equal(s.queued_bytes, 25);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_decode_plain),
		cmocka_unit_test(test_decode_drops),
		cmocka_unit_test(test_decode_mapped_groups),
		cmocka_unit_test(test_decode_ip),
		cmocka_unit_test(test_decode_ip6),
		cmocka_unit_test(test_decode_nonsense),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_encode_plain),
		cmocka_unit_test(test_encode_source_and_ecn),
		cmocka_unit_test(test_encode_trains),
		cmocka_unit_test(test_sent_in_parts),
		cmocka_unit_test(test_failed_twice_fails),
		cmocka_unit_test(test_failed_trains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
