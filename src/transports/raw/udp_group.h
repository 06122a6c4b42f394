/* SPDX-License-Identifier: MIT
 *
 * Multicast: groups as they are written, and the options of those who send to them.
 */
#ifndef TAKO_UDP_GROUP_H
#define TAKO_UDP_GROUP_H

#include <netinet/in.h>
#include <tako/raw.h>

struct tako__udp_group {
	struct group_req req; /* its address, and the interface; 0: the system's choice */
	int level;            /* of the option */
};

/* Read one of "239.1.2.3%eth0, ff15::1": *ret, and *ret_rest behind it, NULL at the end.  TAKO_EINVAL. */
int tako__udp_group_parse(struct tako__udp_group *ret, const char *text, const char **ret_rest);

/* TAKO_EINVAL: the socket's family has no such groups; TAKO_ESYS. */
int tako__udp_group_join(int fd, const struct tako__udp_group *g);
int tako__udp_group_leave(int fd, const struct tako__udp_group *g);

/* Options for what the socket sends to groups; and to be told of no group but its own. */
int tako__udp_group_options(int fd, const tako_udp_config *c);

#endif /* TAKO_UDP_GROUP_H */
