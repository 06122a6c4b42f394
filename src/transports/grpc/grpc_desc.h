/* SPDX-License-Identifier: MIT
 *
 * Descriptor sets by name: which file has a symbol, an extension, a name.  Built once and then only
 * read; knows of descriptor.proto what names are, and no call.
 */
#ifndef TAKO_GRPC_DESC_H
#define TAKO_GRPC_DESC_H

#include "core/mem.h"

struct tako__desc_file {
	tako_str name;
	tako_str bytes; /* the FileDescriptorProto */
};

struct tako__desc_symbol {
	tako_str name; /* "package.Message.Nested", without a dot before it */
	uint32_t file;
	bool is_service;
	bool is_message;
};

struct tako__desc_extension {
	tako_str extendee;
	uint32_t number;
	uint32_t file;
};

struct tako__desc {
	struct tako__arena arena; /* of all that follows */
	struct tako__desc_file *files;
	struct tako__desc_symbol *symbols;       /* sorted by name */
	struct tako__desc_extension *extensions; /* sorted by extendee, then number */
	size_t file_count;
	size_t file_cap;
	size_t symbol_count;
	size_t symbol_cap;
	size_t extension_count;
	size_t extension_cap;
};

/* Index FileDescriptorSets, which are copied.
 *   TAKO_EINVAL  malformed, nested too deeply, or two files of one name that differ
 *   TAKO_ETOOBIG more than 65,536 of anything
 *   TAKO_ENOMEM */
int tako__desc_init(struct tako__desc *d, const tako_str *sets, size_t count);
void tako__desc_fini(struct tako__desc *d);

/* NULL: there is none. */
const struct tako__desc_file *tako__desc_file(const struct tako__desc *d, tako_str name);
const struct tako__desc_symbol *tako__desc_symbol(const struct tako__desc *d, tako_str name);
const struct tako__desc_extension *tako__desc_extension(const struct tako__desc *d,
                                                        tako_str extendee, uint32_t number);
/* The extensions of a message: the first, and how many. */
const struct tako__desc_extension *tako__desc_extensions(const struct tako__desc *d,
                                                         tako_str extendee, size_t *count);

#endif /* TAKO_GRPC_DESC_H */
