/* SPDX-License-Identifier: MIT
 *
 * See h3_qpack.h.  Strings are not Huffman coded: on a response that saves some twenty bytes and
 * costs more time than all the rest of its head.
 */
#include "transports/h3/h3_qpack.h"

#include <string.h>

#include "core/base.h"

/* RFC 9204 section 4.5: the patterns of field lines, and how many bits their first integer has. */
enum {
	INDEXED_STATIC = 0xc0,
	INDEXED_BITS = 6,
	NAME_STATIC = 0x50,
	NAME_BITS = 4,
	LITERAL = 0x20,
	LITERAL_BITS = 3,
	VALUE_BITS = 7,
};

/* Of appendix A, what responses have.  Several of one name follow each other. */
struct entry {
	uint8_t index;
	uint8_t name_n;
	uint8_t value_n;
	const char *name;
	const char *value;
};

#define E(index, name, value)                                                                      \
	{                                                                                          \
		index, sizeof(name) - 1, sizeof(value) - 1, name, value                            \
	}

static const struct entry entries[] = {
	E(6, "date", ""),
	E(92, "server", ""),
	E(53, "content-type", "text/plain"),
	E(44, "content-type", "application/dns-message"),
	E(45, "content-type", "application/javascript"),
	E(46, "content-type", "application/json"),
	E(47, "content-type", "application/x-www-form-urlencoded"),
	E(48, "content-type", "image/gif"),
	E(49, "content-type", "image/jpeg"),
	E(50, "content-type", "image/png"),
	E(51, "content-type", "text/css"),
	E(52, "content-type", "text/html; charset=utf-8"),
	E(54, "content-type", "text/plain;charset=utf-8"),
	E(4, "content-length", "0"),
	E(7, "etag", ""),
	E(36, "cache-control", "max-age=0"),
	E(37, "cache-control", "max-age=2592000"),
	E(38, "cache-control", "max-age=604800"),
	E(39, "cache-control", "no-cache"),
	E(40, "cache-control", "no-store"),
	E(41, "cache-control", "public, max-age=31536000"),
	E(59, "vary", "accept-encoding"),
	E(60, "vary", "origin"),
	E(10, "last-modified", ""),
	E(12, "location", ""),
	E(14, "set-cookie", ""),
	E(2, "age", "0"),
	E(11, "link", ""),
	E(32, "accept-ranges", "bytes"),
	E(3, "content-disposition", ""),
	E(42, "content-encoding", "br"),
	E(43, "content-encoding", "gzip"),
	E(61, "x-content-type-options", "nosniff"),
	E(62, "x-xss-protection", "1; mode=block"),
	E(97, "x-frame-options", "deny"),
	E(98, "x-frame-options", "sameorigin"),
	E(57, "strict-transport-security", "max-age=31536000; includesubdomains"),
	E(56, "strict-transport-security", "max-age=31536000"),
	E(58, "strict-transport-security", "max-age=31536000; includesubdomains; preload"),
	E(85, "content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
	E(83, "alt-svc", "clear"),
	E(33, "access-control-allow-headers", "cache-control"),
	E(34, "access-control-allow-headers", "content-type"),
	E(75, "access-control-allow-headers", "*"),
	E(35, "access-control-allow-origin", "*"),
	E(73, "access-control-allow-credentials", "FALSE"),
	E(74, "access-control-allow-credentials", "TRUE"),
	E(76, "access-control-allow-methods", "get"),
	E(77, "access-control-allow-methods", "get, post, options"),
	E(78, "access-control-allow-methods", "options"),
	E(79, "access-control-expose-headers", "content-length"),
	E(93, "timing-allow-origin", "*"),
	E(86, "early-data", "1"),
};

/* ---- Writing ---------------------------------------------------------------------------- */

/* RFC 7541 section 5.1, behind the bits of `pattern`. */
static size_t put_int(char *to, unsigned pattern, unsigned bits, uint64_t value)
{
	unsigned max = (1u << bits) - 1;
	size_t n = 0;

	if (value < max) {
		to[0] = (char)(pattern | (unsigned)value);
		return 1;
	}
	to[n++] = (char)(pattern | max);
	for (value -= max; value >= 0x80; value >>= 7)
		to[n++] = (char)(0x80 | (value & 0x7f));
	to[n++] = (char)value;
	return n;
}

static size_t put_value(char *to, const char *value, size_t n)
{
	size_t used = put_int(to, 0, VALUE_BITS, n);

	memcpy(to + used, value, n);
	return used + n;
}

size_t tako__h3_qpack_prefix(char *to)
{
	memset(to, 0, TAKO__H3_PREFIX_BYTES);
	return TAKO__H3_PREFIX_BYTES;
}

size_t tako__h3_qpack_status(char *to, int status)
{
	enum { STATUS_INDEX = 24 }; /* the first entry of that name */
	static const struct {
		uint16_t status;
		uint8_t index;
	} known[] = {{200, 25}, {304, 26}, {404, 27}, {204, 64}, {206, 65}, {302, 66}, {400, 67},
	             {403, 68}, {500, 71}, {503, 28}, {100, 63}, {103, 24}, {421, 69}, {425, 70}};
	char digits[3] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
	                  (char)('0' + status % 10)};
	size_t n;

	for (size_t i = 0; i < TAKO__COUNT(known); i++) {
		if (known[i].status == status)
			return put_int(to, INDEXED_STATIC, INDEXED_BITS, known[i].index);
	}
	n = put_int(to, NAME_STATIC, NAME_BITS, STATUS_INDEX);
	return n + put_value(to + n, digits, sizeof digits);
}

