/* SPDX-License-Identifier: MIT
 *
 * tako_metrics(): every figure in the Prometheus text format, version 0.0.4.  Reads the
 * workers' counters from the loop it happens to run on, without a lock; what it shows of one
 * histogram agrees with itself, different figures may be some requests apart.
 */
#include <string.h>

#include "core/exchange.h"
#include "core/server.h"
#include "core/stats.h"
#include "core/str.h"
#include "core/worker.h"

enum {
	FIRST_BYTES = 16 * 1024,
	/* Some 10,000 routes in use.  Past it the answer is 500: half of it would be wrong. */
	MAX_BYTES = 32 * 1024 * 1024,
	CLASSES = 6,
};

/* ---- Growing text ---------------------------------------------------------------- */

struct page {
	char *p;
	size_t n;
	size_t cap;
	bool failed; /* sticks: whoever appends need not look */
};

static void page_free(void *arg)
{
	struct page *page = arg;

	tako__free(page->p, page->cap);
	page->p = NULL;
}

static bool page_grow(struct page *page, size_t more)
{
	size_t cap = page->cap ? page->cap : FIRST_BYTES;
	char *p;

	while (cap < page->n + more && cap < MAX_BYTES)
		cap *= 2;
	p = cap < page->n + more ? NULL : tako__resize(page->p, page->cap, cap);
	if (!p) {
		page->failed = true;
		return false;
	}
	page->p = p;
	page->cap = cap;
	return true;
}

static void put(struct page *page, const char *p, size_t n)
{
	if (page->failed || (page->cap - page->n < n && !page_grow(page, n)))
		return;
	if (n)
		memcpy(page->p + page->n, p, n);
	page->n += n;
}

static void put_z(struct page *page, const char *z)
{
	put(page, z, strlen(z));
}

static void put_u64(struct page *page, uint64_t v)
{
	char text[TAKO__U64_CHARS];

	put(page, text, tako__format_u64(text, v));
}

/* As seconds, without zeros that say nothing. */
static void put_ns(struct page *page, uint64_t ns)
{
	char text[10] = ".000000000";
	char digits[TAKO__U64_CHARS];
	size_t digits_n = tako__format_u64(digits, ns % 1000000000);
	size_t n = sizeof(text);

	memcpy(text + n - digits_n, digits, digits_n);
	while (n > 1 && text[n - 1] == '0')
		n--;
	put_u64(page, ns / 1000000000);
	put(page, text, n > 1 ? n : 0);
}

/* A label's value: three bytes have a meaning in it. */
static void put_label(struct page *page, tako_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '\n')
			put(page, "\\n", 2);
		else if (c == '"' || c == '\\')
			put(page, (char[]){'\\', c}, 2);
		else
			put(page, &c, 1);
	}
}

static void put_family(struct page *page, const char *name, const char *type, const char *help)
{
	put_z(page, "# HELP ");
	put_z(page, name);
	put_z(page, " ");
	put_z(page, help);
	put_z(page, "\n# TYPE ");
	put_z(page, name);
	put_z(page, " ");
	put_z(page, type);
	put_z(page, "\n");
}

/* ---- The server's figures ----------------------------------------------------------- */

struct figure {
	const char *name;
	const char *type;
	const char *help;
	size_t offset; /* of a uint64_t in tako_stats */
};

