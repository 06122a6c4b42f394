/* SPDX-License-Identifier: MIT
 *
 * See grpc_desc.h; google/protobuf/descriptor.proto for the numbers.
 */
#include "transports/grpc/grpc_desc.h"

#include <stdlib.h>

#include "core/base.h"
#include "transports/grpc/grpc_pb.h"

enum {
	COUNT_MAX = 65536,
	DEPTH_MAX = 32,
	/* FileDescriptorSet */
	SET_FILE = 1,
	/* FileDescriptorProto */
	FILE_NAME = 1,
	FILE_PACKAGE = 2,
	FILE_MESSAGE = 4,
	FILE_ENUM = 5,
	FILE_SERVICE = 6,
	FILE_EXTENSION = 7,
	/* DescriptorProto, EnumDescriptorProto, ServiceDescriptorProto and what is in them */
	NAME = 1,
	MESSAGE_NESTED = 3,
	MESSAGE_ENUM = 4,
	MESSAGE_EXTENSION = 6,
	SERVICE_METHOD = 2,
	FIELD_EXTENDEE = 2,
	FIELD_NUMBER = 3,
};

/* ---- Tables ------------------------------------------------------------------------------------ */

/* Room for one more in an array of the arena. */
static int grow(struct tako__arena *a, void **array, size_t each, size_t count, size_t *cap)
{
	size_t want = *cap ? *cap * 2 : 16;
	void *p;

	if (count < *cap)
		return 0;
	if (count >= COUNT_MAX)
		return tako__fail(TAKO_ETOOBIG, "descriptors: more than %d", COUNT_MAX);
	p = tako__arena_alloc(a, want * each);
	if (!p)
		return TAKO_ENOMEM;
	if (count)
		memcpy(p, *array, count * each);
	*array = p;
	*cap = want;
	return 0;
}

