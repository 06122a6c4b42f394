/* SPDX-License-Identifier: MIT
 *
 * The server's config: imported by the size-first rule, defaults filled in, and everything
 * that this build cannot honour refused with a sentence.
 */
#include <limits.h>
#include <sched.h>
#include <string.h>

#include "core/server.h"

/* What 0 means; kept in one table so that the header's comments have one counterpart. */
static void fill_defaults(tako_server_config *c)
{
	const struct {
		uint32_t *field;
		uint32_t value;
	} defaults[] = {
		{&c->max_connections, 10000},
		{&c->header_timeout_ms, 30000},
		{&c->keepalive_timeout_ms, 60000},
		{&c->body_timeout_ms, 30000},
		{&c->write_timeout_ms, 30000},
		{&c->min_rate_bytes, 64},
		{&c->min_rate_grace_ms, 10000},
		{&c->max_head_bytes, 32u << 10},
		{&c->max_line_bytes, 8u << 10},
		{&c->max_header_count, 100},
		{&c->linger_timeout_ms, 2000},
		{&c->drain_timeout_ms, 30000},
		{&c->accept_backoff_min_ms, 5},
		{&c->accept_backoff_max_ms, 1000},
		{&c->offload_thread_count, 4},
		{&c->offload_queue_count, 1024},
		{&c->access_log_queue_bytes, 256u << 10},
		{&c->h2_max_concurrent_streams, 100},
		{&c->h2_max_header_list_bytes, 16u << 10},
		{&c->h2_max_send_buffer_bytes, 1u << 20},
		{&c->h2_max_pending_reset_count, 50},
		{&c->h2_keepalive_interval_ms, TAKO_OFF},
		{&c->h2_keepalive_timeout_ms, 20000},
		{&c->h2_stream_window_bytes, 256u << 10},
		{&c->h2_connection_window_bytes, 1u << 20},
		{&c->h2_max_frame_bytes, 16u << 10},
		{&c->h2_header_table_bytes, 4096},
		{&c->h2_max_continuation_count, 8},
		{&c->h2_max_reset_count, 200},
		{&c->h2_max_control_count, 1000},
		{&c->proxy_read_timeout_ms, 10000},
		{&c->proxy_max_header_bytes, 4096},
		{&c->max_outgoing_connections, 10000},
		{&c->connect_timeout_ms, 10000},
		{&c->connect_attempt_delay_ms, 250},
		{&c->resolve_delay_ms, 50},
		{&c->resolve_thread_count, 4},
		{&c->resolve_queue_count, 256},
		{&c->resolve_cache_count, 512},
		{&c->resolve_cache_ms, 5000},
#ifdef TAKO__WITH_TLS
		{&c->tls_handshake_timeout_ms, 10000},
#endif
#ifdef TAKO__WITH_QUIC
		{&c->h3_max_bidi_streams, 100},
		{&c->h3_max_uni_streams, 8},
		{&c->h3_idle_timeout_ms, 30000},
		{&c->h3_goaway_grace_ms, 10000},
		{&c->h3_stream_window_bytes, 256u << 10},
		{&c->h3_connection_window_bytes, 1u << 20},
		{&c->h3_max_header_list_bytes, 16u << 10},
		{&c->h3_qpack_table_bytes, 4096},
		{&c->h3_qpack_blocked_streams, 16},
		{&c->h3_max_reset_count, 200},
		{&c->h3_max_control_count, 1000},
		{&c->wt_max_sessions, 16},
		{&c->wt_max_early_streams, 16},
		{&c->wt_max_early_datagrams, 32},
#endif
	};

	for (size_t i = 0; i < TAKO__COUNT(defaults); i++) {
		if (*defaults[i].field == 0)
			*defaults[i].field = defaults[i].value;
	}
	if (c->max_body_bytes == 0)
		c->max_body_bytes = 1u << 20;
	if (c->write_high_bytes == 0)
		c->write_high_bytes = 256u << 10;
	if (!c->server_header)
		c->server_header = "tako";
}

static uint32_t cpu_count(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > TAKO__WORKERS_MAX ? TAKO__WORKERS_MAX : (uint32_t)n;
}