/* clang-format off */
static const struct figure figures[] = {
	{"tako_connections_accepted_total", "counter", "Connections accepted.",
	 offsetof(tako_stats, connections_accepted)},
	{"tako_connections_open", "gauge", "Connections open now.",
	 offsetof(tako_stats, connections_open)},
	{"tako_connections_refused_total", "counter", "Connections over the limit of an address.",
	 offsetof(tako_stats, connections_refused)},
	{"tako_connections_moved_total", "counter", "Connections passed to another worker.",
	 offsetof(tako_stats, connections_moved)},
	{"tako_accept_errors_total", "counter", "Failed accepts.",
	 offsetof(tako_stats, accept_errors)},
	{"tako_requests_total", "counter", "Request heads parsed or refused.",
	 offsetof(tako_stats, requests)},
	{"tako_requests_active", "gauge", "Exchanges going on now.",
	 offsetof(tako_stats, requests_active)},
	{"tako_requests_aborted_total", "counter", "Exchanges cut before their end.",
	 offsetof(tako_stats, aborted)},
	{"tako_timeouts_total", "counter", "Timeouts of any kind.",
	 offsetof(tako_stats, timeouts)},
	{"tako_received_bytes_total", "counter", "Bytes received.",
	 offsetof(tako_stats, received_bytes)},
	{"tako_sent_bytes_total", "counter", "Bytes sent.",
	 offsetof(tako_stats, sent_bytes)},
	{"tako_log_dropped_total", "counter", "Access log lines that were dropped.",
	 offsetof(tako_stats, log_dropped)},
	{"tako_tls_handshakes_total", "counter", "TLS handshakes that went through.",
	 offsetof(tako_stats, tls_handshakes)},
	{"tako_tls_resumed_total", "counter", "TLS handshakes that resumed a session.",
	 offsetof(tako_stats, tls_resumed)},
	{"tako_tls_failures_total", "counter", "TLS handshakes that did not go through.",
	 offsetof(tako_stats, tls_failures)},
	{"tako_proxy_errors_total", "counter",
	 "Connections closed for the PROXY header they began with, or did not.",
	 offsetof(tako_stats, proxy_errors)},
	{"tako_outgoing_connections_total", "counter", "Connections made to others.",
	 offsetof(tako_stats, outgoing_connections)},
	{"tako_outgoing_open", "gauge", "Connections to others that are open now.",
	 offsetof(tako_stats, outgoing_open)},
	{"tako_outgoing_errors_total", "counter", "Connections to others that did not come to be.",
	 offsetof(tako_stats, outgoing_errors)},
	{"tako_quic_connections_total", "counter", "QUIC connections begun.",
	 offsetof(tako_stats, quic_connections)},
	{"tako_quic_handshakes_total", "counter", "QUIC handshakes that went through.",
	 offsetof(tako_stats, quic_handshakes)},
	{"tako_quic_handshake_failures_total", "counter", "QUIC handshakes that did not go through.",
	 offsetof(tako_stats, quic_handshake_failures)},
	{"tako_quic_retries_total", "counter", "Retry packets sent.",
	 offsetof(tako_stats, quic_retries)},
	{"tako_quic_stateless_resets_total", "counter", "Stateless resets sent.",
	 offsetof(tako_stats, quic_stateless_resets)},
	{"tako_quic_version_negotiations_total", "counter", "Version negotiations sent.",
	 offsetof(tako_stats, quic_version_negotiations)},
	{"tako_quic_datagrams_received_total", "counter", "UDP datagrams received for QUIC.",
	 offsetof(tako_stats, quic_datagrams_received)},
	{"tako_quic_datagrams_sent_total", "counter", "UDP datagrams sent by QUIC.",
	 offsetof(tako_stats, quic_datagrams_sent)},
	{"tako_quic_datagrams_dropped_total", "counter", "UDP datagrams that were of no use.",
	 offsetof(tako_stats, quic_datagrams_dropped)},
	{"tako_quic_handed_over_total", "counter", "UDP datagrams passed to another worker.",
	 offsetof(tako_stats, quic_handed_over)},
	{"tako_quic_packets_lost_total", "counter", "QUIC packets sent and not acknowledged.",
	 offsetof(tako_stats, quic_packets_lost)},
	{"tako_quic_migrations_total", "counter", "QUIC connections that changed their address.",
	 offsetof(tako_stats, quic_migrations)},
	{"tako_udp_received_total", "counter", "Raw datagrams received.",
	 offsetof(tako_stats, udp_received)},
	{"tako_udp_sent_total", "counter", "Raw datagrams sent.",
	 offsetof(tako_stats, udp_sent)},
	{"tako_udp_dropped_total", "counter", "Raw datagrams that the queue had no room for.",
	 offsetof(tako_stats, udp_dropped)},
	{"tako_udp_failed_total", "counter", "Raw datagrams that the kernel refused to send.",
	 offsetof(tako_stats, udp_failed)},
	{"tako_udp_lost_total", "counter", "Raw datagrams that the kernel dropped before they were read.",
	 offsetof(tako_stats, udp_lost)},
	{"tako_udp_peers", "gauge", "Peers of raw datagrams now.",
	 offsetof(tako_stats, udp_peers)},
};
/* clang-format on */

static void put_info(struct page *page, const tako_stats *s)
{
	put_family(page, "tako_info", "gauge", "What is running.");
	put_z(page, "tako_info{version=\"" TAKO_VERSION "\",runtime=\"");
	put_label(page, tako_str_z(s->runtime));
	put_z(page, "\"} 1\n");
}

static void put_figures(struct page *page, const tako_stats *s)
{
	for (size_t i = 0; i < TAKO__COUNT(figures); i++) {
		const struct figure *f = &figures[i];
		uint64_t v;

		memcpy(&v, (const char *)s + f->offset, sizeof(v));
		put_family(page, f->name, f->type, f->help);
		put_z(page, f->name);
		put_z(page, " ");
		put_u64(page, v);
		put_z(page, "\n");
	}
}

/* ---- Figures of routes ------------------------------------------------------------------ */

/* One route's, summed over the workers. */
struct sums {
	uint64_t responses[CLASSES];
	uint64_t sum_ns;
	uint64_t bucket[TAKO__HIST_BUCKETS];
	uint64_t count; /* of all buckets */
};

