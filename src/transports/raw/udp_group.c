/* SPDX-License-Identifier: MIT
 *
 * See udp_group.h.
 */
#include "transports/raw/udp_group.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"

/* <linux/in6.h> cannot stand beside <netinet/in.h>; Linux 4.20. */
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

enum { TEXT_BYTES = INET6_ADDRSTRLEN + 1 + IF_NAMESIZE };

/* ---- Reading ---------------------------------------------------------------------------------------- */

static int find_interface(uint32_t *ret, const char *name)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	*ret = if_nametoindex(name);
	if (!*ret && name[0] >= '0' && name[0] <= '9' && !*end && number <= INT32_MAX)
		*ret = (uint32_t)number;
	return *ret ? 0 : tako__fail(TAKO_EINVAL, "there is no network interface \"%.40s\"", name);
}

static bool read_address(struct tako__udp_group *ret, const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(&ret->req.gr_group, &in, sizeof in);
		ret->level = IPPROTO_IP;
		return IN_MULTICAST(ntohl(in.sin_addr.s_addr));
	}
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		memcpy(&ret->req.gr_group, &in6, sizeof in6);
		ret->level = IPPROTO_IPV6;
		return IN6_IS_ADDR_MULTICAST(&in6.sin6_addr);
	}
	return false;
}

int tako__udp_group_parse(struct tako__udp_group *ret, const char *text, const char **ret_rest)
{
	char one[TEXT_BYTES];
	size_t n;
	char *percent;

	text += strspn(text, " ");
	n = strcspn(text, ", ");
	*ret = (struct tako__udp_group){0};
	if (n >= sizeof one)
		return tako__fail(TAKO_EINVAL, "\"%.60s\" is no multicast group", text);
	memcpy(one, text, n);
	one[n] = '\0';
	*ret_rest = text + n + strspn(text + n, " ");
	if (**ret_rest == ',')
		(*ret_rest)++;
	else
		*ret_rest = **ret_rest ? *ret_rest : NULL;
	percent = strchr(one, '%');
	if (percent)
		*percent++ = '\0';
	if (!read_address(ret, one))
		return tako__fail(TAKO_EINVAL, "\"%.60s\" is no multicast group", text);
	return percent ? find_interface(&ret->req.gr_interface, percent) : 0;
}

/* ---- Groups ------------------------------------------------------------------------------------------- */

static int tell(int fd, const struct tako__udp_group *g, int option, const char *what)
{
	char text[INET6_ADDRSTRLEN] = "";
	const void *at =
		g->level == IPPROTO_IP
			? (const void *)&(
				  (const struct sockaddr_in *)(const void *)&g->req.gr_group)
				  ->sin_addr
			: (const void *)&(
				  (const struct sockaddr_in6 *)(const void *)&g->req.gr_group)
				  ->sin6_addr;

	if (setsockopt(fd, g->level, option, &g->req, sizeof g->req) == 0)
		return 0;
	return tako__fail_errno(
		"%s %s", what,
		inet_ntop(g->level == IPPROTO_IP ? AF_INET : AF_INET6, at, text, sizeof text));
}

int tako__udp_group_join(int fd, const struct tako__udp_group *g)
{
	return tell(fd, g, MCAST_JOIN_GROUP, "join");
}

int tako__udp_group_leave(int fd, const struct tako__udp_group *g)
{
	return tell(fd, g, MCAST_LEAVE_GROUP, "leave");
}

/* ---- Options ------------------------------------------------------------------------------------------- */

/* An IPv6 socket may send IPv4, too; an IPv4 one has no options of IPv6. */
static int set_both(int fd, int v4, int v6, int value, const char *name)
{
	bool ok = setsockopt(fd, IPPROTO_IP, v4, &value, sizeof value) == 0;

	ok |= setsockopt(fd, IPPROTO_IPV6, v6, &value, sizeof value) == 0;
	return ok ? 0 : tako__fail_errno("udp: %s", name);
}

static int set_interface(int fd, const char *name)
{
	struct ip_mreqn req = {0};
	uint32_t index;
	int rc = find_interface(&index, name);
	bool ok;

	if (rc < 0)
		return rc;
	req.imr_ifindex = (int)index;
	ok = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &req, sizeof req) == 0;
	ok |= setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &req.imr_ifindex, sizeof(int)) == 0;
	return ok ? 0 : tako__fail_errno("udp: multicast_interface");
}

int tako__udp_group_options(int fd, const tako_udp_config *c)
{
	/* Else a socket hears of groups that others on this machine have joined (ip(7)). */
	int rc = set_both(fd, IP_MULTICAST_ALL, IPV6_MULTICAST_ALL, 0, "multicast");

	if (rc == 0 && c->multicast_ttl)
		rc = set_both(fd, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, (int)c->multicast_ttl,
		              "multicast_ttl");
	if (rc == 0 && c->multicast_loop == TAKO_OFF)
		rc = set_both(fd, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, 0, "multicast_loop");
	if (rc == 0 && c->multicast_interface)
		rc = set_interface(fd, c->multicast_interface);
	return rc;
}