/* Fields of what is off: as they came, since a default means nothing by itself. */
static int refuse_idle(const tako_server_config *c)
{
	const struct {
		const char *name;
		bool set;
		bool on;
		const char *what;
	} fields[] = {
		{"access_arg", c->access_arg != NULL, c->access_fn != NULL, "access_fn is not"},
		{"access_log_format", c->access_log_format != 0, c->access_log_fd != 0,
	         "access_log_fd is not"},
		{"access_log_queue_bytes", c->access_log_queue_bytes != 0, c->access_log_fd != 0,
	         "access_log_fd is not"},
		{"h2_keepalive_timeout_ms", c->h2_keepalive_timeout_ms != 0,
	         c->h2_keepalive_interval_ms && c->h2_keepalive_interval_ms != TAKO_OFF,
	         "h2_keepalive_interval_ms is not"},
		{"min_rate_grace_ms", c->min_rate_grace_ms != 0, c->min_rate_bytes != TAKO_OFF,
	         "min_rate_bytes is TAKO_OFF"},
		{"h3_qpack_blocked_streams",
	         c->h3_qpack_blocked_streams && c->h3_qpack_blocked_streams != TAKO_OFF,
	         c->h3_qpack_table_bytes != TAKO_OFF, "h3_qpack_table_bytes is TAKO_OFF"},
		{"wt_max_early_streams",
	         c->wt_max_early_streams && c->wt_max_early_streams != TAKO_OFF,
	         c->wt_max_sessions != TAKO_OFF, "wt_max_sessions is TAKO_OFF"},
		{"wt_max_early_datagrams",
	         c->wt_max_early_datagrams && c->wt_max_early_datagrams != TAKO_OFF,
	         c->wt_max_sessions != TAKO_OFF, "wt_max_sessions is TAKO_OFF"},
	};

	for (size_t i = 0; i < TAKO__COUNT(fields); i++) {
		if (fields[i].set && !fields[i].on)
			return tako__fail(TAKO_ENOTSUP, "%s is set, but %s", fields[i].name,
			                  fields[i].what);
	}
	return 0;
}

/* Fields of transports that this build does not have. */
static int refuse_absent(const tako_server_config *c)
{
	const struct {
		const char *name;
		uint32_t value;
		const char *what;
	} absent[] = {
#ifndef TAKO__WITH_TLS
		{"tls_handshake_timeout_ms", c->tls_handshake_timeout_ms, "TLS"},
#endif
#ifndef TAKO__WITH_QUIC
		{"h3_max_bidi_streams", c->h3_max_bidi_streams, "HTTP/3"},
		{"h3_max_uni_streams", c->h3_max_uni_streams, "HTTP/3"},
		{"h3_idle_timeout_ms", c->h3_idle_timeout_ms, "HTTP/3"},
		{"h3_congestion", c->h3_congestion, "HTTP/3"},
		{"h3_datagrams", c->h3_datagrams, "HTTP/3"},
		{"h3_retry", c->h3_retry, "HTTP/3"},
		{"h3_goaway_grace_ms", c->h3_goaway_grace_ms, "HTTP/3"},
		{"h3_stream_window_bytes", c->h3_stream_window_bytes, "HTTP/3"},
		{"h3_connection_window_bytes", c->h3_connection_window_bytes, "HTTP/3"},
		{"h3_max_header_list_bytes", c->h3_max_header_list_bytes, "HTTP/3"},
		{"h3_qpack_table_bytes", c->h3_qpack_table_bytes, "HTTP/3"},
		{"h3_qpack_blocked_streams", c->h3_qpack_blocked_streams, "HTTP/3"},
		{"h3_max_reset_count", c->h3_max_reset_count, "HTTP/3"},
		{"h3_max_control_count", c->h3_max_control_count, "HTTP/3"},
		{"alt_svc", c->alt_svc, "HTTP/3"},
		{"wt_max_sessions", c->wt_max_sessions, "HTTP/3"},
		{"wt_max_early_streams", c->wt_max_early_streams, "HTTP/3"},
		{"wt_max_early_datagrams", c->wt_max_early_datagrams, "HTTP/3"},
#endif
		{"", 0, ""}, /* a build may have them all */
	};

	(void)c;
	for (size_t i = 0; i < TAKO__COUNT(absent); i++) {
		if (absent[i].value)
			return tako__fail(TAKO_ENOTSUP, "%s is set, but this build has no %s",
			                  absent[i].name, absent[i].what);
	}
	return 0;
}

struct range {
	const char *name;
	uint32_t value;
	uint32_t min;
	uint32_t max;
	bool may_be_off;
};

static int check_ranges(const struct range *r, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (r[i].value == TAKO_OFF && r[i].may_be_off)
			continue;
		if (r[i].value == TAKO_OFF)
			return tako__fail(TAKO_EINVAL, "%s cannot be TAKO_OFF", r[i].name);
		if (r[i].value < r[i].min || r[i].value > r[i].max)
			return tako__fail(TAKO_EINVAL, "%s is %u, not in %u to %u", r[i].name,
			                  r[i].value, r[i].min, r[i].max);
	}
	return 0;
}

