/* SPDX-License-Identifier: MIT
 *
 * The server's config, field by field: what 0 means, what is in range, what is refused and in
 * which words; and structs of older and newer callers.  A field without a row here fails.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/server.h"

enum kind {
	ABSENT,   /* of a transport that this build does not have */
	U32,      /* TAKO_OFF is refused */
	U32_OFF,  /* TAKO_OFF means none and stays as it is */
	U32_OFF0, /* TAKO_OFF means none, which is 0 inside */
	U64,
	PASSED, /* a pointer, copied as it is */
	OTHER,  /* has a test of its own */
};

struct row {
	const char *name;
	size_t at;
	size_t bytes;
	enum kind kind;
	uint64_t value; /* of 0 */
	uint64_t min;
	uint64_t max;
};

#define ROW(field, ...)                                                                            \
	{                                                                                          \
		.name = #field, .at = offsetof(tako_server_config, field),                         \
		.bytes = sizeof(((tako_server_config *)0)->field), __VA_ARGS__                     \
	}

static const struct row rows[] = {
	ROW(size, OTHER),
	ROW(runtime, PASSED),
	ROW(server_header, OTHER),
	ROW(access_fn, PASSED),
	ROW(access_arg, PASSED),
	ROW(max_body_bytes, U64, 1 << 20, 1, TAKO_OFF64),
	ROW(write_high_bytes, U64, 256 << 10, 4096, TAKO_OFF64),
	ROW(worker_count, OTHER),
	ROW(max_connections, U32_OFF, 10000, 1, INT32_MAX),
	ROW(max_connections_per_ip, U32_OFF0, 0, 0, INT32_MAX),
	ROW(header_timeout_ms, U32_OFF, 30000, 1, INT32_MAX),
	ROW(keepalive_timeout_ms, U32_OFF, 60000, 1, INT32_MAX),
	ROW(keepalive_request_count, U32_OFF0, 0, 0, INT32_MAX),
	ROW(body_timeout_ms, U32_OFF, 30000, 1, INT32_MAX),
	ROW(write_timeout_ms, U32_OFF, 30000, 1, INT32_MAX),
	ROW(min_rate_bytes, U32_OFF, 64, 1, INT32_MAX),
	ROW(min_rate_grace_ms, U32, 10000, 1, INT32_MAX),
	ROW(max_head_bytes, U32, 32 << 10, 128, 1 << 20),
	ROW(max_line_bytes, U32, 8 << 10, 64, 1 << 20),
	ROW(max_header_count, U32, 100, 1, 10000),
	ROW(linger_timeout_ms, U32, 2000, 1, 600000),
	ROW(drain_timeout_ms, U32_OFF, 30000, 1, INT32_MAX),
	ROW(accept_backoff_min_ms, U32, 5, 1, 600000),
	ROW(accept_backoff_max_ms, U32, 1000, 1, 600000),
	ROW(offload_thread_count, U32, 4, 1, 1024),
	ROW(offload_queue_count, U32, 1024, 1, 1 << 20),
	ROW(access_log_fd, U32, 0, 0, INT32_MAX),
	ROW(access_log_format, U32, 0, 0, TAKO_LOG_JSON),
	ROW(access_log_queue_bytes, U32, 256 << 10, 4096, 1 << 30),
	ROW(proxy_read_timeout_ms, U32_OFF, 10000, 1, INT32_MAX),
#ifdef TAKO__WITH_TLS
	ROW(tls_handshake_timeout_ms, U32, 10000, 1, INT32_MAX),
#else
	ROW(tls_handshake_timeout_ms, ABSENT),
#endif
	ROW(h2_max_concurrent_streams, U32, 100, 1, 1 << 20),
	ROW(h2_max_header_list_bytes, U32, 16 << 10, 256, 1 << 20),
	ROW(h2_max_send_buffer_bytes, U32, 1 << 20, 16 << 10, 1 << 30),
	ROW(h2_max_pending_reset_count, U32_OFF, 50, 1, 1 << 20),
	ROW(h2_keepalive_interval_ms, U32_OFF, TAKO_OFF, 1, INT32_MAX),
#ifdef TAKO__WITH_QUIC
	ROW(h3_max_bidi_streams, U32, 100, 1, 1 << 20),
	ROW(h3_max_uni_streams, U32, 8, 3, 1 << 20),
	ROW(h3_idle_timeout_ms, U32_OFF, 30000, 1, INT32_MAX),
	ROW(h3_congestion, U32, 0, 0, TAKO_H3_BBR),
	ROW(h3_datagrams, U32, 0, 0, 1),
	ROW(h3_retry, U32, 0, 0, 1),
	ROW(h3_goaway_grace_ms, U32, 10000, 1, INT32_MAX),
#else
	ROW(h3_max_bidi_streams, ABSENT),
	ROW(h3_max_uni_streams, ABSENT),
	ROW(h3_idle_timeout_ms, ABSENT),
	ROW(h3_congestion, ABSENT),
	ROW(h3_datagrams, ABSENT),
	ROW(h3_retry, ABSENT),
	ROW(h3_goaway_grace_ms, ABSENT),
#endif
	ROW(h2_keepalive_timeout_ms, U32, 20000, 1, INT32_MAX),
	ROW(h2_stream_window_bytes, U32, 256 << 10, 1, INT32_MAX),
	ROW(h2_connection_window_bytes, U32, 1 << 20, 65535, INT32_MAX),
	ROW(h2_max_frame_bytes, U32, 16 << 10, 16 << 10, (1 << 24) - 1),
	ROW(h2_header_table_bytes, U32, 4096, 1, 1 << 20),
	ROW(h2_max_continuation_count, U32, 8, 1, 1000),
	ROW(h2_max_reset_count, U32_OFF, 200, 1, 1 << 30),
	ROW(h2_max_control_count, U32_OFF, 1000, 16, 1 << 30),
	ROW(accept_balance, U32_OFF, 0, 0, 0),
	ROW(recv_buffer_bytes, U32, 0, 0, 1 << 20),
	ROW(recv_buffer_count, U32, 0, 0, 1024),
	ROW(send_max_bytes, U32, 0, 0, INT32_MAX),
#ifdef TAKO__WITH_QUIC
	ROW(h3_stream_window_bytes, U32, 256 << 10, 1024, INT32_MAX),
	ROW(h3_connection_window_bytes, U32, 1 << 20, 1024, INT32_MAX),
	ROW(h3_max_header_list_bytes, U32, 16 << 10, 256, 1 << 20),
	ROW(h3_qpack_table_bytes, U32_OFF, 4096, 32, 1 << 20),
	ROW(h3_qpack_blocked_streams, U32_OFF, 16, 1, 1000),
	ROW(h3_max_reset_count, U32_OFF, 200, 1, 1 << 30),
	ROW(h3_max_control_count, U32_OFF, 1000, 16, 1 << 30),
	ROW(alt_svc, U32_OFF, 0, 0, 0),
#else
	ROW(h3_stream_window_bytes, ABSENT),
	ROW(h3_connection_window_bytes, ABSENT),
	ROW(h3_max_header_list_bytes, ABSENT),
	ROW(h3_qpack_table_bytes, ABSENT),
	ROW(h3_qpack_blocked_streams, ABSENT),
	ROW(h3_max_reset_count, ABSENT),
	ROW(h3_max_control_count, ABSENT),
	ROW(alt_svc, ABSENT),
#endif
	ROW(proxy_max_header_bytes, U32, 4096, 232, 65551),
#ifdef TAKO__WITH_QUIC
	ROW(wt_max_sessions, U32_OFF, 16, 1, 1 << 16),
	ROW(wt_max_early_streams, U32_OFF, 16, 1, 1 << 16),
	ROW(wt_max_early_datagrams, U32_OFF, 32, 1, 1 << 16),
#else
	ROW(wt_max_sessions, ABSENT),
	ROW(wt_max_early_streams, ABSENT),
	ROW(wt_max_early_datagrams, ABSENT),
#endif
	ROW(max_outgoing_connections, U32_OFF, 10000, 1, INT32_MAX),
	ROW(connect_timeout_ms, U32, 10000, 1, INT32_MAX),
	ROW(connect_attempt_delay_ms, U32, 250, 10, 2000),
	ROW(resolve_delay_ms, U32_OFF, 50, 1, 1000),
	ROW(resolve_thread_count, U32, 4, 1, 64),
	ROW(resolve_queue_count, U32, 256, 1, 1 << 16),
	ROW(resolve_cache_count, U32, 512, 2, 1 << 16),
	ROW(resolve_cache_ms, U32_OFF, 5000, 1, 86400000),
	ROW(inherit, U32, 0, 0, 1),
	ROW(notify, U32, 0, 0, 1),
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static const struct row *row_of(const char *name)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

static uint64_t get(const tako_server_config *c, const struct row *r)
{
	uint64_t value = 0;

	/* Little-endian, as every machine that this runs on. */
	memcpy(&value, (const char *)c + r->at, r->bytes);
	return value;
}

static void set(tako_server_config *c, const char *name, uint64_t value)
{
	const struct row *r = row_of(name);

	assert_non_null(r);
	memcpy((char *)c + r->at, &value, r->bytes);
}

static void nothing(const tako_access *a, void *arg)
{
	(void)a, (void)arg;
}

/* Everything that a value at its own limit needs of other fields. */
static tako_server_config base_for(const struct row *r, uint64_t value)
{
	tako_server_config c = {.size = sizeof c};

	if (strncmp(r->name, "access_log_", 11) == 0)
		c.access_log_fd = 2;
	if (strcmp(r->name, "access_arg") == 0)
		c.access_fn = nothing;
	if (strcmp(r->name, "h2_keepalive_timeout_ms") == 0)
		c.h2_keepalive_interval_ms = 1;
	if (strcmp(r->name, "max_line_bytes") == 0)
		c.max_head_bytes = 1 << 20;
	if (strcmp(r->name, "accept_backoff_min_ms") == 0)
		c.accept_backoff_max_ms = 600000;
	if (strcmp(r->name, "accept_backoff_max_ms") == 0)
		c.accept_backoff_min_ms = 1;
	set(&c, r->name, value);
	return c;
}

static void accepts(const struct row *r, uint64_t value, uint64_t want)
{
	tako_server_config c = base_for(r, value);
	tako_server_config out;
	int rc = tako__config_import(&out, &c);

	if (rc < 0)
		fail_msg("%s = %llu: %s", r->name, (unsigned long long)value, tako_last_error());
	if (get(&out, r) != want)
		fail_msg("%s = %llu became %llu", r->name, (unsigned long long)value,
		         (unsigned long long)get(&out, r));
}

static void refuses(const struct row *r, uint64_t value, int want)
{
	tako_server_config c = base_for(r, value);
	tako_server_config out = {.worker_count = 77};
	int rc = tako__config_import(&out, &c);

	if (rc != want)
		fail_msg("%s = %llu: %s instead of %s", r->name, (unsigned long long)value,
		         tako_strerror(rc), tako_strerror(want));
	/* The sentence names the field, and nothing was written. */
	if (!strstr(tako_last_error(), r->name))
		fail_msg("%s = %llu: \"%s\"", r->name, (unsigned long long)value,
		         tako_last_error());
	assert_int_equal(out.worker_count, 77);
}

/* ---- The table itself ---------------------------------------------------------------- */

static void test_every_field_has_a_row(void **state)
{
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		/* No padding in public structs, so a gap is a field. */
		if (rows[i].at != at)
			fail_msg("a field before %s has no row", rows[i].name);
		at += rows[i].bytes;
	}
	if (at != sizeof(tako_server_config))
		fail_msg("fields behind %s have no row", rows[ROWS - 1].name);
}

