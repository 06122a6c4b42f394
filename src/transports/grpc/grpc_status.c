/* SPDX-License-Identifier: MIT
 *
 * See grpc_status.h.
 */
#include "transports/grpc/grpc_status.h"

#include <tako/grpc.h>

const char *tako_grpc_status_name(int status)
{
	switch (status) {
#define TAKO__X(name, num)                                                                         \
	case num:                                                                                  \
		return #name;
		TAKO_GRPC_STATUS_MAP(TAKO__X)
#undef TAKO__X
	default:
		return "UNKNOWN";
	}
}

int tako__grpc_status_of_error(int err)
{
	switch (err) {
	case TAKO_EINVAL:
		return TAKO_GRPC_INVALID_ARGUMENT;
	case TAKO_ENOENT:
		return TAKO_GRPC_NOT_FOUND;
	case TAKO_EEXIST:
		return TAKO_GRPC_ALREADY_EXISTS;
	case TAKO_EBUSY:
		return TAKO_GRPC_UNAVAILABLE;
	case TAKO_ETIMEDOUT:
		return TAKO_GRPC_DEADLINE_EXCEEDED;
	case TAKO_ETOOBIG:
	case TAKO_ENOMEM:
		return TAKO_GRPC_RESOURCE_EXHAUSTED;
	case TAKO_ENOTSUP:
		return TAKO_GRPC_UNIMPLEMENTED;
	case TAKO_ECLOSED:
		return TAKO_GRPC_CANCELLED;
	default:
		return TAKO_GRPC_INTERNAL;
	}
}

int tako__grpc_status_of_http(int status)
{
	switch (status) {
	case 400:
	case 500:
		return TAKO_GRPC_INTERNAL;
	case 401:
		return TAKO_GRPC_UNAUTHENTICATED;
	case 403:
		return TAKO_GRPC_PERMISSION_DENIED;
	case 404:
		return TAKO_GRPC_UNIMPLEMENTED;
	case 408:
		return TAKO_GRPC_DEADLINE_EXCEEDED;
	case 413:
		return TAKO_GRPC_RESOURCE_EXHAUSTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return TAKO_GRPC_UNAVAILABLE;
	default:
		return TAKO_GRPC_UNKNOWN;
	}
}

/* Not through the middle of a character: its second and later bytes are 10xxxxxx. */
static size_t cut(tako_str s)
{
	size_t n = s.n;

	if (n <= TAKO__GRPC_MESSAGE_BYTES)
		return n;
	n = TAKO__GRPC_MESSAGE_BYTES;
	while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

size_t tako__grpc_message(char *to, tako_str message)
{
	static const char hex[] = "0123456789ABCDEF";
	char *start = to;
	size_t n = cut(message);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)message.p[i];

		if (c >= 0x20 && c <= 0x7e && c != '%') {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = hex[c >> 4];
		*to++ = hex[c & 15];
	}
	return (size_t)(to - start);
}
