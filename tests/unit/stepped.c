/* SPDX-License-Identifier: MIT
 *
 * See stepped.h.  The client's side of HTTP is written anew here, not taken from the library, so
 * that it can disagree.
 */
#include "unit/stepped.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- Server -------------------------------------------------------------------------- */

int stepped_start(struct stepped *s, tako_router *router, const tako_server_config *cfg,
                  const tako_transport *t)
{
	char addr[64];
	int rc;

	*s = (struct stepped){.stopped = 1};
	rc = tako_server_new(&s->srv, router, cfg);
	if (rc == 0)
		rc = tako_server_listen(s->srv, t ? t : tako_http1(), "127.0.0.1:0", NULL);
	if (rc == 0)
		rc = tako_server_local_addr(s->srv, 0, addr, sizeof addr);
	if (rc > 0) {
		s->port = (uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10);
		rc = tako_server_fd(s->srv);
	}
	if (rc < 0) {
		tako_server_free(s->srv);
		s->srv = NULL;
		return rc;
	}
	return 0;
}

void stepped_turn(struct stepped *s, uint32_t ms)
{
	if (s->over)
		return;
	s->stopped = tako_server_step(s->srv, ms);
	s->over = s->stopped != 1;
}

int stepped_stop(struct stepped *s)
{
	if (!s->srv)
		return 0;
	if (!s->over)
		tako_server_stop(s->srv);
	for (unsigned i = 0; i < 2000 && !s->over; i++) {
		/* A client that stays connected must not hold up a test. */
		if (i == 100)
			tako_server_stop(s->srv);
		stepped_turn(s, 5);
	}
	tako_server_free(s->srv);
	s->srv = NULL;
	return s->stopped;
}

/* ---- Client ---------------------------------------------------------------------------- */

void peer_open(struct peer *p, const struct stepped *s)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(s->port)};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->closed = false;
	p->reset = false;
	p->mask = 0;
	p->n = 0;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd >= 0 && connect(p->fd, (struct sockaddr *)&in, sizeof in) < 0)
		peer_close(p);
	if (p->fd >= 0)
		fcntl(p->fd, F_SETFL, O_NONBLOCK);
}

void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

void peer_read(struct peer *p)
{
	while (!p->closed && p->n < sizeof p->data) {
		ssize_t n = recv(p->fd, p->data + p->n, sizeof p->data - p->n, 0);

		if (n > 0) {
			for (ssize_t i = 0; i < n; i++)
				p->data[p->n + (size_t)i] ^= (char)p->mask;
			p->n += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			return;
		p->closed = true;
		p->reset = n < 0;
	}
}

bool peer_send(struct peer *p, struct stepped *s, const char *data, size_t n)
{
	uint64_t until = now_ms() + 10000;

	while (n && now_ms() < until) {
		char masked[4096];
		size_t step = n < sizeof masked ? n : sizeof masked;
		ssize_t sent;

		for (size_t i = 0; i < step; i++)
			masked[i] = (char)(data[i] ^ p->mask);
		sent = send(p->fd, masked, step, MSG_NOSIGNAL);

		if (sent > 0) {
			data += sent;
			n -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN)
			return false;
		stepped_turn(s, 1);
		peer_read(p);
	}
	return n == 0;
}

void peer_drop(struct peer *p, size_t n)
{
	memmove(p->data, p->data + n, p->n - n);
	p->n -= n;
}

/* ---- Responses ---------------------------------------------------------------------------- */

const char *reply_field(const struct peer *p, const struct reply *r, const char *name, char *buf,
                        size_t buf_bytes)
{
	const char *at = p->data;
	const char *end = at + r->head_n;
	size_t name_n = strlen(name);

	while ((at = memchr(at, '\n', (size_t)(end - at))) && ++at < end) {
		const char *stop = memchr(at, '\r', (size_t)(end - at));
		size_t n;

		if (!stop || (size_t)(stop - at) < name_n + 2 || at[name_n] != ':' ||
		    strncasecmp(at, name, name_n) != 0)
			continue;
		at += name_n + 2;
		n = (size_t)(stop - at);
		if (n >= buf_bytes)
			return NULL;
		memcpy(buf, at, n);
		buf[n] = '\0';
		return buf;
	}
	return NULL;
}

static void add_body(struct reply *r, const char *from, size_t n)
{
	if (n > sizeof r->body - r->body_n) {
		r->valid = false;
		return;
	}
	memcpy(r->body + r->body_n, from, n);
	r->body_n += n;
}

static void parse_trailers(struct reply *r, const char *start, const char *at, const char *end)
{
	const char *stop;

	if (end - at >= 2 && memcmp(at, "\r\n", 2) == 0) {
		r->complete = true;
		r->total_n = (size_t)(at + 2 - start);
		return;
	}
	stop = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
	if (!stop)
		return;
	if ((size_t)(stop - at) >= sizeof r->trailers) {
		r->valid = false;
		return;
	}
	memcpy(r->trailers, at, (size_t)(stop - at));
	r->trailers[stop - at] = '\0';
	r->complete = true;
	r->total_n = (size_t)(stop + 4 - start);
}

static void parse_chunked(struct reply *r, const char *start, const char *at, const char *end)
{
	while (r->valid) {
		const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);
		unsigned long n;
		char *digits_end;

		if (!line)
			return;
		n = strtoul(at, &digits_end, 16);
		if (digits_end != line || digits_end == at) {
			r->valid = false;
			return;
		}
		at = line + 2;
		if (n == 0) {
			parse_trailers(r, start, at, end);
			return;
		}
		if ((size_t)(end - at) < n + 2)
			return;
		add_body(r, at, n);
		if (memcmp(at + n, "\r\n", 2) != 0)
			r->valid = false;
		at += n + 2;
	}
}

