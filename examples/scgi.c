/* SPDX-License-Identifier: MIT
 *
 * A transport of its own: the same router over SCGI, the protocol that nginx and others speak to applications
 * (https://python.ca/scgi/protocol.txt), as over HTTP beside it.
 *
 *   location / { include scgi_params; scgi_pass 127.0.0.1:9008; }
 *   ./scgi 127.0.0.1:8080 127.0.0.1:9008
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tako/sys/transport.h>
#include <tako/tako.h>

enum { HEAD_BYTES_MAX = 16384, FIELDS_MAX = 64 };

/* ---- The transport ------------------------------------------------------------------------------- */

/* A connection carries one request: a netstring of NAME NUL VALUE NUL ..., then its content. */
struct scgi {
	tako_exchange *e;
	char head[HEAD_BYTES_MAX];
	size_t head_n;
	char body
		[65536]; /* what nobody took yet: reading pauses meanwhile, but TLS may have more */
	size_t body_n;
};

static int head(tako_exchange *e, const tako_response_head *h)
{
	tako_raw *c = tako_exchange_raw(e);
	char text[96];
	int n = snprintf(text, sizeof(text), "Status: %d %s\r\n", (int)h->status, h->reason);

	tako_raw_send(c, (tako_str){text, (size_t)n});
	if (h->content_length != TAKO_OFF64) {
		n = snprintf(text, sizeof(text), "Content-Length: %llu\r\n",
		             (unsigned long long)h->content_length);
		tako_raw_send(c, (tako_str){text, (size_t)n});
	}
	for (size_t i = 0; i < h->field_count; i++) {
		tako_raw_send(c, h->fields[i].name);
		tako_raw_send(c, TAKO_STR(": "));
		tako_raw_send(c, h->fields[i].value);
		tako_raw_send(c, TAKO_STR("\r\n"));
	}
	/* What one of these says, the last one says, too. */
	return (int)(tako_raw_send(c, TAKO_STR("\r\n")) < 0 ? TAKO_ECLOSED : 0);
}

static int content(tako_exchange *e, tako_str data)
{
	return tako_raw_send(tako_exchange_raw(e), data) < 0 ? TAKO_ECLOSED : 0;
}

static int end(tako_exchange *e, const tako_field *trailers, size_t count)
{
	(void)e, (void)trailers, (void)count;
	return 0;
}

static void over(tako_exchange *e)
{
	struct scgi *s = tako_exchange_arg(e);

	s->e = NULL;
	tako_raw_end(tako_exchange_raw(e));
}

static void more(tako_exchange *e)
{
	struct scgi *s = tako_exchange_arg(e);
	size_t n = s->body_n;

	s->body_n = 0;
	if (!n || tako_exchange_data(e, (tako_str){s->body, n}, false) != TAKO_EBUSY)
		tako_raw_resume(tako_exchange_raw(e));
	else
		s->body_n = n;
}

static const tako_exchange_ops ops = {
	.size = sizeof(ops),
	.head = head,
	.content = content,
	.end = end,
	.more = more,
	.over = over,
};

/* HTTP_ACCEPT_LANGUAGE is Accept-Language (RFC 3875 section 4.1.18). */
static tako_str field_name(char *name)
{
	for (char *p = name; *p; p++)
		*p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
	return tako_str_z(name);
}

static void variable(tako_request_head *h, tako_field *fields, char *name, char *value)
{
	if (strcmp(name, "CONTENT_LENGTH") == 0)
		h->content_length = strtoull(value, NULL, 10);
	else if (strcmp(name, "REQUEST_METHOD") == 0)
		h->method = tako_str_z(value);
	else if (strcmp(name, "REQUEST_URI") == 0)
		h->target = tako_str_z(value);
	else if (strcmp(name, "CONTENT_TYPE") == 0 && *value)
		fields[h->field_count++] = (tako_field){TAKO_STR("content-type"),
		                                        tako_str_z(value)};
	else if (strncmp(name, "HTTP_", 5) == 0 && strcmp(name, "HTTP_CONNECTION") != 0 &&
	         strcmp(name, "HTTP_CONTENT_LENGTH") != 0)
		fields[h->field_count++] = (tako_field){field_name(name + 5), tako_str_z(value)};
}

