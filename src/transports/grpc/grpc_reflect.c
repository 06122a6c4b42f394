/* SPDX-License-Identifier: MIT
 *
 * grpc.reflection.v1, and v1alpha, which is the same under another name: questions about descriptors,
 * answered from those that the user registered.
 */
#include "core/router_build.h"
#include "transports/grpc/grpc_desc.h"
#include "transports/grpc/grpc_int.h"
#include "transports/grpc/grpc_pb.h"

enum {
	QUESTION_BYTES_MAX = 4096,
	/* ServerReflectionRequest */
	ASK_HOST = 1,
	ASK_FILE = 3,
	ASK_SYMBOL = 4,
	ASK_EXTENSION = 5,
	ASK_EXTENSIONS_OF = 6,
	ASK_SERVICES = 7,
	EXTENSION_TYPE = 1,
	EXTENSION_NUMBER = 2,
	/* ServerReflectionResponse */
	TELL_HOST = 1,
	TELL_QUESTION = 2,
	TELL_FILES = 4,
	TELL_EXTENSIONS = 5,
	TELL_SERVICES = 6,
	TELL_ERROR = 7,
};

struct reflection {
	struct tako__desc desc;
};

/* ---- Answers ----------------------------------------------------------------------------------- */

static void tell_error(struct tako__pb_out *o, int status, const char *text)
{
	size_t at = tako__pb_open(o, TELL_ERROR);

	tako__pb_varint(o, 1, (uint64_t)status);
	tako__pb_bytes(o, 2, tako_str_z(text));
	tako__pb_close(o, at);
}

static void tell_file(struct tako__pb_out *o, const struct tako__desc_file *file,
                      const char *otherwise)
{
	size_t at;

	if (!file) {
		tell_error(o, TAKO_GRPC_NOT_FOUND, otherwise);
		return;
	}
	at = tako__pb_open(o, TELL_FILES);
	tako__pb_bytes(o, 1, file->bytes);
	tako__pb_close(o, at);
}

static void tell_symbol(struct tako__pb_out *o, const struct tako__desc *d, tako_str name)
{
	const struct tako__desc_symbol *s = tako__desc_symbol(d, name);

	tell_file(o, s ? &d->files[s->file] : NULL, "no such symbol");
}

static void tell_extension(struct tako__pb_out *o, const struct tako__desc *d, tako_str msg)
{
	const struct tako__desc_extension *e;
	tako_str type = {"", 0};
	uint64_t number = 0;
	struct tako__pb_field f;
	int rc;

	while ((rc = tako__pb_next(&msg, &f)) > 0) {
		if (f.number == EXTENSION_TYPE && f.type == TAKO__PB_BYTES)
			type = f.bytes;
		else if (f.number == EXTENSION_NUMBER && f.type == TAKO__PB_VARINT)
			number = f.value;
	}
	e = rc == 0 && number <= UINT32_MAX ? tako__desc_extension(d, type, (uint32_t)number)
	                                    : NULL;
	tell_file(o, e ? &d->files[e->file] : NULL, "no such extension");
}

static void tell_extensions_of(struct tako__pb_out *o, const struct tako__desc *d, tako_str type)
{
	const struct tako__desc_symbol *s = tako__desc_symbol(d, type);
	const struct tako__desc_extension *e;
	size_t count;
	size_t at;

	if (!s || !s->is_message) {
		tell_error(o, TAKO_GRPC_NOT_FOUND, "no such message");
		return;
	}
	e = tako__desc_extensions(d, type, &count);
	at = tako__pb_open(o, TELL_EXTENSIONS);
	tako__pb_bytes(o, 1, type);
	for (size_t i = 0; i < count; i++)
		tako__pb_varint(o, 2, e[i].number);
	tako__pb_close(o, at);
}

static void tell_services(struct tako__pb_out *o, const struct tako__desc *d)
{
	size_t at = tako__pb_open(o, TELL_SERVICES);

	for (size_t i = 0; i < d->symbol_count; i++) {
		size_t service;

		if (!d->symbols[i].is_service)
			continue;
		service = tako__pb_open(o, 1);
		tako__pb_bytes(o, 1, d->symbols[i].name);
		tako__pb_close(o, service);
	}
	tako__pb_close(o, at);
}

static void answer(struct tako__pb_out *o, const struct tako__desc *d,
                   const struct tako__pb_field *f)
{
	switch (f->number) {
	case ASK_FILE:
		tell_file(o, tako__desc_file(d, f->bytes), "no such file");
		break;
	case ASK_SYMBOL:
		tell_symbol(o, d, f->bytes);
		break;
	case ASK_EXTENSION:
		tell_extension(o, d, f->bytes);
		break;
	case ASK_EXTENSIONS_OF:
		tell_extensions_of(o, d, f->bytes);
		break;
	case ASK_SERVICES:
		tell_services(o, d);
		break;
	default:
		tell_error(o, TAKO_GRPC_INVALID_ARGUMENT, "no question");
		break;
	}
}

/* ---- Questions ----------------------------------------------------------------------------------- */

/* Fields of later versions are nobody's. */
static bool is_question(const struct tako__pb_field *f)
{
	return f->type == TAKO__PB_BYTES && f->number >= ASK_FILE && f->number <= ASK_SERVICES;
}

static int on_question(tako_grpc *call, tako_str msg, void *arg)
{
	const struct reflection *r = arg;
	struct tako__pb_field question = {.bytes = {"", 0}};
	struct tako__pb_field f;
	struct tako__pb_out o = {.p = NULL};
	tako_str rest = msg;
	int64_t rc;

	while ((rc = tako__pb_next(&rest, &f)) > 0) {
		if (f.number == ASK_HOST && f.type == TAKO__PB_BYTES)
			tako__pb_bytes(&o, TELL_HOST, f.bytes);
		else if (is_question(&f)) /* of a oneof the last counts */
			question = f;
	}
	if (rc == 0) {
		tako__pb_bytes(&o, TELL_QUESTION, msg);
		answer(&o, &r->desc, &question);
		rc = o.failed ? TAKO_ENOMEM : tako_grpc_send(call, (tako_str){o.p, o.n});
	}
	tako__pb_fini(&o);
	/* What cannot be parsed is INTERNAL (statuscodes.md), as TAKO_EPROTO is. */
	return rc < 0 ? (int)rc : 0;
}

static void reflection_free(void *arg)
{
	struct reflection *r = arg;

	tako__desc_fini(&r->desc);
	tako__free(r, sizeof *r);
}

void tako_grpc_reflection(tako_router *router, const tako_str *sets, size_t count)
{
	static const char *const paths[] = {
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	};
	struct reflection *r;
	int rc;

	if (!tako__router_open(router))
		return;
	r = tako__zalloc(sizeof *r);
	rc = r ? tako__desc_init(&r->desc, sets, count) : TAKO_ENOMEM;
	if (rc < 0) {
		tako__free(r, sizeof *r);
		tako__router_stick(router, rc);
		return;
	}
	if (tako__router_own(router, reflection_free, r) < 0) {
		reflection_free(r);
		return;
	}
	for (size_t i = 0; i < TAKO__COUNT(paths); i++)
		tako_grpc_method(router, paths[i], TAKO_GRPC_BIDI,
		                 TAKO_GRPC_CONFIG(.on_message = on_question,
		                                  .max_receive_bytes = QUESTION_BYTES_MAX),
		                 r);
}