/* RFC 9113 section 6.5.2 has the bounds of what a peer is told. */
static int check_h2(const tako_server_config *c)
{
	const struct range ranges[] = {
		{"h2_max_concurrent_streams", c->h2_max_concurrent_streams, 1, 1u << 20, false},
		{"h2_max_header_list_bytes", c->h2_max_header_list_bytes, 256, 1u << 20, false},
		{"h2_max_send_buffer_bytes", c->h2_max_send_buffer_bytes, 16u << 10, 1u << 30,
	         false},
		{"h2_max_pending_reset_count", c->h2_max_pending_reset_count, 1, 1u << 20, true},
		{"h2_keepalive_interval_ms", c->h2_keepalive_interval_ms, 1, INT32_MAX, true},
		{"h2_keepalive_timeout_ms", c->h2_keepalive_timeout_ms, 1, INT32_MAX, false},
		{"h2_stream_window_bytes", c->h2_stream_window_bytes, 1, INT32_MAX, false},
		{"h2_connection_window_bytes", c->h2_connection_window_bytes, 65535, INT32_MAX,
	         false},
		{"h2_max_frame_bytes", c->h2_max_frame_bytes, 16u << 10, (1u << 24) - 1, false},
		{"h2_header_table_bytes", c->h2_header_table_bytes, 1, 1u << 20, false},
		{"h2_max_continuation_count", c->h2_max_continuation_count, 1, 1000, false},
		{"h2_max_reset_count", c->h2_max_reset_count, 1, 1u << 30, true},
		{"h2_max_control_count", c->h2_max_control_count, 16, 1u << 30, true},
	};

	return check_ranges(ranges, TAKO__COUNT(ranges));
}

/* RFC 9114 section 6.2 has the least number of streams, RFC 9000 section 4.6 the largest. */
static int check_h3(const tako_server_config *c)
{
#ifdef TAKO__WITH_QUIC
	const struct range ranges[] = {
		{"h3_max_bidi_streams", c->h3_max_bidi_streams, 1, 1u << 20, false},
		{"h3_max_uni_streams", c->h3_max_uni_streams, 3, 1u << 20, false},
		{"h3_idle_timeout_ms", c->h3_idle_timeout_ms, 1, INT32_MAX, true},
		{"h3_congestion", c->h3_congestion, TAKO_H3_CUBIC, TAKO_H3_BBR, false},
		{"h3_datagrams", c->h3_datagrams, 0, 1, false},
		{"h3_retry", c->h3_retry, 0, 1, false},
		{"h3_goaway_grace_ms", c->h3_goaway_grace_ms, 1, INT32_MAX, false},
		{"h3_stream_window_bytes", c->h3_stream_window_bytes, 1024, INT32_MAX, false},
		{"h3_connection_window_bytes", c->h3_connection_window_bytes, 1024, INT32_MAX,
	         false},
		{"h3_max_header_list_bytes", c->h3_max_header_list_bytes, 256, 1u << 20, false},
		{"h3_qpack_table_bytes", c->h3_qpack_table_bytes, 32, 1u << 20, true},
		{"h3_qpack_blocked_streams", c->h3_qpack_blocked_streams, 1, 1000, true},
		{"h3_max_reset_count", c->h3_max_reset_count, 1, 1u << 30, true},
		{"h3_max_control_count", c->h3_max_control_count, 16, 1u << 30, true},
		{"alt_svc", c->alt_svc, 0, 0, true},
		{"wt_max_sessions", c->wt_max_sessions, 1, 1u << 16, true},
		{"wt_max_early_streams", c->wt_max_early_streams, 1, 1u << 16, true},
		{"wt_max_early_datagrams", c->wt_max_early_datagrams, 1, 1u << 16, true},
	};

	return check_ranges(ranges, TAKO__COUNT(ranges));
#else
	(void)c;
	return 0;
#endif
}

