/* SPDX-License-Identifier: MIT
 *
 * Random bytes and UUIDs.  Bytes are erased from the thread's store as they are handed out.
 */
#include "core/random.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "core/base.h"
#include "core/str.h"

enum { STORE_BYTES = 256 }; /* up to here getrandom() is never cut short */

static _Thread_local struct {
	size_t left;
	unsigned char bytes[STORE_BYTES];
} store;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Of all threads only the one that forked lives on in the child, and this runs on it. */
static void forget(void)
{
	memset(&store, 0, sizeof(store));
}

static void register_forget(void)
{
	pthread_atfork(NULL, NULL, forget);
}

static int from_kernel(unsigned char *to, size_t n)
{
	while (n) {
		ssize_t got = getrandom(to, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return tako__fail_errno("getrandom");
		to += got;
		n -= (size_t)got;
	}
	return TAKO_OK;
}

int tako__random(void *to, size_t n)
{
	if (n > STORE_BYTES / 2)
		return from_kernel(to, n);
	if (store.left < n) {
		int err;

		pthread_once(&once, register_forget);
		store.left = 0;
		err = from_kernel(store.bytes, STORE_BYTES);
		if (err)
			return err;
		store.left = STORE_BYTES;
	}
	store.left -= n;
	memcpy(to, store.bytes + store.left, n);
	memset(store.bytes + store.left, 0, n);
	return TAKO_OK;
}

int tako__uuid(char *to)
{
	static const unsigned char group[] = {4, 2, 2, 2, 6}; /* bytes between the hyphens */
	unsigned char b[16];
	const unsigned char *from = b;
	int err = tako__random(b, sizeof(b));

	if (err)
		return err;
	b[6] = (unsigned char)(0x40 | (b[6] & 0x0f)); /* version 4 */
	b[8] = (unsigned char)(0x80 | (b[8] & 0x3f)); /* variant 10 */
	for (size_t i = 0; i < sizeof(group); i++) {
		if (i)
			*to++ = '-';
		tako__hex_encode(to, from, group[i]);
		to += group[i] * 2;
		from += group[i];
	}
	return TAKO_OK;
}
