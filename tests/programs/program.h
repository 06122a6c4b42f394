/* SPDX-License-Identifier: MIT
 *
 * What the servers of the integration tests share: a config from key=value arguments, numbers out
 * of a query, and how failures are told.  Public headers only: these programs are users.
 */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <tako/tako.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a test reads as the reason of an exit: 2 for a refused set-up, 3 for a cut drain. */
enum { EXIT_REFUSED = 2, EXIT_CUT = 3 };

static inline const char *program_code(int rc)
{
	switch (rc) {
#define CODE(name, num, text)                                                                      \
	case TAKO_##name:                                                                          \
		return #name;
		TAKO_ERROR_MAP(CODE)
#undef CODE
	default:
		return "OK";
	}
}

/* "ENOTSUP: TLS is not in this build", for stderr. */
static inline int program_refused(const char *what, int rc)
{
	fprintf(stderr, "%s: %s: %s\n", what, program_code(rc), tako_last_error());
	return EXIT_REFUSED;
}

/* What becomes of a server that has run. */
static inline int program_exit(int rc)
{
	return rc == 0 ? 0 : rc == TAKO_ETIMEDOUT ? EXIT_CUT : program_refused("run", rc);
}

struct program_knob {
	const char *name;
	size_t at;
	size_t bytes;
};

#define KNOB(f)                                                                                    \
	{                                                                                          \
#f, offsetof(tako_server_config, f), sizeof(((tako_server_config *)0)->f)          \
	}
static const struct program_knob program_knobs[] = {
	KNOB(max_body_bytes),
	KNOB(write_high_bytes),
	KNOB(worker_count),
	KNOB(max_connections),
	KNOB(max_connections_per_ip),
	KNOB(header_timeout_ms),
	KNOB(keepalive_timeout_ms),
	KNOB(keepalive_request_count),
	KNOB(body_timeout_ms),
	KNOB(write_timeout_ms),
	KNOB(min_rate_bytes),
	KNOB(min_rate_grace_ms),
	KNOB(max_head_bytes),
	KNOB(max_line_bytes),
	KNOB(max_header_count),
	KNOB(linger_timeout_ms),
	KNOB(drain_timeout_ms),
	KNOB(accept_backoff_min_ms),
	KNOB(accept_backoff_max_ms),
	KNOB(offload_thread_count),
	KNOB(offload_queue_count),
	KNOB(access_log_fd),
	KNOB(access_log_format),
	KNOB(access_log_queue_bytes),
	KNOB(recv_buffer_bytes),
	KNOB(recv_buffer_count),
	KNOB(send_max_bytes),
	KNOB(proxy_read_timeout_ms),
	KNOB(proxy_max_header_bytes),
	KNOB(tls_handshake_timeout_ms),
	KNOB(h2_max_concurrent_streams),
	KNOB(h2_max_header_list_bytes),
	KNOB(h2_max_send_buffer_bytes),
	KNOB(h2_max_pending_reset_count),
	KNOB(h2_keepalive_interval_ms),
	KNOB(h2_keepalive_timeout_ms),
	KNOB(h2_stream_window_bytes),
	KNOB(h2_connection_window_bytes),
	KNOB(h2_max_frame_bytes),
	KNOB(h2_header_table_bytes),
	KNOB(h2_max_continuation_count),
	KNOB(h2_max_reset_count),
	KNOB(h2_max_control_count),
	KNOB(h3_max_bidi_streams),
	KNOB(h3_max_uni_streams),
	KNOB(h3_max_header_list_bytes),
	KNOB(h3_idle_timeout_ms),
	KNOB(h3_congestion),
	KNOB(h3_datagrams),
	KNOB(h3_retry),
	KNOB(h3_goaway_grace_ms),
	KNOB(h3_stream_window_bytes),
	KNOB(h3_connection_window_bytes),
	KNOB(wt_max_sessions),
	KNOB(max_outgoing_connections),
	KNOB(connect_timeout_ms),
	KNOB(connect_attempt_delay_ms),
	KNOB(resolve_delay_ms),
	KNOB(resolve_thread_count),
	KNOB(resolve_queue_count),
	KNOB(resolve_cache_count),
	KNOB(resolve_cache_ms),
	KNOB(accept_balance),
	KNOB(inherit),
	KNOB(notify),
};
#undef KNOB

/* The value of "name=value"; NULL: it names something else. */
static inline const char *program_value(const char *arg, const char *name)
{
	size_t n = strlen(name);

	return strncmp(arg, name, n) == 0 && arg[n] == '=' ? arg + n + 1 : NULL;
}

static inline uint32_t program_value_u32(const char *v)
{
	return strcmp(v, "off") == 0 ? TAKO_OFF : (uint32_t)strtoul(v, NULL, 10);
}

