/* SPDX-License-Identifier: MIT
 *
 * Lists of header fields: looking one up, and collecting a response's.  Refuses here what
 * would let a value become another field or another response (RFC 9110 section 5.5).
 */
#include "core/res.h"
#include "core/str.h"

const struct tako__field *tako__field_find(const struct tako__field *f, unsigned count,
                                           const char *name, size_t n)
{
	for (unsigned i = 0; i < count; i++) {
		if (f[i].name_n == n && tako__str_ieq(f[i].name, name, n))
			return &f[i];
	}
	return NULL;
}

/* Beside the user's fields there is always room for ours: Content-Type, Allow, … */
enum { OWN_FIELDS_MAX = 8 };

static int check_count(uint32_t count)
{
	return count < TAKO__RES_FIELDS_MAX
	               ? 0
	               : tako__fail(TAKO_ETOOBIG, "more than %d fields", TAKO__RES_FIELDS_MAX);
}

static int grow(struct tako__arena *a, struct tako__field **list, uint32_t count, uint32_t *cap)
{
	uint32_t want = *cap ? *cap * 2 : 4;
	struct tako__field *f;

	if (count < *cap)
		return 0;
	if (count >= TAKO__RES_FIELDS_MAX + OWN_FIELDS_MAX)
		return tako__fail(TAKO_ETOOBIG, "more than %d fields", TAKO__RES_FIELDS_MAX);
	f = tako__arena_alloc(a, want * sizeof *f);
	if (!f)
		return tako__fail(TAKO_ENOMEM, "response field: out of memory");
	if (count)
		memcpy(f, *list, count * sizeof *f);
	*list = f;
	*cap = want;
	return 0;
}

int tako__exchange_add_field(struct tako__exchange *x, tako_str name, tako_str value)
{
	int rc = grow(&x->arena, &x->res_fields, x->res_field_count, &x->res_field_cap);

	if (rc < 0)
		return rc;
	x->res_fields[x->res_field_count++] = (struct tako__field){
		.name = name.p,
		.value = value.p,
		.name_n = (uint32_t)name.n,
		.value_n = (uint32_t)value.n,
	};
	return 0;
}

/* Eight bytes at once: is any of them below 0x20, or 0x7f?  Wrong only towards true. */
static bool word_suspect(const char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t w;
	uint64_t del;

	memcpy(&w, p, 8);
	del = w ^ ones * 0x7f;
	return (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & ones * 0x80;
}

bool tako__field_value_ok(tako_str v)
{
	size_t clean = 0;

	/* On the path of every answer, whose Content-Type comes through here. */
	while (v.n - clean >= 8 && !word_suspect(v.p + clean))
		clean += 8;
	for (size_t i = clean; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return v.n <= UINT32_MAX;
}

/* What the protocol writes itself: two of them would let two readers disagree. */
static bool is_framing(tako_str name)
{
	static const char *const names[] = {"Connection", "Transfer-Encoding", "Content-Length",
	                                    "Keep-Alive", "Upgrade",           "Proxy-Connection"};

	for (size_t i = 0; i < TAKO__COUNT(names); i++) {
		if (tako_str_ieq(name, tako_str_z(names[i])))
			return true;
	}
	return false;
}

/* White space around a value is none of it (RFC 9110 section 5.5); sent all the same it makes the whole
 * response malformed for HTTP/2 and 3 (RFC 9113 section 8.2.1). */
static int check_field(tako_str name, tako_str *value)
{
	*value = tako__str_trim(*value);
	if (!name.n || !tako__is_token(name.p, name.n) || name.n > 1024)
		return tako__fail(TAKO_EINVAL, "field name is not a token");
	if (!tako__field_value_ok(*value))
		return tako__fail(TAKO_EINVAL, "%.*s: control character in the value",
		                  TAKO_FMT(name));
	if (is_framing(name))
		return tako__fail(TAKO_EINVAL, "%.*s is written by the server itself",
		                  TAKO_FMT(name));
	return 0;
}

static int copy_both(struct tako__arena *a, tako_str *name, tako_str *value)
{
	char *n = tako__arena_strndup(a, name->p, name->n);
	char *v = tako__arena_strndup(a, value->p ? value->p : "", value->n);

	if (!n || !v)
		return tako__fail(TAKO_ENOMEM, "response field: out of memory");
	name->p = n;
	value->p = v;
	return 0;
}

static void note_special(struct tako__exchange *x, tako_str name)
{
	if (tako_str_ieq(name, TAKO_STR("Date")))
		x->flags |= TAKO__X_HAS_DATE;
	else if (tako_str_ieq(name, TAKO_STR("Server")))
		x->flags |= TAKO__X_HAS_SERVER;
	else if (tako_str_ieq(name, TAKO_STR("Content-Type")))
		x->flags |= TAKO__X_HAS_TYPE;
}

int tako_res_header_str(tako_res *res, tako_str name, tako_str value)
{
	struct tako__exchange *x = tako__x(res);
	int rc;

	if (x->flags & TAKO__X_HEAD_SENT)
		return tako__fail(TAKO_ESTATE, "the response head is sent already");
	rc = check_count(x->res_field_count);
	if (rc == 0)
		rc = check_field(name, &value);
	if (rc == 0)
		rc = copy_both(&x->arena, &name, &value);
	if (rc == 0)
		rc = tako__exchange_add_field(x, name, value);
	if (rc == 0)
		note_special(x, name);
	return rc;
}

int tako_res_header(tako_res *res, const char *name, const char *value)
{
	if (!name || !value)
		return tako__fail(TAKO_EINVAL, "field without a name or value");
	return tako_res_header_str(res, tako_str_z(name), tako_str_z(value));
}

static void remove_fields(struct tako__exchange *x, tako_str name)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < x->res_field_count; i++) {
		const struct tako__field *f = &x->res_fields[i];

		if (f->name_n != name.n || !tako__str_ieq(f->name, name.p, name.n))
			x->res_fields[kept++] = *f;
	}
	x->res_field_count = kept;
	if (tako_str_ieq(name, TAKO_STR("Date")))
		x->flags &= ~TAKO__X_HAS_DATE;
	else if (tako_str_ieq(name, TAKO_STR("Server")))
		x->flags &= ~TAKO__X_HAS_SERVER;
	else if (tako_str_ieq(name, TAKO_STR("Content-Type")))
		x->flags &= ~TAKO__X_HAS_TYPE;
}

