/* SPDX-License-Identifier: MIT
 *
 * The runtime-neutral half of a datagram socket: its options, what the control messages of a
 * received message say, those of one to be sent, and which part of the queue a message was.
 * When anything is sent or received is the runtime's.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include <tako/sys/runtime.h>

#include "core/base.h"
#include "core/dgram.h"

/* tako_dgram_send.tried: that it was refused as a train, and that it was refused. */
enum { TRIED_TRAIN = 1, TRIED_ONCE = 2 };

/* ---- Options ---------------------------------------------------------------------- */

static bool turn_on(int fd, int level, int option)
{
	return setsockopt(fd, level, option, &(int){1}, sizeof(int)) == 0;
}

void tako__dgram_ask(int fd, int family)
{
	/* IPv4 traffic of an IPv6 socket brings its address in IPv6 form, but its ECN bits only in
	 * IPv4 form. */
	turn_on(fd, IPPROTO_IP, IP_RECVTOS);
	if (family == AF_INET) {
		turn_on(fd, IPPROTO_IP, IP_PKTINFO);
		return;
	}
	turn_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
	turn_on(fd, IPPROTO_IPV6, IPV6_RECVTCLASS);
}

static uint32_t find_caps(int fd)
{
	uint32_t caps = 0;
	socklen_t n = sizeof(int);

	if (turn_on(fd, IPPROTO_UDP, UDP_GRO))
		caps |= TAKO_RT_DGRAM_GRO;
	if (getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &(int){0}, &n) == 0)
		caps |= TAKO_RT_DGRAM_GSO;
	return caps;
}

int tako_dgram_setup(struct tako_dgram_info *ret, int fd)
{
	struct sockaddr_storage local = {0};
	socklen_t n = sizeof local;
	socklen_t type_n = sizeof(int);
	int type = 0;

	if (getsockname(fd, (struct sockaddr *)&local, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_n) < 0)
		return tako__fail_errno("datagram socket");
	/* A SOCK_SEQPACKET is one with a connection, whose end is an empty datagram. */
	if (type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return tako__fail(TAKO_EINVAL, "not a datagram socket");
	*ret = (struct tako_dgram_info){.family = local.ss_family};
	if (local.ss_family != AF_INET && local.ss_family != AF_INET6)
		return 0;
	/* The same place in both families. */
	ret->port = ((struct sockaddr_in *)&local)->sin_port;
	if (!ret->port)
		return tako__fail(TAKO_EINVAL, "datagram socket: not bound");
	tako__dgram_ask(fd, local.ss_family);
	ret->caps = find_caps(fd);
	return 0;
}

/* ---- Receiving -------------------------------------------------------------------- */

static void decode_ip(struct tako_dgram *d, union tako_dgram_addr *to, const struct cmsghdr *c,
                      in_port_t port)
{
	struct in_pktinfo info;

	if (c->cmsg_type == IP_TOS && c->cmsg_len >= CMSG_LEN(1))
		d->ecn = *CMSG_DATA(c) & 3;
	if (c->cmsg_type != IP_PKTINFO || c->cmsg_len < CMSG_LEN(sizeof info))
		return;
	memcpy(&info, CMSG_DATA(c), sizeof info);
	d->ifindex = (uint32_t)info.ipi_ifindex;
	/* Not ipi_addr, which is no address to send from when it is a group or a broadcast. */
	to->in = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = port, .sin_addr = info.ipi_spec_dst};
	d->to = &to->any;
	d->to_n = sizeof to->in;
}

/* None of ours to send from; IPv4's as an IPv6 socket is told of them, too. */
static bool is_group(const struct in6_addr *a)
{
	uint32_t v4;

	memcpy(&v4, &a->s6_addr[12], sizeof v4);
	return IN6_IS_ADDR_MULTICAST(a) ||
	       (IN6_IS_ADDR_V4MAPPED(a) && (IN_MULTICAST(ntohl(v4)) || v4 == INADDR_BROADCAST));
}