static char lower(char c)
{
	return (unsigned)(c - 'A') < 26 ? (char)(c | 0x20) : c;
}

static bool same_name(const char *lowered, const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (lowered[i] != lower(name[i]))
			return false;
	}
	return true;
}

/* The entry of that name, with this value if there is one; NULL: none. */
static const struct entry *find(const char *name, size_t name_n, const char *value, size_t value_n)
{
	const struct entry *found = NULL;

	for (size_t i = 0; i < TAKO__COUNT(entries); i++) {
		const struct entry *e = &entries[i];

		if (e->name_n != name_n || e->name[0] != lower(name[0]) ||
		    !same_name(e->name, name, name_n)) {
			if (found)
				break;
			continue;
		}
		if (e->value_n == value_n && !memcmp(e->value, value, value_n))
			return e;
		if (!found)
			found = e;
	}
	return found;
}

size_t tako__h3_qpack_line(char *to, const char *name, size_t name_n, const char *value,
                           size_t value_n)
{
	const struct entry *e = name_n ? find(name, name_n, value, value_n) : NULL;
	size_t n;

	if (e && e->value_n == value_n && !memcmp(e->value, value, value_n))
		return put_int(to, INDEXED_STATIC, INDEXED_BITS, e->index);
	if (e) {
		n = put_int(to, NAME_STATIC, NAME_BITS, e->index);
		return n + put_value(to + n, value, value_n);
	}
	n = put_int(to, LITERAL, LITERAL_BITS, name_n);
	for (size_t i = 0; i < name_n; i++)
		to[n + i] = lower(name[i]);
	n += name_n;
	return n + put_value(to + n, value, value_n);
}

/* ---- What is said about it ----------------------------------------------------------------- */

enum { CANCEL_MASK = 0xc0, CANCEL = 0x40, CANCEL_MAX = 0x3f, SHIFT_MAX = 56 };

/* Another byte of a stream's id.  False: no stream can have it. */
static bool add_byte(struct tako__h3_decoder_stream *d, unsigned char byte)
{
	if (d->shift > SHIFT_MAX)
		return false;
	d->value += (uint64_t)(byte & 0x7f) << d->shift;
	d->shift = (uint8_t)(d->shift + 7);
	d->inside = byte & 0x80;
	return d->value < UINT64_C(1) << 62;
}

bool tako__h3_decoder_stream_read(struct tako__h3_decoder_stream *d, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)p[i];

		if (d->inside) {
			if (!add_byte(d, byte))
				return false;
			continue;
		}
		if ((byte & CANCEL_MASK) != CANCEL)
			return false;
		d->value = byte & CANCEL_MAX;
		d->shift = 0;
		d->inside = d->value == CANCEL_MAX;
	}
	return true;
}