/* ---- Values ----------------------------------------------------------------------------- */

static void test_defaults(void **state)
{
	tako_server_config zero = {.size = sizeof zero};
	tako_server_config from_zero;
	tako_server_config from_null;

	(void)state;
	assert_int_equal(tako__config_import(&from_zero, &zero), 0);
	assert_int_equal(tako__config_import(&from_null, NULL), 0);
	assert_memory_equal(&from_zero, &from_null, sizeof from_null);
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].kind != OTHER && get(&from_null, &rows[i]) != rows[i].value)
			fail_msg("%s is %llu", rows[i].name,
			         (unsigned long long)get(&from_null, &rows[i]));
	}
	assert_int_equal(from_null.size, sizeof from_null);
	assert_string_equal(from_null.server_header, "tako");
}

static void test_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		if (r->kind != U32 && r->kind != U32_OFF && r->kind != U32_OFF0 && r->kind != U64)
			continue;
		if (r->min)
			accepts(r, r->min, r->min);
		accepts(r, r->max, r->max);
		if (r->min > 1)
			refuses(r, r->min - 1, TAKO_EINVAL);
		if (r->kind != U64)
			refuses(r, r->max + 1, TAKO_EINVAL);
	}
}

static void test_off(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		if (r->kind == U32)
			refuses(r, TAKO_OFF, TAKO_EINVAL);
		else if (r->kind == U32_OFF || r->kind == U32_OFF0)
			accepts(r, TAKO_OFF, r->kind == U32_OFF ? TAKO_OFF : 0);
	}
}