static void decode_ip6(struct tako_dgram *d, union tako_dgram_addr *to, const struct cmsghdr *c,
                       in_port_t port)
{
	struct in6_pktinfo info;
	int class;

	if (c->cmsg_type == IPV6_TCLASS && c->cmsg_len >= CMSG_LEN(sizeof class)) {
		memcpy(&class, CMSG_DATA(c), sizeof class);
		d->ecn = class & 3;
	}
	if (c->cmsg_type != IPV6_PKTINFO || c->cmsg_len < CMSG_LEN(sizeof info))
		return;
	memcpy(&info, CMSG_DATA(c), sizeof info);
	d->ifindex = info.ipi6_ifindex;
	to->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
	if (!is_group(&info.ipi6_addr))
		to->in6.sin6_addr = info.ipi6_addr;
	/* Means nothing without its interface. */
	if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		to->in6.sin6_scope_id = info.ipi6_ifindex;
	d->to = &to->any;
	d->to_n = sizeof to->in6;
}

static void decode_udp(struct tako_dgram *d, const struct cmsghdr *c)
{
	int bytes;

	if (c->cmsg_type != UDP_GRO || c->cmsg_len < CMSG_LEN(sizeof bytes))
		return;
	memcpy(&bytes, CMSG_DATA(c), sizeof bytes);
	if (bytes > 0 && (size_t)bytes < d->n)
		d->segment_bytes = (uint32_t)bytes;
}

static void decode_socket(struct tako_dgram *d, const struct cmsghdr *c)
{
	if (c->cmsg_type == SO_RXQ_OVFL && c->cmsg_len >= CMSG_LEN(sizeof d->dropped))
		memcpy(&d->dropped, CMSG_DATA(c), sizeof d->dropped);
}

void tako_dgram_decode(struct tako_dgram *ret, union tako_dgram_addr *to,
                       const struct tako_dgram_info *info, const struct msghdr *msg, const char *p,
                       size_t n)
{
	*ret = (struct tako_dgram){
		.p = p,
		.n = n,
		.segment_bytes = (uint32_t)n,
		.from = msg->msg_namelen ? msg->msg_name : NULL,
		.from_n = msg->msg_namelen,
		.truncated = msg->msg_flags & MSG_TRUNC,
	};
	/* CMSG_NXTHDR takes what it only reads as a mutable pointer. */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		if (c->cmsg_level == IPPROTO_IP)
			decode_ip(ret, to, c, info->port);
		else if (c->cmsg_level == IPPROTO_IPV6)
			decode_ip6(ret, to, c, info->port);
		else if (c->cmsg_level == IPPROTO_UDP)
			decode_udp(ret, c);
		else if (c->cmsg_level == SOL_SOCKET)
			decode_socket(ret, c);
	}
}

/* ---- Sending ---------------------------------------------------------------------- */

static void add_control(struct msghdr *msg, int level, int type, const void *value, size_t n)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)msg->msg_control +
	                                               msg->msg_controllen);

	memset(c, 0, CMSG_SPACE(n));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), value, n);
	msg->msg_controllen += CMSG_SPACE(n);
}