/* False: never asked for, so that it has no lines. */
static bool sum_route(struct sums *out, const struct tako_server *srv, unsigned id)
{
	uint64_t finished = 0;

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < srv->worker_count; i++) {
		const struct tako__route_stats *r = &srv->workers[i].stats.routes[id];

		for (unsigned k = 0; k < CLASSES; k++)
			out->responses[k] += tako__read(&r->responses[k]);
		for (unsigned k = 0; k < TAKO__HIST_BUCKETS; k++)
			out->bucket[k] += tako__read(&r->bucket[k]);
		out->sum_ns += tako__read(&r->sum_ns);
	}
	for (unsigned k = 0; k < TAKO__HIST_BUCKETS; k++)
		out->count += out->bucket[k];
	for (unsigned k = 0; k < CLASSES; k++)
		finished += out->responses[k];
	return finished > 0;
}

/* {method="GET",route="/users/{id}" -- and the host, since two hosts may have the same route,
 * but the same labels twice are an error of the format. */
static void put_route_labels(struct page *page, const struct tako__endpoint *ep)
{
	put_z(page, "{method=\"");
	put_label(page, ep->method.p ? ep->method : TAKO_STR("ANY"));
	put_z(page, "\",route=\"");
	put_label(page, ep->pattern.p ? ep->pattern : TAKO_STR("unmatched"));
	if (ep->host.p) {
		put_z(page, "\",host=\"");
		put_label(page, ep->host);
	}
	put_z(page, "\"");
}

static void put_responses(struct page *page, const struct tako__endpoint *ep, const struct sums *s)
{
	static const char *const names[CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

	for (unsigned k = 0; k < CLASSES; k++) {
		/* The usual classes are there from the first request on: a rate over a series
		 * that begins with its first error does not see that error. */
		if (k < 2 && !s->responses[k])
			continue;
		put_z(page, "tako_http_requests_total");
		put_route_labels(page, ep);
		put_z(page, ",class=\"");
		put_z(page, names[k]);
		put_z(page, "\"} ");
		put_u64(page, s->responses[k]);
		put_z(page, "\n");
	}
}

#define DURATION "tako_http_request_duration_seconds"

static void put_histogram(struct page *page, const struct tako__endpoint *ep, const struct sums *s)
{
	uint64_t below = 0;

	for (unsigned k = 0; k < TAKO__HIST_BUCKETS; k++) {
		below += s->bucket[k];
		put_z(page, DURATION "_bucket");
		put_route_labels(page, ep);
		put_z(page, ",le=\"");
		if (k + 1 < TAKO__HIST_BUCKETS)
			put_ns(page, UINT64_C(1) << (TAKO__HIST_FIRST_BIT + k));
		else
			put_z(page, "+Inf");
		put_z(page, "\"} ");
		put_u64(page, below);
		put_z(page, "\n");
	}
	put_z(page, DURATION "_sum");
	put_route_labels(page, ep);
	put_z(page, "} ");
	put_ns(page, s->sum_ns);
	put_z(page, "\n" DURATION "_count");
	put_route_labels(page, ep);
	put_z(page, "} ");
	put_u64(page, s->count);
	put_z(page, "\n");
}

typedef void (*route_fn)(struct page *page, const struct tako__endpoint *ep, const struct sums *s);

/* All lines of one family must stand together. */
static void put_routes(struct page *page, const struct tako_server *srv, route_fn fn)
{
	unsigned count = tako__table_count(srv->routes);

	for (unsigned id = 0; id < count && !page->failed; id++) {
		struct sums s;

		if (sum_route(&s, srv, id))
			fn(page, tako__table_endpoint(srv->routes, id), &s);
	}
}

static void fill(struct page *page, const struct tako_server *srv, const tako_stats *s)
{
	put_info(page, s);
	put_figures(page, s);
	put_family(page, "tako_http_requests_total", "counter", "Finished requests.");
	put_routes(page, srv, put_responses);
	put_family(page, DURATION, "histogram",
	           "From the head of a request to the end of its response.");
	put_routes(page, srv, put_histogram);
}

/* ---- The handler -------------------------------------------------------------------------- */

int tako_metrics(tako_req *req, tako_res *res, void *arg)
{
	const struct tako_server *srv = tako__x(req)->worker->srv;
	struct page *page = tako_req_alloc(req, sizeof(*page));
	tako_stats s = {.size = sizeof(s)};
	int rc = tako_server_stats(srv, &s);

	(void)arg;
	if (rc < 0)
		return rc;
	if (!page)
		return tako__fail(TAKO_ENOMEM, "metrics: out of memory");
	fill(page, srv, &s);
	if (page->failed) {
		page_free(page);
		return tako__fail(TAKO_ENOMEM, "metrics: over %d bytes, or out of memory",
		                  MAX_BYTES);
	}
	return tako_res_send_ref(res, 200, "text/plain; version=0.0.4; charset=utf-8",
	                         (tako_str){page->p, page->n}, page_free, page);
}