/* The whole netstring is there: n bytes of variables. */
static int begin(tako_raw *c, struct scgi *s, char *p, size_t n)
{
	tako_field fields[FIELDS_MAX];
	tako_request_head h = {.size = sizeof(h), .fields = fields};
	char *stop = p + n;

	if (n == 0 || stop[-1] != '\0')
		return TAKO_EPROTO;
	while (p < stop) {
		char *name = p;
		char *value = name + strlen(name) + 1;

		if (value >= stop || h.field_count == FIELDS_MAX)
			return TAKO_EPROTO;
		p = value + strlen(value) + 1;
		variable(&h, fields, name, value);
	}
	return tako_exchange_begin(&s->e, c, &h, &ops, s);
}

static int on_body(tako_raw *c, struct scgi *s, tako_str data)
{
	int rc;

	if (!s->e)
		return TAKO_EPROTO;
	rc = s->body_n ? TAKO_EBUSY : tako_exchange_data(s->e, data, false);
	if (rc != TAKO_EBUSY)
		return rc;
	if (data.n > sizeof(s->body) - s->body_n)
		return TAKO_ETOOBIG;
	memcpy(s->body + s->body_n, data.p, data.n);
	s->body_n += data.n;
	tako_raw_pause(c);
	return 0;
}

/* "70:" variables ","; content. */
static int on_data(tako_raw *c, tako_str data, void *arg)
{
	struct scgi *s = tako_raw_user(c);
	size_t had = s->head_n;
	size_t n = data.n < sizeof(s->head) - had ? data.n : sizeof(s->head) - had;
	char *colon;
	size_t all;
	int rc;

	(void)arg;
	if (had == HEAD_BYTES_MAX || s->e)
		return on_body(c, s, data);
	memcpy(s->head + had, data.p, n);
	s->head_n += n;
	colon = memchr(s->head, ':', s->head_n);
	if (!colon || colon - s->head > 5)
		return s->head_n > 5 ? TAKO_EPROTO : 0;
	all = (size_t)(colon - s->head) + 1 + strtoul(s->head, NULL, 10) + 1;
	if (!isdigit((unsigned char)s->head[0]) || all > sizeof(s->head))
		return TAKO_EPROTO;
	if (s->head_n < all)
		return 0;
	rc = s->head[all - 1] == ',' ? begin(c, s, colon + 1, all - (size_t)(colon - s->head) - 2)
	                             : TAKO_EPROTO;
	data = (tako_str){data.p + (all - had), data.n - (all - had)};
	s->head_n = HEAD_BYTES_MAX;
	return rc < 0 || !data.n ? rc : on_body(c, s, data);
}

/* ---- The application --------------------------------------------------------------------------- */

static int hello(tako_req *req, tako_res *res, void *arg)
{
	tako_str name = tako_req_param(req, "name");

	(void)arg;
	return tako_res_text(res, 200, "hello, %.*s\n", (int)name.n, name.p);
}

static int shout(tako_req *req, tako_res *res, tako_str body, bool last, void *arg)
{
	char *text = malloc(body.n + 1);

	(void)req, (void)last, (void)arg;
	if (!text)
		return TAKO_ENOMEM;
	for (size_t i = 0; i < body.n; i++)
		text[i] = (char)toupper((unsigned char)body.p[i]);
	tako_res_send(res, 200, "text/plain", (tako_str){text, body.n});
	free(text);
	return 0;
}

static int shouted(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_whole_body(req, shout, NULL);
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8080";
	const char *scgi = argc > 2 ? argv[2] : "127.0.0.1:9008";
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	int rc;

	tako_get(router, "/hello/{name}", hello, NULL);
	tako_post(router, "/shout", shouted, NULL);
	rc = tako_server_new(&srv, router, NULL);
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http(), addr, NULL);
	if (rc == 0)
		rc = tako_server_listen(
			srv, tako_raw_tcp(), scgi,
			TAKO_LISTEN_CONFIG(.raw = TAKO_RAW_CONFIG(.on_data = on_data,
		                                                  .user_bytes = sizeof(
									  struct scgi))));
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}
