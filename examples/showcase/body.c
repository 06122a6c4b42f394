/* SPDX-License-Identifier: MIT
 *
 * Request bodies as they stream in: sent back, hashed, or counted.  None of these keeps a body in
 * memory, so none needs a limit on its length.
 */
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

#include "showcase.h"

/* ---- /echo ------------------------------------------------------------------ */

static void copy_trailers(tako_req *req, tako_res *res)
{
	tako_str name;
	tako_str value;

	for (size_t i = 0; tako_req_trailer_at(req, i, &name, &value); i++)
		tako_res_trailer_str(res, name, value);
}

/* Back-pressure needs no code: while too much of the answer is unsent, tako reads no more. */
static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t queued = data.n ? tako_res_write(res, data, NULL, NULL) : 0;

	(void)arg;
	if (queued < 0)
		return (int)queued;
	if (!end)
		return 0;
	copy_trailers(req, res);
	return tako_res_end(res);
}

static int copy_field(tako_req *req, tako_res *res, const char *name)
{
	tako_str value = tako_req_header_all(req, name);

	return value.p ? tako_res_header_str(res, tako_str_z(name), value) : 0;
}

int echo(tako_req *req, tako_res *res, void *arg)
{
	uint64_t length = tako_req_content_length(req);
	int rc = copy_field(req, res, "Content-Type");

	(void)arg;
	if (rc == 0)
		rc = copy_field(req, res, "Trailer");
	if (rc == 0 && length != TAKO_OFF64)
		rc = tako_res_length(res, length);
	return rc ? rc : tako_req_on_body(req, echo_body, NULL);
}

/* ---- /upload ---------------------------------------------------------------- */

struct hashing {
	struct sha256_ctx sha;
	uint64_t bytes;
};

static int upload_done(tako_res *res, struct hashing *h)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	char hex[2 * SHA256_DIGEST_SIZE + 1];
	char json[160];
	int n;

	sha256_digest(&h->sha, sizeof digest, digest);
	for (size_t i = 0; i < sizeof digest; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	n = snprintf(json, sizeof json, "{\"bytes\":%" PRIu64 ",\"sha256\":\"%s\"}", h->bytes, hex);
	return tako_res_send(res, 200, "application/json", (tako_str){json, (size_t)n});
}

static int upload_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	struct hashing *h = arg;

	(void)req;
	sha256_update(&h->sha, data.n, (const uint8_t *)data.p);
	h->bytes += data.n;
	return end ? upload_done(res, h) : 0;
}

int upload(tako_req *req, tako_res *res, void *arg)
{
	struct hashing *h = tako_req_alloc(req, sizeof *h);

	(void)res, (void)arg;
	if (!h)
		return TAKO_ENOMEM;
	sha256_init(&h->sha);
	return tako_req_on_body(req, upload_body, h);
}

/* ---- /count ----------------------------------------------------------------- */

static int count_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	uint64_t *total = arg;

	(void)req;
	*total += data.n;
	return end ? tako_res_text(res, 200, "%" PRIu64, *total) : 0;
}

int count(tako_req *req, tako_res *res, void *arg)
{
	uint64_t *total = tako_req_alloc(req, sizeof *total);

	(void)res, (void)arg;
	return total ? tako_req_on_body(req, count_body, total) : TAKO_ENOMEM;
}
