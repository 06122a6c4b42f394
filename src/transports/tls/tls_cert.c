/* SPDX-License-Identifier: MIT
 *
 * tako_cert: a name for whichever version of a certificate is in use.  A reload puts another
 * version in its place; handshakes that have begun keep theirs.
 */
#include "transports/tls/tls_cert.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "transports/tls/tls_lib.h"
#include "transports/tls/tls_load.h"

/* ---- Versions ------------------------------------------------------------------------------ */

struct tako__cert_version *tako__cert_take(struct tako_cert *cert)
{
	struct tako__cert_version *v;

	pthread_mutex_lock(&cert->lock);
	v = cert->current;
	atomic_fetch_add(&v->refs, 1);
	pthread_mutex_unlock(&cert->lock);
	return v;
}

void tako__cert_drop(struct tako__cert_version *v)
{
	if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	tako__tls_wipe(&v->chain);
	tako__tls_wipe(&v->key);
	tako__tls_wipe(&v->ocsp);
	tako__tls_wipe(&v->names);
	tako__free(v, sizeof *v);
}

/* ---- Config ----------------------------------------------------------------------------------- */

static int import(tako_cert_config *out, const tako_cert_config *cfg)
{
	tako_cert_config c = {.size = sizeof c};
	int rc = tako__import(&c, sizeof c, cfg, sizeof(tako_cert_config), "tako_cert_config");
	bool files;

	if (rc < 0)
		return rc;
	files = c.cert_file && c.key_file;
	if ((c.cert_file != NULL) != (c.key_file != NULL) || (c.cert.n != 0) != (c.key.n != 0))
		return tako__fail(TAKO_EINVAL, "a certificate needs its key, and a key its "
		                               "certificate");
	if (files == (c.cert.n != 0))
		return tako__fail(TAKO_EINVAL, files ? "a certificate from files and from memory"
		                                     : "no certificate: neither files nor memory");
	if (c.cert.n > TAKO__TLS_FILE_BYTES || c.key.n > TAKO__TLS_FILE_BYTES)
		return tako__fail(TAKO_EINVAL, "a certificate or key of more than 1 MiB");
	if (c.watch_interval_ms && !files)
		return tako__fail(TAKO_EINVAL,
		                  "watch_interval_ms is set, but there are no files to "
		                  "watch");
	if (c.watch_interval_ms > INT32_MAX)
		return tako__fail(TAKO_EINVAL, "watch_interval_ms is %u, not in 1 to %d",
		                  c.watch_interval_ms, INT32_MAX);
	if (c.reserved)
		return tako__fail(TAKO_EINVAL, "certificate: reserved is not 0");
	*out = c;
	return 0;
}

enum { COPY_CERT_FILE, COPY_KEY_FILE, COPY_OCSP_FILE, COPY_CERT, COPY_KEY, COPIES };

_Static_assert(COPIES == TAKO__COUNT(((struct tako_cert *)0)->copies), "one for each");

static void wipe_all(struct tako__tls_blob *copies)
{
	for (unsigned i = 0; i < COPIES; i++)
		tako__tls_wipe(&copies[i]);
}

/* What has to outlive the call: where to load it from again. */
static int copy_config(tako_cert_config *c, struct tako__tls_blob *copies)
{
	const tako_str from[COPIES] = {
		tako_str_z(c->cert_file),
		tako_str_z(c->key_file),
		tako_str_z(c->ocsp_file),
		c->cert,
		c->key,
	};

	memset(copies, 0, COPIES * sizeof *copies);
	for (unsigned i = 0; i < COPIES; i++) {
		if (from[i].p && tako__tls_copy(&copies[i], from[i].p, from[i].n) < 0) {
			wipe_all(copies);
			return TAKO_ENOMEM;
		}
	}
	c->cert_file = copies[COPY_CERT_FILE].p;
	c->key_file = copies[COPY_KEY_FILE].p;
	c->ocsp_file = copies[COPY_OCSP_FILE].p;
	c->cert = (tako_str){copies[COPY_CERT].p, copies[COPY_CERT].n};
	c->key = (tako_str){copies[COPY_KEY].p, copies[COPY_KEY].n};
	return 0;
}

/* ---- Files that may change ---------------------------------------------------------------------- */

static struct tako__tls_stamp stamp_of(const char *path)
{
	struct tako__tls_stamp s = {0};
	struct stat st;

	if (path && stat(path, &st) == 0) {
		s.dev = st.st_dev;
		s.ino = st.st_ino;
		s.size = st.st_size;
		s.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	}
	return s;
}

static void stamp_all(const tako_cert_config *c, struct tako__tls_stamp *out)
{
	out[0] = stamp_of(c->cert_file);
	out[1] = stamp_of(c->key_file);
	out[2] = stamp_of(c->ocsp_file);
}