static void test_absent(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].kind != ABSENT)
			continue;
		refuses(&rows[i], 1, TAKO_ENOTSUP);
		refuses(&rows[i], TAKO_OFF, TAKO_ENOTSUP);
		assert_non_null(strstr(tako_last_error(), "this build has no "));
	}
}

static void test_passed(void **state)
{
	static int anything;

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].kind == PASSED)
			accepts(&rows[i], (uintptr_t)&anything, (uintptr_t)&anything);
	}
}

static void test_worker_count(void **state)
{
	const struct row *r = row_of("worker_count");
	tako_server_config out;
	cpu_set_t mine;
	cpu_set_t one;

	(void)state;
	accepts(r, 1, 1);
	accepts(r, TAKO__WORKERS_MAX, TAKO__WORKERS_MAX);
	refuses(r, TAKO__WORKERS_MAX + 1, TAKO_EINVAL);
	refuses(r, TAKO_OFF, TAKO_EINVAL);
	/* One per CPU that we may use, not per CPU of the machine. */
	assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
	accepts(r, 0, (uint64_t)CPU_COUNT(&mine));
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
		if (CPU_ISSET(i, &mine))
			CPU_SET(i, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
	assert_int_equal(tako__config_import(&out, NULL), 0);
	assert_int_equal(sched_setaffinity(0, sizeof mine, &mine), 0);
	assert_int_equal(out.worker_count, 1);
}

static void test_server_header(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{"", 0},
		{"x", 0},
		{"a/1.0 (b)", 0},
		{"a\r\nX: y", TAKO_EINVAL},
		{"a\n", TAKO_EINVAL},
		{"a\tb", TAKO_EINVAL},
		{"\x7f", TAKO_EINVAL},
		{"caf\xc3\xa9", TAKO_EINVAL},
	};
	char text[130];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_server_config c = {.size = sizeof c, .server_header = cases[i].text};
		tako_server_config out;

		assert_int_equal(tako__config_import(&out, &c), cases[i].rc);
		if (cases[i].rc == 0)
			assert_string_equal(out.server_header, cases[i].text);
		else
			assert_non_null(strstr(tako_last_error(), "server_header"));
	}
	for (size_t n = 128; n <= 129; n++) {
		tako_server_config c = {.size = sizeof c, .server_header = text};
		tako_server_config out;

		memset(text, 'x', n);
		text[n] = '\0';
		assert_int_equal(tako__config_import(&out, &c), n == 128 ? 0 : TAKO_EINVAL);
	}
}

