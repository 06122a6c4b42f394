/* SPDX-License-Identifier: MIT
 *
 * The certificate of --tls: the one of the command line, or one for localhost that is made at the
 * first run and kept, so that a browser has to be told only once that it is trusted.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "showcase.h"

enum { PATH_BYTES = 1024, RENEW_DAYS = 14, DAY_S = 24 * 3600 };

/* Below the user's cache, as what is lost there is made again. */
static int cache_dir(char *out)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	bool xdg = cache && cache[0] == '/';
	int n;

	if (!xdg && !(home && home[0] == '/'))
		home = "/var/tmp";
	n = snprintf(out, PATH_BYTES, "%s%s", xdg ? cache : home, xdg ? "" : "/.cache");
	if (n < 0 || n + 32 > PATH_BYTES)
		return TAKO_ETOOBIG;
	mkdir(out, 0700);
	memcpy(out + n, "/tako", sizeof "/tako");
	return mkdir(out, 0700) < 0 && errno != EEXIST ? TAKO_ESYS : 0;
}

static bool lasts(tako_cert *cert)
{
	tako_cert_info info = {.size = sizeof info};

	return tako_cert_get_info(cert, &info) == 0 &&
	       info.not_after_s > (int64_t)time(NULL) + (int64_t)RENEW_DAYS * DAY_S;
}

static int load(tako_cert **out, const char *cert_file, const char *key_file)
{
	return tako_cert_new(out, TAKO_CERT_CONFIG(.cert_file = cert_file, .key_file = key_file,
	                                           .watch_interval_ms = 5000));
}

static int load_own(tako_cert **out)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "::1", NULL};
	char dir[PATH_BYTES];
	char cert_file[PATH_BYTES + 32];
	char key_file[PATH_BYTES + 32];
	int rc = cache_dir(dir);

	if (rc < 0)
		return rc;
	snprintf(cert_file, sizeof cert_file, "%s/localhost.pem", dir);
	snprintf(key_file, sizeof key_file, "%s/localhost.key", dir);
	if (load(out, cert_file, key_file) == 0) {
		if (lasts(*out))
			return 0;
		tako_cert_free(*out);
		*out = NULL;
	}
	rc = tako_cert_self_signed(cert_file, key_file, names, 0);
	return rc < 0 ? rc : load(out, cert_file, key_file);
}

int certificate_load(tako_cert **out, const char *cert_file, const char *key_file)
{
	return cert_file ? load(out, cert_file, key_file) : load_own(out);
}