static int check(const tako_server_config *c)
{
	const struct range ranges[] = {
		{"worker_count", c->worker_count, 1, TAKO__WORKERS_MAX, false},
		{"max_connections", c->max_connections, 1, INT32_MAX, true},
		{"max_connections_per_ip", c->max_connections_per_ip, 0, INT32_MAX, true},
		{"header_timeout_ms", c->header_timeout_ms, 1, INT32_MAX, true},
		{"keepalive_timeout_ms", c->keepalive_timeout_ms, 1, INT32_MAX, true},
		{"keepalive_request_count", c->keepalive_request_count, 0, INT32_MAX, true},
		{"body_timeout_ms", c->body_timeout_ms, 1, INT32_MAX, true},
		{"write_timeout_ms", c->write_timeout_ms, 1, INT32_MAX, true},
		{"min_rate_bytes", c->min_rate_bytes, 1, INT32_MAX, true},
		{"min_rate_grace_ms", c->min_rate_grace_ms, 1, INT32_MAX, false},
		{"max_head_bytes", c->max_head_bytes, 128, 1u << 20, false},
		{"max_line_bytes", c->max_line_bytes, 64, 1u << 20, false},
		{"max_header_count", c->max_header_count, 1, 10000, false},
		{"linger_timeout_ms", c->linger_timeout_ms, 1, 600000, false},
		{"drain_timeout_ms", c->drain_timeout_ms, 1, INT32_MAX, true},
		{"accept_backoff_min_ms", c->accept_backoff_min_ms, 1, 600000, false},
		{"accept_backoff_max_ms", c->accept_backoff_max_ms, c->accept_backoff_min_ms,
	         600000, false},
		{"accept_balance", c->accept_balance, 0, 0, true},
		{"inherit", c->inherit, 0, 1, false},
		{"notify", c->notify, 0, 1, false},
		{"offload_thread_count", c->offload_thread_count, 1, 1024, false},
		{"offload_queue_count", c->offload_queue_count, 1, 1u << 20, false},
		{"access_log_fd", c->access_log_fd, 0, INT32_MAX, false},
		{"access_log_format", c->access_log_format, 0, TAKO_LOG_JSON, false},
		{"access_log_queue_bytes", c->access_log_queue_bytes, 4096, 1u << 30, false},
		{"recv_buffer_bytes", c->recv_buffer_bytes, 0, TAKO__DELIVERY_BYTES_MAX, false},
		{"recv_buffer_count", c->recv_buffer_count, 0, 1024, false},
		{"send_max_bytes", c->send_max_bytes, 0, INT32_MAX, false},
		{"proxy_read_timeout_ms", c->proxy_read_timeout_ms, 1, INT32_MAX, true},
		{"proxy_max_header_bytes", c->proxy_max_header_bytes, 232, 65551, false},
		{"max_outgoing_connections", c->max_outgoing_connections, 1, INT32_MAX, true},
		{"connect_timeout_ms", c->connect_timeout_ms, 1, INT32_MAX, false},
		{"connect_attempt_delay_ms", c->connect_attempt_delay_ms, 10, 2000, false},
		{"resolve_delay_ms", c->resolve_delay_ms, 1, 1000, true},
		{"resolve_thread_count", c->resolve_thread_count, 1, 64, false},
		{"resolve_queue_count", c->resolve_queue_count, 1, 1u << 16, false},
		{"resolve_cache_count", c->resolve_cache_count, 2, 1u << 16, false},
		{"resolve_cache_ms", c->resolve_cache_ms, 1, 86400000, true},
#ifdef TAKO__WITH_TLS
		{"tls_handshake_timeout_ms", c->tls_handshake_timeout_ms, 1, INT32_MAX, false},
#endif
	};
	int rc = check_ranges(ranges, TAKO__COUNT(ranges));

	if (rc == 0)
		rc = check_h2(c);
	if (rc == 0)
		rc = check_h3(c);
	if (rc == 0 && c->write_high_bytes < 4096)
		rc = tako__fail(TAKO_EINVAL, "write_high_bytes is below 4096");
	if (rc == 0 && c->max_line_bytes > c->max_head_bytes)
		rc = tako__fail(TAKO_EINVAL, "max_line_bytes is over max_head_bytes");
	return rc;
}

static int check_server_header(const char *value)
{
	size_t n = strlen(value);

	if (n > 128)
		return tako__fail(TAKO_EINVAL, "server_header is longer than 128 bytes");
	for (size_t i = 0; i < n; i++) {
		if (value[i] < 0x20 || value[i] > 0x7e)
			return tako__fail(TAKO_EINVAL, "server_header has control characters");
	}
	return 0;
}

int tako__config_import(tako_server_config *out, const tako_server_config *cfg)
{
	tako_server_config c = {.size = sizeof c};
	int rc = 0;

	if (cfg)
		rc = tako__import(&c, sizeof c, cfg, offsetof(tako_server_config, max_body_bytes),
		                  "tako_server_config");
	if (rc == 0)
		rc = refuse_absent(&c);
	if (rc == 0)
		rc = refuse_idle(&c);
	if (rc < 0)
		return rc;
	c.size = sizeof c;
	/* The line's limit follows a smaller one for the head, unless somebody set both. */
	if (c.max_head_bytes && !c.max_line_bytes && c.max_head_bytes < 8u << 10)
		c.max_line_bytes = c.max_head_bytes;
	if (c.accept_backoff_min_ms > 1000 && !c.accept_backoff_max_ms)
		c.accept_backoff_max_ms = c.accept_backoff_min_ms;
	fill_defaults(&c);
	if (!c.worker_count)
		c.worker_count = cpu_count();
	if (c.max_connections_per_ip == TAKO_OFF)
		c.max_connections_per_ip = 0;
	if (c.keepalive_request_count == TAKO_OFF)
		c.keepalive_request_count = 0;
	rc = check(&c);
	if (rc == 0)
		rc = check_server_header(c.server_header);
	if (rc == 0)
		*out = c;
	return rc;
}
