/* SPDX-License-Identifier: MIT
 *
 * Entity-tags and dates of files, and the conditions of requests.  What cannot be read is
 * taken for the safer side: a tag that matches nothing, a date that is not there.
 */
#include "core/static_cond.h"

#include <string.h>

#include "core/base.h"
#include "core/date.h"
#include "core/str.h"

/* ---- Validators --------------------------------------------------------------------- */

/* Every input bit moves every output bit (the finaliser of splitmix64). */
static uint64_t mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
	return v ^ (v >> 31);
}

static size_t put_hex(char *to, uint64_t v, unsigned digits)
{
	for (unsigned i = 0; i < digits; i++)
		to[i] = "0123456789abcdef"[(v >> 4 * (digits - 1 - i)) & 15];
	return digits;
}

/* The tag is a strong one (RFC 9110 section 8.8.1), made of inode, change time and size.  The
 * change time, unlike the modification time, cannot be set back, so other bytes in the same
 * file have another tag; a file renamed over another has another inode while the old one
 * is still there.  What remains is a file rewritten in place twice between two ticks of the
 * kernel's clock: as with any server that reads no file to hash it, files that change
 * under way are to be replaced, not overwritten.  Mixed, so that a tag does not tell the inode
 * number; the size stands by itself, so that two of different sizes never collide. */
void tako__validators_init(struct tako__validators *v, const struct stat *st, tako_str coding,
                           int64_t now_s)
{
	uint64_t stamp = (uint64_t)st->st_ctim.tv_sec * 1000000000u + (uint64_t)st->st_ctim.tv_nsec;
	uint64_t size = (uint64_t)st->st_size;
	unsigned digits = size ? (unsigned)(67 - __builtin_clzll(size)) / 4 : 1;
	char *to = v->etag;

	*to++ = '"';
	to += put_hex(to, mix(mix(stamp) + (uint64_t)st->st_ino), 16);
	*to++ = '-';
	to += put_hex(to, size, digits);
	if (coding.n) {
		*to++ = '-';
		memcpy(to, coding.p, coding.n);
		to += coding.n;
	}
	*to++ = '"';
	v->etag_n = (size_t)(to - v->etag);
	/* Never later than the response itself (RFC 9110 section 8.8.2.1). */
	v->modified_s = st->st_mtim.tv_sec < now_s ? st->st_mtim.tv_sec : now_s;
}

/* ---- Finding the fields ------------------------------------------------------------------ */

static const tako_str names[TAKO__CONDITION_COUNT] = {
	[TAKO__RANGE] = {"range", 5},
	[TAKO__IF_RANGE] = {"if-range", 8},
	[TAKO__IF_MATCH] = {"if-match", 8},
	[TAKO__IF_NONE_MATCH] = {"if-none-match", 13},
	[TAKO__ACCEPT_ENCODING] = {"accept-encoding", 15},
	[TAKO__IF_MODIFIED_SINCE] = {"if-modified-since", 17},
	[TAKO__IF_UNMODIFIED_SINCE] = {"if-unmodified-since", 19},
};
enum { LENGTHS = 1 << 5 | 1 << 8 | 1 << 13 | 1 << 15 | 1 << 17 | 1 << 19, LENGTH_MAX = 19 };

const char *tako__condition_name(enum tako__condition which)
{
	return names[which].p;
}

static unsigned find(const struct tako__field *f)
{
	unsigned i = 0;

	while (i < TAKO__CONDITION_COUNT &&
	       (f->name_n != names[i].n || !tako__str_ieq(f->name, names[i].p, names[i].n)))
		i++;
	return i;
}

unsigned tako__conditions_find(struct tako__conditions *c, const struct tako__field *fields,
                               unsigned count)
{
	unsigned repeated = 0;

	memset(c, 0, sizeof(*c));
	for (unsigned i = 0; i < count; i++) {
		const struct tako__field *f = &fields[i];
		unsigned which;

		if (f->name_n > LENGTH_MAX || !(LENGTHS >> f->name_n & 1))
			continue;
		which = find(f);
		if (which == TAKO__CONDITION_COUNT)
			continue;
		if (c->value[which].p)
			repeated |= 1u << which;
		else
			c->value[which] = (tako_str){f->value, f->value_n};
	}
	return repeated;
}