static bool add_source(struct msghdr *msg, const struct tako_dgram_send *d)
{
	if (d->from->sa_family == AF_INET && d->from_n >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = (const void *)d->from;
		struct in_pktinfo info = {.ipi_spec_dst = in->sin_addr};

		add_control(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
		return true;
	}
	if (d->from->sa_family == AF_INET6 && d->from_n >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *in6 = (const void *)d->from;
		struct in6_pktinfo info = {.ipi6_addr = in6->sin6_addr,
		                           .ipi6_ifindex = in6->sin6_scope_id};

		add_control(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
		return true;
	}
	return false;
}

static void add_ecn(struct msghdr *msg, int ecn, int family)
{
	add_control(msg, IPPROTO_IP, IP_TOS, &ecn, sizeof ecn);
	/* An IPv6 socket may be talking IPv4; the kernel leaves what is not the packet's. */
	if (family == AF_INET6)
		add_control(msg, IPPROTO_IPV6, IPV6_TCLASS, &ecn, sizeof ecn);
}

static bool is_train(const struct tako_dgram_send *d, size_t left)
{
	return d->segment_bytes && left > d->segment_bytes;
}

static bool fits(const struct tako_dgram_send *d, size_t left)
{
	return !is_train(d, left) || (left <= TAKO_DGRAM_BYTES_MAX &&
	                              left <= (uint64_t)d->segment_bytes * TAKO_DGRAM_SEGMENTS_MAX);
}

static bool leaves_as_train(const struct tako_dgram_send *d, size_t left,
                            const struct tako_dgram_info *info)
{
	return is_train(d, left) && (info->caps & TAKO_RT_DGRAM_GSO) && !(d->tried & TRIED_TRAIN);
}

int tako_dgram_encode(struct msghdr *ret, struct iovec *iov, union tako_dgram_control *control,
                      const struct tako_dgram_send *d, size_t at,
                      const struct tako_dgram_info *info)
{
	size_t left = (size_t)d->op.n - at;

	if (!fits(d, (size_t)d->op.n))
		return -EINVAL;
	if (left > INT32_MAX)
		return -EMSGSIZE;
	/* sendmsg() takes what it only reads as mutable pointers. */
	*ret = (struct msghdr){.msg_name = (void *)(uintptr_t)d->to,
	                       .msg_namelen = d->to ? d->to_n : 0,
	                       .msg_iov = iov,
	                       .msg_iovlen = 1,
	                       .msg_control = control->bytes};
	if (d->from && !add_source(ret, d))
		return -EAFNOSUPPORT;
	if (d->ecn & 3)
		add_ecn(ret, d->ecn & 3, info->family);
	if (leaves_as_train(d, left, info)) {
		uint16_t bytes = (uint16_t)d->segment_bytes;

		add_control(ret, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes);
	} else if (is_train(d, left)) {
		left = d->segment_bytes;
	}
	iov->iov_base = (char *)(uintptr_t)d->op.p + at;
	iov->iov_len = left;
	return (int)left;
}

static void complete(struct tako_sock *s, int err)
{
	struct tako_send *op = s->head;

	s->head = op->next;
	if (!s->head)
		s->tail = NULL;
	s->queued_bytes -= op->n;
	op->next = NULL;
	op->done(op, err);
}

int tako_dgram_sent(struct tako_sock *s, size_t bytes)
{
	struct tako_dgram_send *d = TAKO__CONTAINER(s->head, struct tako_dgram_send, op);
	int earlier = d->sys_errno;

	d->sys_errno = 0;
	d->tried &= (uint8_t)~TRIED_ONCE;
	s->sent_bytes += bytes;
	s->queued_bytes -= bytes;
	d->op.p += bytes;
	d->op.n -= bytes;
	if (d->op.n == 0)
		complete(s, 0);
	return earlier;
}

bool tako_dgram_failed(struct tako_sock *s, struct tako_dgram_info *info, int errno_value)
{
	struct tako_dgram_send *d = TAKO__CONTAINER(s->head, struct tako_dgram_send, op);
	bool as_train = leaves_as_train(d, (size_t)d->op.n, info);

	/* The device cannot, or there is IPsec on the way: it will not be otherwise later. */
	if (as_train && errno_value == EIO) {
		info->caps &= ~TAKO_RT_DGRAM_GSO;
		return true;
	}
	/* Datagrams that would have to be fragmented are refused as a train, though each of them
	 * might leave in fragments; older kernels say EINVAL where newer ones say EMSGSIZE.  So that
	 * the answer does not depend on GSO, they are tried one at a time. */
	if (as_train && (errno_value == EINVAL || errno_value == EMSGSIZE)) {
		d->tried |= TRIED_TRAIN;
		return true;
	}
	d->sys_errno = errno_value;
	/* What an ICMP message said of an earlier datagram is the result of the next call on the
	 * socket, whatever that is; and only the first one after it. */
	if (!(d->tried & TRIED_ONCE)) {
		d->tried |= TRIED_ONCE;
		return true;
	}
	complete(s, TAKO_ESYS);
	return false;
}