/* Set the field of *cfg that "name=value" names; "off" is TAKO_OFF.  False: there is no such field. */
static inline bool program_set_by(const struct program_knob *knobs, size_t count, void *cfg,
                                  const char *arg)
{
	const char *value = strchr(arg, '=');
	size_t n = value ? (size_t)(value - arg) : 0;

	for (size_t i = 0; value && i < count; i++) {
		const struct program_knob *k = &knobs[i];
		if (n != strlen(k->name) || strncmp(arg, k->name, n) != 0)
			continue;
		uint64_t v = strcmp(value + 1, "off") == 0 ? TAKO_OFF64
		                                           : strtoull(value + 1, NULL, 10);
		if (k->bytes == sizeof(uint64_t)) {
			memcpy((char *)cfg + k->at, &v, sizeof(v));
		} else {
			uint32_t small = (uint32_t)v;
			memcpy((char *)cfg + k->at, &small, sizeof(small));
		}
		return true;
	}
	return false;
}

/* The same of a server's. */
static inline bool program_set(tako_server_config *cfg, const char *arg)
{
	if (strncmp(arg, "server_header=", strlen("server_header=")) == 0) {
		cfg->server_header = strchr(arg, '=') + 1;
		return true;
	}
	return program_set_by(program_knobs, sizeof(program_knobs) / sizeof(program_knobs[0]), cfg,
	                      arg);
}

/* "transport=http" and the like.  False: it is none of those. */
static inline bool program_transport(const tako_transport **t, const char *arg)
{
	if (strcmp(arg, "transport=http1") == 0)
		*t = tako_http1();
	else if (strcmp(arg, "transport=h2c") == 0)
		*t = tako_h2c();
	else if (strcmp(arg, "transport=http") == 0)
		*t = tako_http();
	else
		return false;
	return true;
}

/* Set the fields that TAKO_TEST_KNOBS names as well, "send_max_bytes=7 recv_buffer_bytes=1": the whole suite
 * in small pieces. */
static inline void program_cut(tako_server_config *cfg)
{
	const char *knobs = getenv("TAKO_TEST_KNOBS");
	char text[256];

	snprintf(text, sizeof(text), "%s", knobs ? knobs : "");
	for (char *at = NULL, *word = strtok_r(text, " ", &at); word;
	     word = strtok_r(NULL, " ", &at)) {
		if (!program_set(cfg, word)) {
			fprintf(stderr, "TAKO_TEST_KNOBS: %s\n", word);
			exit(EXIT_REFUSED);
		}
	}
}

static inline int program_server_new(tako_server **out, tako_router *router,
                                     const tako_server_config *cfg)
{
	tako_server_config c = *cfg;

	program_cut(&c);
	return tako_server_new(out, router, &c);
}

/* A number of the query, or `otherwise`. */
static inline uint64_t program_number(tako_req *req, const char *name, uint64_t otherwise)
{
	tako_str v = tako_req_query_value(req, name);
	char text[24];

	if (!v.p || v.n == 0 || v.n >= sizeof(text))
		return otherwise;
	memcpy(text, v.p, v.n);
	text[v.n] = 0;
	return strtoull(text, NULL, 10);
}

/* Listen as the tests want it: with TLS, if TAKO_TEST_CERT and TAKO_TEST_KEY name a certificate; with
 * TAKO_TEST_H3 without, and for HTTP/3 on the same port. */
static inline int program_listen_on(tako_server *srv, const tako_transport *t, const char *addr,
                                    const tako_listen_config *cfg)
{
	tako_listen_config c = {.size = sizeof(c)};
	const char *cert = getenv("TAKO_TEST_CERT");
	bool h3 = getenv("TAKO_TEST_H3") != NULL;
	int rc = 0;

	if (!cert || h3)
		rc = tako_server_listen(srv, t, addr, cfg);
	if (!cert || rc < 0)
		return rc;
	if (cfg)
		c = *cfg;
	c.cert_file = cert;
	c.key_file = getenv("TAKO_TEST_KEY");
	return tako_server_listen(srv, h3 ? tako_h3() : tako_tls(), addr, &c);
}

static inline int program_listen(tako_server *srv, const char *addr, const tako_listen_config *cfg)
{
	return program_listen_on(srv, tako_http(), addr, cfg);
}

/* One line a listener, so that the test knows where to connect. */
static inline void program_tell_listeners(const tako_server *srv)
{
	char addr[128];

	for (size_t i = 0; tako_server_local_addr(srv, i, addr, sizeof(addr)) >= 0; i++)
		printf("listening %s\n", addr);
	fflush(stdout);
}

#endif /* TESTS_PROGRAM_H */
