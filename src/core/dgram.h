/* SPDX-License-Identifier: MIT
 *
 * What whoever makes a datagram socket has to know of how runtimes receive from it.
 */
#ifndef TAKO_CORE_DGRAM_H
#define TAKO_CORE_DGRAM_H

/* Ask for what tako_dgram_setup() asks for with each datagram.  Linux notes the interface and the
 * address of an IPv4 datagram as it arrives, not as it is read: what came to a bound socket before
 * it was asked is never told, so that the time is before bind().  AF_INET or AF_INET6. */
void tako__dgram_ask(int fd, int family);

#endif /* TAKO_CORE_DGRAM_H */