static void parse_length(struct reply *r, const struct peer *p, const char *at, const char *length)
{
	size_t have = p->n - r->head_n;
	size_t want = strtoul(length, NULL, 10);

	if (have < want)
		return;
	add_body(r, at, want);
	r->complete = true;
	r->total_n = r->head_n + want;
}

void reply_parse(struct reply *r, const struct peer *p, bool head_only)
{
	static const char version[] = "HTTP/1.1 ";
	const char *head_end;
	char value[64];
	bool has_close;

	*r = (struct reply){.valid = true};
	head_end = memmem(p->data, p->n, "\r\n\r\n", 4);
	if (p->n && memcmp(p->data, version, p->n < 9 ? p->n : 9) != 0)
		r->valid = false;
	if (!head_end || !r->valid)
		return;
	r->head_n = (size_t)(head_end + 4 - p->data);
	r->status = atoi(p->data + 9);
	if (r->status < 100 || r->status > 599 || p->data[12] != ' ')
		r->valid = false;
	has_close = reply_field(p, r, "Connection", value, sizeof value) &&
	            strcasecmp(value, "close") == 0;
	r->close = has_close;
	if (r->status < 200 || r->status == 204 || r->status == 304 || head_only) {
		r->complete = true;
		r->total_n = r->head_n;
	} else if (reply_field(p, r, "Transfer-Encoding", value, sizeof value)) {
		parse_chunked(r, p->data, head_end + 4, p->data + p->n);
	} else if (reply_field(p, r, "Content-Length", value, sizeof value)) {
		parse_length(r, p, head_end + 4, value);
	} else {
		r->close = true;
		r->complete = p->closed && !p->reset;
		r->total_n = p->n;
		add_body(r, head_end + 4, p->n - r->head_n);
	}
}

bool peer_reply(struct peer *p, struct stepped *s, struct reply *r, bool head_only, uint32_t ms)
{
	uint64_t until = now_ms() + ms;
	bool closed;

	for (;;) {
		closed = p->closed;
		peer_read(p);
		reply_parse(r, p, head_only);
		if (r->complete && r->valid && r->status < 200) {
			peer_drop(p, r->total_n);
			continue;
		}
		if (r->complete || !r->valid || closed || now_ms() >= until)
			return r->complete && r->valid;
		if (!p->closed)
			stepped_turn(s, 1);
	}
}

bool peer_closed(struct peer *p, struct stepped *s, uint32_t ms)
{
	uint64_t until = now_ms() + ms;

	peer_read(p);
	while (!p->closed && now_ms() < until) {
		stepped_turn(s, 1);
		peer_read(p);
	}
	return p->closed;
}
