/* SPDX-License-Identifier: MIT
 *
 * Certificates as they are in memory: tako_cert is a name for whichever version is in use; a
 * version never changes once it is there, and goes when the last who uses it does.
 */
#ifndef TAKO_TLS_CERT_H
#define TAKO_TLS_CERT_H

#include <pthread.h>
#include <stdatomic.h>

#include <tako/tls.h>

#include "core/mem.h"

/* Of one file, and of what several of them together are read into. */
enum { TAKO__TLS_FILE_BYTES = 1 << 20 };

/* Bytes that own their memory. */
struct tako__tls_blob {
	char *p; /* NUL-terminated; NULL: none */
	size_t n;
};

struct tako__cert_version {
	_Atomic uint32_t refs;
	uint32_t reserved;
	uint64_t generation;
	struct tako__tls_blob chain; /* PEM or DER */
	struct tako__tls_blob key;   /* DER, no longer encrypted */
	struct tako__tls_blob ocsp;
	struct tako__tls_blob names; /* each lower case and NUL-terminated */
	int64_t not_before_s;
	int64_t not_after_s;
	unsigned char sha256[32];
};

/* Which file it was when it was loaded. */
struct tako__tls_stamp {
	uint64_t dev;
	uint64_t ino;
	int64_t size;
	int64_t mtime_ns;
};

struct tako_cert {
	_Atomic uint32_t refs;
	_Atomic uint32_t failed;     /* reloads */
	_Atomic uint64_t generation; /* of `current`: who has another one takes the lock to look */
	pthread_mutex_t lock;        /* over what follows */
	struct tako__cert_version *current;
	tako_cert_config cfg; /* its pointers are to the copies below */
	struct tako__tls_blob copies[5];
	struct tako__tls_stamp stamps[3];
	uint64_t next_look_ns;
};

/* The version in use, with a reference. */
struct tako__cert_version *tako__cert_take(struct tako_cert *cert);
void tako__cert_drop(struct tako__cert_version *v);
/* Look whether watched files have changed, if it is time for that.  Returns when to look next,
 * UINT64_MAX: never. */
uint64_t tako__cert_watch(struct tako_cert *cert, uint64_t now_ns);

/* Read a whole file.  `what` names it in the error. */
int tako__tls_read_file(struct tako__tls_blob *out, const char *path, const char *what);
/* All files of a directory that are PEM, one behind the other. */
int tako__tls_read_dir(struct tako__tls_blob *all, const char *path, const char *what);
int tako__tls_copy(struct tako__tls_blob *out, const void *p, size_t n);
/* Wiped before it is freed, as it may hold a key. */
void tako__tls_wipe(struct tako__tls_blob *b);
/* PEM, or else DER, for wolfSSL. */
int tako__tls_format(const struct tako__tls_blob *b);

#endif /* TAKO_TLS_CERT_H */
