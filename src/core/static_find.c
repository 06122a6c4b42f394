/* SPDX-License-Identifier: MIT
 *
 * Which file answers a path: the file itself, a directory's index, the fallback; and whether
 * one of its coded siblings does instead (RFC 9110 section 12.5.3).
 */
#include <errno.h>
#include <unistd.h>

#include "core/static.h"
#include "core/value.h"

/* A sibling this much older than its file was made from something else.  Some slack, as archives
 * and checkouts do not write the two in order. */
enum { STALE_S = 2 };

struct path {
	size_t n;
	char text[TAKO__STATIC_PATH_BYTES]; /* NUL-terminated */
};

static bool append(struct path *p, tako_str s)
{
	if (s.n >= sizeof(p->text) - p->n)
		return false;
	memcpy(p->text + p->n, s.p, s.n);
	p->n += s.n;
	p->text[p->n] = '\0';
	return true;
}

/* ---- The file ----------------------------------------------------------------------- */

/* 0 or a negative errno; EISDIR for a directory. */
static int open_regular(struct tako__static *s, const struct path *p, struct tako__static_file *f)
{
	f->fd = tako__static_open(&s->dir, p->text, &f->st);
	if (f->fd < 0)
		return f->fd;
	if (S_ISREG(f->st.st_mode))
		return 0;
	close(f->fd);
	return S_ISDIR(f->st.st_mode) ? -EISDIR : -ENXIO;
}

/* The index of the directory p, which ends with a slash or is empty. */
static int open_index(struct tako__static *s, struct path *p, struct tako__static_file *f)
{
	int rc;

	if (!s->index.n)
		return -ENOENT;
	if (!append(p, s->index))
		return -ENAMETOOLONG;
	rc = open_regular(s, p, f);
	return rc == -EISDIR ? -ENOENT : rc;
}

/* EISDIR: a directory that has an index, asked for without its slash. */
static int open_path(struct tako__static *s, struct path *p, struct tako__static_file *f)
{
	int rc;

	if (!p->n || p->text[p->n - 1] == '/')
		return open_index(s, p, f);
	rc = open_regular(s, p, f);
	if (rc != -EISDIR)
		return rc;
	rc = append(p, TAKO_STR("/")) ? open_index(s, p, f) : -ENAMETOOLONG;
	if (rc == 0) {
		close(f->fd);
		rc = -EISDIR;
	}
	return rc;
}

static int open_fallback(struct tako__static *s, struct path *p, struct tako__static_file *f)
{
	p->n = 0;
	return append(p, s->fallback) ? open_regular(s, p, f) : -ENAMETOOLONG;
}

/* ---- Codings ------------------------------------------------------------------------- */

struct coding {
	tako_str token;
	tako_str suffix;
	int quality;
};

/* Open the sibling of p with this suffix in place of f; false if there is none of use. */
static bool take_sibling(struct tako__static *s, struct path *p, const struct coding *c,
                         struct tako__static_file *f)
{
	struct tako__static_file sibling;
	size_t n = p->n;
	bool ok = append(p, c->suffix) && open_regular(s, p, &sibling) == 0;

	p->n = n;
	if (!ok)
		return false;
	if (sibling.st.st_mtim.tv_sec + STALE_S < f->st.st_mtim.tv_sec) {
		close(sibling.fd);
		return false;
	}
	close(f->fd);
	f->fd = sibling.fd;
	f->st = sibling.st;
	f->encoding = c->token;
	return true;
}

/* 0, or 406. */
static int negotiate(struct tako__static *s, struct path *p, tako_str accept,
                     struct tako__static_file *f)
{
	struct coding codings[] = {{TAKO_STR("br"), TAKO_STR(".br"), 0},
	                           {TAKO_STR("gzip"), TAKO_STR(".gz"), 0}};
	int identity;

	f->negotiated = true;
	if (!accept.p)
		return 0;
	for (size_t i = 0; i < TAKO__COUNT(codings); i++)
		codings[i].quality = tako__list_quality(accept, codings[i].token);
	/* Not listed, it is still acceptable, but after all that are. */
	identity = tako__list_quality(accept, TAKO_STR("identity"));
	if (codings[1].quality > codings[0].quality) {
		struct coding first = codings[1];

		codings[1] = codings[0];
		codings[0] = first;
	}
	for (size_t i = 0; i < TAKO__COUNT(codings); i++) {
		const struct coding *c = &codings[i];

		if (c->quality > 0 && c->quality >= identity && take_sibling(s, p, c, f))
			return 0;
	}
	return identity == 0 ? 406 : 0;
}

/* ---- Both ------------------------------------------------------------------------------ */

static int status_of(int err)
{
	switch (err) {
	case 0:
		return 0;
	case EISDIR:
		return 308;
	case EACCES:
	case EPERM:
		return 403;
	case EAGAIN:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return 503;
	case EIO:
	case EFAULT:
	case EINTR:
		return 500;
	default:
		/* No such name, a loop, a way out, a name the file system cannot have, a socket … */
		return 404;
	}
}

int tako__static_find(struct tako__static *s, tako_str rest, tako_str accept_encoding,
                      struct tako__static_file *f)
{
	struct path p;
	int rc;

	p.n = 0;
	if (!tako__static_path_ok(rest, s->dotfiles) || !append(&p, rest))
		return 404;
	rc = open_path(s, &p, f);
	if ((rc == -ENOENT || rc == -ENOTDIR) && s->fallback.p)
		rc = open_fallback(s, &p, f);
	if (rc < 0)
		return status_of(-rc);
	f->mime = tako__mime_find((tako_str){p.text, p.n});
	f->encoding = (tako_str){NULL, 0};
	f->negotiated = false;
	if (s->precompressed && !f->mime->packed)
		rc = negotiate(s, &p, accept_encoding, f);
	if (rc)
		close(f->fd);
	return rc;
}