/* ---- Entity-tags ---------------------------------------------------------------------------- */

/* etagc (RFC 9110 section 8.8.3): no spaces, no quotes; a backslash is one like the others. */
static bool is_etagc(char c)
{
	return c != '"' && ((unsigned char)c > 0x20) && c != 0x7f;
}

/* The next entity-tag of a list, its opaque part with its quotes, and `rest` moved behind it;
 * false at the end, and at what is no entity-tag: nothing behind that can be trusted. */
static bool next_tag(tako_str *rest, tako_str *ret, bool *ret_weak)
{
	size_t i = 0;
	size_t start;

	while (i < rest->n && (rest->p[i] == ' ' || rest->p[i] == '\t' || rest->p[i] == ','))
		i++;
	*ret_weak = rest->n - i > 2 && rest->p[i] == 'W' && rest->p[i + 1] == '/';
	i += *ret_weak ? 2 : 0;
	start = i;
	if (i == rest->n || rest->p[i++] != '"')
		return false;
	while (i < rest->n && is_etagc(rest->p[i]))
		i++;
	if (i == rest->n || rest->p[i] != '"')
		return false;
	*ret = (tako_str){rest->p + start, i + 1 - start};
	*rest = (tako_str){rest->p + i + 1, rest->n - i - 1};
	return true;
}

static bool same_tag(tako_str tag, const struct tako__validators *v)
{
	return tag.n == v->etag_n && memcmp(tag.p, v->etag, tag.n) == 0;
}

/* Whether a list has our tag.  Ours is strong, so that only theirs can spoil a strong comparison
 * (RFC 9110 section 8.8.3.2). */
static bool list_has(tako_str list, const struct tako__validators *v, bool strong)
{
	tako_str tag;
	bool weak;

	if (list.n == 1 && list.p[0] == '*')
		return true;
	while (next_tag(&list, &tag, &weak)) {
		if (same_tag(tag, v) && !(strong && weak))
			return true;
	}
	return false;
}

/* ---- Conditions ------------------------------------------------------------------------------ */

static bool date_of(tako_str value, int64_t now_s, int64_t *ret_s)
{
	return value.p && tako__date_parse(value.p, value.n, now_s, ret_s) == 0;
}

enum tako__verdict tako__conditions_check(const struct tako__conditions *c,
                                          const struct tako__validators *v, int64_t now_s)
{
	const tako_str *value = c->value;
	int64_t date;

	if (value[TAKO__IF_MATCH].p) {
		if (!list_has(value[TAKO__IF_MATCH], v, true))
			return TAKO__COND_FAILED;
	} else if (date_of(value[TAKO__IF_UNMODIFIED_SINCE], now_s, &date)) {
		if (v->modified_s > date)
			return TAKO__COND_FAILED;
	}
	/* A tag, even one that does not match, overrules the date (section 13.1.3). */
	if (value[TAKO__IF_NONE_MATCH].p) {
		if (list_has(value[TAKO__IF_NONE_MATCH], v, false))
			return TAKO__COND_NOT_MODIFIED;
	} else if (date_of(value[TAKO__IF_MODIFIED_SINCE], now_s, &date)) {
		if (v->modified_s <= date)
			return TAKO__COND_NOT_MODIFIED;
	}
	return TAKO__COND_PASS;
}

/* A date must be the very one that was sent; that it is a strong one, a second older than the
 * response it came with, is for the client to know (section 8.8.2.2).  Clients that got
 * a tag, and ours all do, may not use one. */
bool tako__conditions_range(const struct tako__conditions *c, const struct tako__validators *v,
                            int64_t now_s)
{
	tako_str value = c->value[TAKO__IF_RANGE];
	int64_t date;
	tako_str tag;
	bool weak;

	if (!c->value[TAKO__RANGE].p)
		return false;
	if (!value.p)
		return true;
	if (date_of(value, now_s, &date))
		return date == v->modified_s;
	return next_tag(&value, &tag, &weak) && !value.n && !weak && same_tag(tag, v);
}