#define GROW(d, what)                                                                              \
	grow(&(d)->arena, (void **)&(d)->what##s, sizeof *(d)->what##s, (d)->what##_count,         \
	     &(d)->what##_cap)

static int add_symbol(struct tako__desc *d, tako_str name, bool is_service, bool is_message)
{
	int rc = GROW(d, symbol);

	if (rc == 0)
		d->symbols[d->symbol_count++] = (struct tako__desc_symbol){
			.name = name,
			.file = (uint32_t)(d->file_count - 1),
			.is_service = is_service,
			.is_message = is_message,
		};
	return rc;
}

/* "scope.name", or "name" */
static int join(struct tako__desc *d, tako_str scope, tako_str name, tako_str *ret)
{
	size_t n = scope.n ? scope.n + 1 + name.n : name.n;
	char *to = tako__arena_alloc(&d->arena, n);

	if (!to)
		return TAKO_ENOMEM;
	*ret = (tako_str){to, n};
	if (scope.n) {
		memcpy(to, scope.p, scope.n);
		to += scope.n;
		*to++ = '.';
	}
	if (name.n)
		memcpy(to, name.p, name.n);
	return 0;
}

/* ---- What is in a file ---------------------------------------------------------------------------- */

static int malformed(void)
{
	return tako__fail(TAKO_EINVAL, "descriptors: not a FileDescriptorSet");
}

/* The last field of that number, as protobuf has it. */
static int find(tako_str msg, uint32_t number, enum tako__pb_type type, struct tako__pb_field *ret)
{
	struct tako__pb_field f;
	int rc;

	*ret = (struct tako__pb_field){.bytes = {"", 0}};
	while ((rc = tako__pb_next(&msg, &f)) > 0) {
		if (f.number == number && f.type == type)
			*ret = f;
	}
	return rc < 0 ? malformed() : 0;
}

static int named(struct tako__desc *d, tako_str scope, tako_str msg, tako_str *ret)
{
	struct tako__pb_field name;
	int rc = find(msg, NAME, TAKO__PB_BYTES, &name);

	return rc < 0 ? rc : join(d, scope, name.bytes, ret);
}

static int add_leaf(struct tako__desc *d, tako_str scope, tako_str msg)
{
	tako_str name;
	int rc = named(d, scope, msg, &name);

	return rc < 0 ? rc : add_symbol(d, name, false, false);
}

static int add_extension(struct tako__desc *d, tako_str scope, tako_str msg)
{
	struct tako__pb_field extendee;
	struct tako__pb_field number;
	int rc = find(msg, FIELD_EXTENDEE, TAKO__PB_BYTES, &extendee);

	if (rc == 0)
		rc = find(msg, FIELD_NUMBER, TAKO__PB_VARINT, &number);
	if (rc == 0)
		rc = GROW(d, extension);
	if (rc < 0)
		return rc;
	/* Whole names begin with a dot there. */
	if (extendee.bytes.n && extendee.bytes.p[0] == '.') {
		extendee.bytes.p++;
		extendee.bytes.n--;
	}
	d->extensions[d->extension_count++] = (struct tako__desc_extension){
		.extendee = extendee.bytes,
		.number = (uint32_t)number.value,
		.file = (uint32_t)(d->file_count - 1),
	};
	return add_leaf(d, scope, msg);
}

static int add_service(struct tako__desc *d, tako_str scope, tako_str msg)
{
	struct tako__pb_field f;
	tako_str name;
	int rc = named(d, scope, msg, &name);

	if (rc == 0)
		rc = add_symbol(d, name, true, false);
	while (rc == 0 && tako__pb_next(&msg, &f) > 0) {
		if (f.number == SERVICE_METHOD && f.type == TAKO__PB_BYTES)
			rc = add_leaf(d, name, f.bytes);
	}
	return rc;
}

/* Recursion is as deep as DEPTH_MAX. */
static int add_message(struct tako__desc *d, tako_str scope, tako_str msg, unsigned depth)
{
	struct tako__pb_field f;
	tako_str name;
	int rc = depth < DEPTH_MAX ? named(d, scope, msg, &name)
	                           : tako__fail(TAKO_EINVAL, "descriptors: nested too deeply");

	if (rc == 0)
		rc = add_symbol(d, name, false, true);
	while (rc == 0 && tako__pb_next(&msg, &f) > 0) {
		if (f.type != TAKO__PB_BYTES)
			continue;
		if (f.number == MESSAGE_NESTED)
			rc = add_message(d, name, f.bytes, depth + 1);
		else if (f.number == MESSAGE_ENUM)
			rc = add_leaf(d, name, f.bytes);
		else if (f.number == MESSAGE_EXTENSION)
			rc = add_extension(d, name, f.bytes);
	}
	return rc;
}

static int add_part(struct tako__desc *d, tako_str package, const struct tako__pb_field *f)
{
	if (f->type != TAKO__PB_BYTES)
		return 0;
	switch (f->number) {
	case FILE_MESSAGE:
		return add_message(d, package, f->bytes, 0);
	case FILE_ENUM:
		return add_leaf(d, package, f->bytes);
	case FILE_SERVICE:
		return add_service(d, package, f->bytes);
	case FILE_EXTENSION:
		return add_extension(d, package, f->bytes);
	default:
		return 0;
	}
}

static int add_file(struct tako__desc *d, tako_str bytes)
{
	struct tako__pb_field name;
	struct tako__pb_field package;
	struct tako__pb_field f;
	const struct tako__desc_file *old;
	int rc = find(bytes, FILE_NAME, TAKO__PB_BYTES, &name);

	if (rc == 0)
		rc = find(bytes, FILE_PACKAGE, TAKO__PB_BYTES, &package);
	if (rc < 0)
		return rc;
	old = tako__desc_file(d, name.bytes);
	if (old && tako_str_eq(old->bytes, bytes))
		return 0;
	if (old)
		return tako__fail(TAKO_EINVAL, "descriptors: two files %.*s", TAKO_FMT(name.bytes));
	rc = GROW(d, file);
	if (rc < 0)
		return rc;
	d->files[d->file_count++] = (struct tako__desc_file){name.bytes, bytes};
	while (rc == 0 && tako__pb_next(&bytes, &f) > 0)
		rc = add_part(d, package.bytes, &f);
	return rc;
}

static int add_set(struct tako__desc *d, tako_str set)
{
	char *own = tako__arena_alloc(&d->arena, set.n);
	struct tako__pb_field f;
	int rc = 0;
	int more;

	if (!own)
		return TAKO_ENOMEM;
	if (set.n)
		memcpy(own, set.p, set.n);
	set.p = own;
	while (rc == 0 && (more = tako__pb_next(&set, &f)) != 0) {
		if (more < 0)
			return malformed();
		if (f.number == SET_FILE && f.type == TAKO__PB_BYTES)
			rc = add_file(d, f.bytes);
	}
	return rc;
}

/* ---- The index --------------------------------------------------------------------------------------- */

static int compare(tako_str a, tako_str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_name(const void *a, const void *b)
{
	return compare(((const struct tako__desc_symbol *)a)->name,
	               ((const struct tako__desc_symbol *)b)->name);
}

static int by_extendee(const void *a, const void *b)
{
	const struct tako__desc_extension *x = a;
	const struct tako__desc_extension *y = b;
	int c = compare(x->extendee, y->extendee);

	return c ? c : (x->number > y->number) - (x->number < y->number);
}

int tako__desc_init(struct tako__desc *d, const tako_str *sets, size_t count)
{
	int rc = 0;

	memset(d, 0, sizeof *d);
	tako__arena_init(&d->arena, NULL, 0);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add_set(d, sets[i]);
	if (rc < 0) {
		tako__desc_fini(d);
		return rc;
	}
	if (d->symbol_count)
		qsort(d->symbols, d->symbol_count, sizeof *d->symbols, by_name);
	if (d->extension_count)
		qsort(d->extensions, d->extension_count, sizeof *d->extensions, by_extendee);
	return 0;
}

void tako__desc_fini(struct tako__desc *d)
{
	tako__arena_fini(&d->arena);
}

const struct tako__desc_file *tako__desc_file(const struct tako__desc *d, tako_str name)
{
	for (size_t i = 0; i < d->file_count; i++) {
		if (compare(d->files[i].name, name) == 0)
			return &d->files[i];
	}
	return NULL;
}

const struct tako__desc_symbol *tako__desc_symbol(const struct tako__desc *d, tako_str name)
{
	struct tako__desc_symbol key = {.name = name};

	return d->symbol_count ? bsearch(&key, d->symbols, d->symbol_count, sizeof key, by_name)
	                       : NULL;
}

const struct tako__desc_extension *tako__desc_extension(const struct tako__desc *d,
                                                        tako_str extendee, uint32_t number)
{
	struct tako__desc_extension key = {.extendee = extendee, .number = number};

	return d->extension_count
	               ? bsearch(&key, d->extensions, d->extension_count, sizeof key, by_extendee)
	               : NULL;
}

const struct tako__desc_extension *tako__desc_extensions(const struct tako__desc *d,
                                                         tako_str extendee, size_t *count)
{
	size_t from = 0;
	size_t to;

	while (from < d->extension_count && compare(d->extensions[from].extendee, extendee) != 0)
		from++;
	for (to = from; to < d->extension_count; to++) {
		if (compare(d->extensions[to].extendee, extendee) != 0)
			break;
	}
	*count = to - from;
	return *count ? d->extensions + from : NULL;
}
