/* SPDX-License-Identifier: MIT
 *
 * Bytes with an owner, and files read into them.  What they held is wiped when they go.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transports/tls/tls_cert.h"
#include "transports/tls/tls_lib.h"

int tako__tls_copy(struct tako__tls_blob *out, const void *p, size_t n)
{
	char *to = tako__strndup(p, n);

	if (!to)
		return tako__fail(TAKO_ENOMEM, "certificate: out of memory");
	*out = (struct tako__tls_blob){to, n};
	return 0;
}

void tako__tls_wipe(struct tako__tls_blob *b)
{
	if (b->p) {
		explicit_bzero(b->p, b->n);
		tako__free(b->p, b->n + 1);
	}
	*b = (struct tako__tls_blob){NULL, 0};
}

static int read_all(char *to, size_t n, int fd)
{
	size_t got = 0;

	while (got < n) {
		ssize_t step = read(fd, to + got, n - got);

		if (step < 0 && errno == EINTR)
			continue;
		if (step < 0)
			return -1;
		/* Being rewritten just now: what is there is not the whole. */
		if (step == 0) {
			errno = EAGAIN;
			return -1;
		}
		got += (size_t)step;
	}
	return 0;
}

static int read_open(struct tako__tls_blob *out, int fd, const char *path, const char *what)
{
	struct stat st;
	size_t n;

	if (fstat(fd, &st) < 0)
		return tako__fail_errno("%s %.200s", what, path);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > TAKO__TLS_FILE_BYTES)
		return tako__fail(TAKO_ETLS, "%s %.200s: not a file of 1 byte to 1 MiB", what,
		                  path);
	n = (size_t)st.st_size;
	out->p = tako__alloc(n + 1);
	if (!out->p)
		return tako__fail(TAKO_ENOMEM, "%s: out of memory", what);
	out->n = n;
	out->p[n] = '\0';
	if (read_all(out->p, n, fd) < 0) {
		tako__tls_wipe(out);
		return tako__fail_errno("%s %.200s", what, path);
	}
	return 0;
}

int tako__tls_read_file(struct tako__tls_blob *out, const char *path, const char *what)
{
	/* Not to be held up by what turns out to be a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc;

	if (fd < 0)
		return tako__fail_errno("%s %.200s", what, path);
	rc = read_open(out, fd, path, what);
	close(fd);
	return rc;
}

int tako__tls_format(const struct tako__tls_blob *b)
{
	static const char mark[] = "-----BEGIN";

	return b->n && memmem(b->p, b->n, mark, sizeof mark - 1) ? WOLFSSL_FILETYPE_PEM
	                                                         : WOLFSSL_FILETYPE_ASN1;
}

/* ---- Directories ---- */

/* Files that follow each other in one blob, as PEM may. */
static int append(struct tako__tls_blob *all, const struct tako__tls_blob *more, const char *what)
{
	struct tako__tls_blob joined = {NULL, all->n + more->n + 1};

	if (joined.n > TAKO__TLS_FILE_BYTES)
		return tako__fail(TAKO_ETLS, "%s: more than 1 MiB of certificates", what);
	joined.p = tako__alloc(joined.n + 1);
	if (!joined.p)
		return tako__fail(TAKO_ENOMEM, "%s: out of memory", what);
	if (all->n)
		memcpy(joined.p, all->p, all->n);
	memcpy(joined.p + all->n, more->p, more->n);
	memcpy(joined.p + all->n + more->n, "\n", 2);
	tako__tls_wipe(all);
	*all = joined;
	return 0;
}

static int read_entry(struct tako__tls_blob *all, const char *dir, const char *name,
                      const char *what)
{
	struct tako__tls_blob one = {NULL, 0};
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/%s", dir, name);
	int rc = n < 0 || n >= (int)sizeof path
	                 ? tako__fail(TAKO_EINVAL, "%s: a path that is too long", what)
	                 : tako__tls_read_file(&one, path, what);

	if (rc == 0 && tako__tls_format(&one) == WOLFSSL_FILETYPE_PEM)
		rc = append(all, &one, what);
	tako__tls_wipe(&one);
	return rc;
}

int tako__tls_read_dir(struct tako__tls_blob *all, const char *path, const char *what)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return tako__fail_errno("%s %.200s", what, path);
	while (rc == 0 && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			rc = read_entry(all, path, e->d_name, what);
	}
	closedir(d);
	if (rc == 0 && !all->n)
		rc = tako__fail(TAKO_ETLS, "%s %.200s: no certificate in it", what, path);
	return rc;
}