/* ---- Fields that look at each other --------------------------------------------------------- */

static void test_pairs(void **state)
{
	static const struct {
		const char *set[2];
		uint64_t to[2];
		const char *look;
		uint64_t want;
		const char *error;
	} cases[] = {
		/* The smaller head takes the line's default along; a line that was set is kept to. */
		{{"max_head_bytes"}, {1024}, "max_line_bytes", 1024, NULL},
		{{"max_head_bytes"}, {8192}, "max_line_bytes", 8192, NULL},
		{{"max_head_bytes"}, {65536}, "max_line_bytes", 8192, NULL},
		{{"max_head_bytes", "max_line_bytes"}, {1024, 1024}, "max_line_bytes", 1024, NULL},
		{{"max_head_bytes", "max_line_bytes"}, {1024, 1025}, NULL, 0, "max_line_bytes"},
		{{"max_line_bytes"}, {32769}, NULL, 0, "max_line_bytes"},
		{{"accept_backoff_min_ms"}, {5000}, "accept_backoff_max_ms", 5000, NULL},
		{{"accept_backoff_min_ms", "accept_backoff_max_ms"},
	         {50, 50},
	         "accept_backoff_max_ms",
	         50,
	         NULL},
		{{"accept_backoff_min_ms", "accept_backoff_max_ms"},
	         {50, 49},
	         NULL,
	         0,
	         "accept_backoff_max_ms"},
		/* What would be ignored is refused. */
		{{"access_log_format"}, {TAKO_LOG_JSON}, NULL, 0, "access_log_fd"},
		{{"access_log_queue_bytes"}, {8192}, NULL, 0, "access_log_fd"},
		/* … also where it is what would have been there. */
		{{"access_log_queue_bytes"}, {256 << 10}, NULL, 0, "access_log_fd"},
		{{"access_arg"}, {1}, NULL, 0, "access_fn"},
		{{"h2_keepalive_timeout_ms"}, {20000}, NULL, 0, "h2_keepalive_interval_ms"},
		{{"h2_keepalive_timeout_ms", "h2_keepalive_interval_ms"},
	         {5, TAKO_OFF},
	         NULL,
	         0,
	         "h2_keepalive_interval_ms"},
		{{"min_rate_grace_ms", "min_rate_bytes"}, {5, TAKO_OFF}, NULL, 0, "min_rate_bytes"},
		{{"min_rate_grace_ms", "min_rate_bytes"}, {5, 1}, "min_rate_grace_ms", 5, NULL},
#ifdef TAKO__WITH_QUIC
		{{"h3_qpack_blocked_streams", "h3_qpack_table_bytes"},
	         {5, TAKO_OFF},
	         NULL,
	         0,
	         "h3_qpack_table_bytes"},
		{{"h3_qpack_blocked_streams", "h3_qpack_table_bytes"},
	         {TAKO_OFF, TAKO_OFF},
	         "h3_qpack_table_bytes",
	         TAKO_OFF,
	         NULL},
		{{"wt_max_early_streams", "wt_max_sessions"},
	         {5, TAKO_OFF},
	         NULL,
	         0,
	         "wt_max_sessions"},
		{{"wt_max_early_datagrams", "wt_max_sessions"},
	         {5, TAKO_OFF},
	         NULL,
	         0,
	         "wt_max_sessions"},
#endif
		{{"access_log_format", "access_log_fd"},
	         {TAKO_LOG_JSON, 2},
	         "access_log_format",
	         TAKO_LOG_JSON,
	         NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_server_config c = {.size = sizeof c};
		tako_server_config out;
		int rc;

		for (size_t k = 0; k < 2 && cases[i].set[k]; k++)
			set(&c, cases[i].set[k], cases[i].to[k]);
		rc = tako__config_import(&out, &c);
		if (cases[i].error) {
			if (rc == 0)
				fail_msg("case %zu is taken", i);
			assert_true(rc == TAKO_EINVAL || rc == TAKO_ENOTSUP);
			assert_non_null(strstr(tako_last_error(), cases[i].error));
			continue;
		}
		assert_int_equal(rc, 0);
		if (get(&out, row_of(cases[i].look)) != cases[i].want)
			fail_msg("case %zu: %s is %llu", i, cases[i].look,
			         (unsigned long long)get(&out, row_of(cases[i].look)));
	}
}

/* ---- Callers of other versions ----------------------------------------------------------------- */

/* Every size that a struct of an older version could have: what lies behind is not read. */
static void test_shorter_struct(void **state)
{
	size_t first = offsetof(tako_server_config, max_body_bytes);

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		size_t size = rows[i].at + rows[i].bytes;
		tako_server_config *c = malloc(size); /* for the sanitizer to see where it ends */
		tako_server_config out;
		int rc;

		assert_non_null(c);
		memset(c, 0, size);
		memcpy(c, &size, sizeof size);
		rc = tako__config_import(&out, c);
		assert_int_equal(rc, size < first ? TAKO_EINVAL : 0);
		if (rc == 0) {
			assert_int_equal(out.size, sizeof out);
			assert_int_equal(out.max_connections, 10000);
		} else {
			assert_non_null(strstr(tako_last_error(), "tako_server_config: size is "));
		}
		free(c);
	}
}

static void test_longer_struct(void **state)
{
	struct {
		tako_server_config known;
		unsigned char more[24];
	} later;
	tako_server_config out;

	(void)state;
	for (size_t i = 0; i <= sizeof later.more; i++) {
		memset(&later, 0, sizeof later);
		later.known.size = sizeof later;
		later.known.max_connections = 5;
		if (i < sizeof later.more)
			later.more[i] = 1;
		assert_int_equal(tako__config_import(&out, &later.known),
		                 i < sizeof later.more ? TAKO_ENOTSUP : 0);
		/* Behind the size that the caller names is nothing of his. */
		later.known.size = sizeof later.known + i;
		assert_int_equal(tako__config_import(&out, &later.known), 0);
		assert_int_equal(out.size, sizeof out);
		assert_int_equal(out.max_connections, 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_has_a_row),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_worker_count),
		cmocka_unit_test(test_server_header),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_shorter_struct),
		cmocka_unit_test(test_longer_struct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