uint64_t tako__cert_watch(struct tako_cert *cert, uint64_t now_ns)
{
	struct tako__tls_stamp now[TAKO__COUNT(cert->stamps)];
	uint64_t next = UINT64_MAX;
	bool changed = false;

	pthread_mutex_lock(&cert->lock);
	if (cert->cfg.watch_interval_ms) {
		if (now_ns >= cert->next_look_ns) {
			cert->next_look_ns = now_ns +
			                     (uint64_t)cert->cfg.watch_interval_ms * 1000000;
			stamp_all(&cert->cfg, now);
			changed = memcmp(now, cert->stamps, sizeof now) != 0;
		}
		next = cert->next_look_ns;
	}
	pthread_mutex_unlock(&cert->lock);
	/* One that cannot be loaded is counted, and tried again at the next look: its key may just
	 * not have been written yet. */
	if (changed && tako_cert_reload(cert, NULL) < 0)
		tako__clear_error();
	return next;
}

/* ---- The public face --------------------------------------------------------------------------------- */

static int load(struct tako_cert *cert, tako_cert_config *c)
{
	struct tako__tls_blob copies[COPIES];
	struct tako__tls_stamp stamps[TAKO__COUNT(cert->stamps)];
	struct tako__cert_version *v = NULL;
	struct tako__cert_version *old;
	int rc = copy_config(c, copies);

	if (rc < 0)
		return rc;
	/* Taken before the files are read: a change in between is then seen as one. */
	stamp_all(c, stamps);
	rc = tako__cert_load(&v, c);
	if (rc < 0) {
		wipe_all(copies);
		return rc;
	}
	pthread_mutex_lock(&cert->lock);
	old = cert->current;
	v->generation = old ? old->generation + 1 : 1;
	cert->current = v;
	wipe_all(cert->copies);
	memcpy(cert->copies, copies, sizeof copies);
	memcpy(cert->stamps, stamps, sizeof stamps);
	cert->cfg = *c;
	atomic_store(&cert->failed, 0);
	atomic_store(&cert->generation, v->generation);
	pthread_mutex_unlock(&cert->lock);
	tako__cert_drop(old);
	return 0;
}

static void destroy(struct tako_cert *cert)
{
	tako__cert_drop(cert->current);
	wipe_all(cert->copies);
	pthread_mutex_destroy(&cert->lock);
	tako__free(cert, sizeof *cert);
	tako__tls_lib_leave();
}

int tako_cert_new(tako_cert **out, const tako_cert_config *cfg)
{
	struct tako_cert *cert;
	tako_cert_config c;
	int rc;

	if (!out || !cfg)
		return tako__fail(TAKO_EINVAL, "tako_cert_new: no config, or nowhere to put it");
	rc = import(&c, cfg);
	if (rc == 0)
		rc = tako__tls_lib_enter();
	if (rc < 0)
		return rc;
	cert = tako__zalloc(sizeof *cert);
	if (!cert) {
		tako__tls_lib_leave();
		return tako__fail(TAKO_ENOMEM, "certificate: out of memory");
	}
	atomic_init(&cert->refs, 1);
	pthread_mutex_init(&cert->lock, NULL);
	rc = load(cert, &c);
	if (rc < 0)
		destroy(cert);
	else
		*out = cert;
	return rc;
}

/* The present config, whose copies another reload may replace at any time. */
static int present_config(struct tako_cert *cert, tako_cert_config *c,
                          struct tako__tls_blob *copies)
{
	int rc;

	pthread_mutex_lock(&cert->lock);
	*c = cert->cfg;
	rc = copy_config(c, copies);
	pthread_mutex_unlock(&cert->lock);
	return rc;
}

int tako_cert_reload(tako_cert *cert, const tako_cert_config *cfg)
{
	struct tako__tls_blob copies[COPIES] = {{NULL, 0}};
	tako_cert_config c;
	int rc;

	if (!cert)
		return tako__fail(TAKO_EINVAL, "tako_cert_reload: no certificate");
	rc = cfg ? import(&c, cfg) : present_config(cert, &c, copies);
	if (rc == 0)
		rc = load(cert, &c);
	wipe_all(copies);
	if (rc < 0)
		atomic_fetch_add(&cert->failed, 1);
	return rc;
}

tako_cert *tako_cert_ref(tako_cert *cert)
{
	if (cert)
		atomic_fetch_add(&cert->refs, 1);
	return cert;
}

void tako_cert_free(tako_cert *cert)
{
	if (cert && atomic_fetch_sub(&cert->refs, 1) == 1)
		destroy(cert);
}

int tako_cert_get_info(tako_cert *cert, tako_cert_info *out)
{
	tako_cert_info info = {.size = sizeof info};
	struct tako__cert_version *v;

	if (!cert || !out || out->size < sizeof(size_t) || out->size > sizeof info)
		return tako__fail(TAKO_EINVAL, "tako_cert_info: size is not set");
	v = tako__cert_take(cert);
	info.not_before_s = v->not_before_s;
	info.not_after_s = v->not_after_s;
	info.generation = v->generation;
	info.failed_reloads = atomic_load(&cert->failed);
	memcpy(info.sha256, v->sha256, sizeof info.sha256);
	tako__cert_drop(v);
	info.size = out->size;
	memcpy(out, &info, out->size);
	return 0;
}