/* What middleware has set -- ids, CORS, security -- stays: it is about the exchange. */
static bool is_content_field(const struct tako__field *f, int status)
{
	static const char *const names[] = {"ETag", "Last-Modified", "Cache-Control", "Expires",
	                                    "Accept-Ranges"};
	tako_str name = {f->name, f->name_n};

	/* This one tells the client of a 416 what it could have asked for. */
	if (status == 416 && tako_str_ieq(name, TAKO_STR("Content-Range")))
		return false;
	if (name.n > 8 && tako__str_ieq(name.p, "content-", 8))
		return true;
	for (size_t i = 0; i < TAKO__COUNT(names); i++) {
		if (tako_str_ieq(name, tako_str_z(names[i])))
			return true;
	}
	return false;
}

void tako__res_forget(struct tako__exchange *x, int status)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < x->res_field_count; i++) {
		if (!is_content_field(&x->res_fields[i], status))
			x->res_fields[kept++] = x->res_fields[i];
	}
	x->res_field_count = kept;
	x->res_trailer_count = 0;
	x->flags &= ~(TAKO__X_HAS_TYPE | TAKO__X_LENGTH_SET);
}

int tako_res_set_header(tako_res *res, const char *name, const char *value)
{
	struct tako__exchange *x = tako__x(res);
	tako_str n = tako_str_z(name);
	tako_str v = tako_str_z(value ? value : "");
	int rc;

	if (!name)
		return tako__fail(TAKO_EINVAL, "field without a name");
	if (x->flags & TAKO__X_HEAD_SENT)
		return tako__fail(TAKO_ESTATE, "the response head is sent already");
	/* All that can fail comes first, so that a failure leaves the old ones; where one of them
	 * goes there is room for the new one. */
	rc = check_field(n, &v);
	if (rc == 0 && value && !tako_res_get_header(res, name).p)
		rc = check_count(x->res_field_count);
	if (rc == 0 && value)
		rc = copy_both(&x->arena, &n, &v);
	if (rc < 0)
		return rc;
	remove_fields(x, n);
	if (value)
		rc = tako__exchange_add_field(x, n, v);
	if (value && rc == 0)
		note_special(x, n);
	return rc;
}

tako_str tako_res_get_header(const tako_res *res, const char *name)
{
	const struct tako__exchange *x = tako__x(res);
	const struct tako__field *f = tako__field_find(x->res_fields, x->res_field_count, name,
	                                               strlen(name));

	return f ? (tako_str){f->value, f->value_n} : (tako_str){NULL, 0};
}

/* What must never come after the body it would have changed (RFC 9110 section 6.5.1). */
static bool trailer_allowed(tako_str name)
{
	static const char *const names[] = {"Content-Type",  "Content-Encoding", "Content-Range",
	                                    "Host",          "Trailer",          "Authorization",
	                                    "Cache-Control", "Set-Cookie",       "TE"};

	for (size_t i = 0; i < TAKO__COUNT(names); i++) {
		if (tako_str_ieq(name, tako_str_z(names[i])))
			return false;
	}
	return true;
}

int tako_res_trailer_str(tako_res *res, tako_str n, tako_str v)
{
	struct tako__exchange *x = tako__x(res);
	uint32_t cap = x->res_trailer_cap;
	int rc;

	if (x->flags & TAKO__X_ENDED)
		return tako__fail(TAKO_ESTATE, "the response has ended");
	rc = check_field(n, &v);
	if (rc == 0 && !trailer_allowed(n))
		rc = tako__fail(TAKO_EINVAL, "%.*s is not allowed in trailers", TAKO_FMT(n));
	if (rc == 0)
		rc = check_count(x->res_trailer_count);
	if (rc == 0)
		rc = copy_both(&x->arena, &n, &v);
	if (rc == 0)
		rc = grow(&x->arena, &x->res_trailers, x->res_trailer_count, &cap);
	if (rc < 0)
		return rc;
	x->res_trailer_cap = cap;
	x->res_trailers[x->res_trailer_count++] = (struct tako__field){n.p, v.p, (uint32_t)n.n,
	                                                               (uint32_t)v.n};
	return 0;
}

int tako_res_trailer(tako_res *res, const char *name, const char *value)
{
	if (!name || !value)
		return tako__fail(TAKO_EINVAL, "trailer without a name or value");
	return tako_res_trailer_str(res, tako_str_z(name), tako_str_z(value));
}
