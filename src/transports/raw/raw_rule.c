/* SPDX-License-Identifier: MIT
 *
 * The settings of a raw listener, and its transports but for TLS, which is transports/tls's.
 */
#include "core/inherit.h"
#include "core/local.h"
#include "core/server.h"
#include "transports/raw/raw_int.h"

enum { USER_BYTES_MAX = 1 << 20, ALPN_BYTES_MAX = 60 };

static void fill_defaults(tako_raw_config *c)
{
	if (!c->write_high_bytes)
		c->write_high_bytes = 256u << 10;
	if (!c->write_low_bytes)
		c->write_low_bytes = c->write_high_bytes / 4;
	if (!c->max_unsent_bytes)
		c->max_unsent_bytes = tako__unsent_max(c->write_high_bytes);
	if (!c->idle_timeout_ms)
		c->idle_timeout_ms = 60000;
}

/* Names of 1 to 255 bytes (RFC 7301 section 3.1), behind each other as the library wants them. */
static int check_alpn(const char *alpn)
{
	size_t n = strlen(alpn);

	if (n == 0 || n > ALPN_BYTES_MAX)
		return tako__fail(TAKO_EINVAL, "alpn has %zu bytes, not 1 to %d", n,
		                  ALPN_BYTES_MAX);
	if (alpn[0] == ',' || alpn[n - 1] == ',' || strstr(alpn, ",,"))
		return tako__fail(TAKO_EINVAL, "alpn has an empty name in it");
	return 0;
}

static int check(const tako_raw_config *c, bool has_alpn, const char *who)
{
	if (!c->on_data)
		return tako__fail(TAKO_EINVAL, "raw: on_data is not set");
	if (c->user_bytes > USER_BYTES_MAX)
		return tako__fail(TAKO_EINVAL, "raw: user_bytes is %zu, not in 0 to %d",
		                  c->user_bytes, USER_BYTES_MAX);
	if (c->write_low_bytes >= c->write_high_bytes)
		return tako__fail(TAKO_EINVAL,
		                  "raw: write_low_bytes is not below write_high_bytes");
	if (c->max_unsent_bytes < c->write_high_bytes)
		return tako__fail(TAKO_EINVAL, "raw: max_unsent_bytes is below write_high_bytes");
	if ((c->idle_timeout_ms > INT32_MAX && c->idle_timeout_ms != TAKO_OFF) ||
	    c->lifetime_ms > INT32_MAX)
		return tako__fail(TAKO_EINVAL, "raw: a timeout is over %d ms", INT32_MAX);
	if (c->records > 1)
		return tako__fail(TAKO_EINVAL, "raw: records is %u, not 0 or 1", c->records);
	if (c->alpn && !has_alpn)
		return tako__fail(TAKO_ENOTSUP, "alpn is set, but %s", who);
	return c->alpn ? check_alpn(c->alpn) : 0;
}

static int check_addr(const tako_transport *t, const char *addr)
{
	bool is_unix = strncmp(addr, "unix:", 5) == 0;

	/* What it is shows when it is looked at. */
	if (tako__inherit_is(addr))
		return 0;

	if (t == tako_raw_unix() && !is_unix)
		return tako__fail(TAKO_EINVAL,
		                  "address \"%.60s\": %s is for unix:/path or unix:@name", addr,
		                  t->name);
	if (t == tako_raw_tcp() && is_unix)
		return tako__fail(TAKO_EINVAL, "address \"%.60s\": %s is for ports", addr, t->name);
	return 0;
}

int tako__raw_rule_import(struct tako__raw_rule **ret, const tako_raw_config *cfg, bool has_alpn,
                          const char *who)
{
	tako_raw_config c = {.size = sizeof c};
	int rc = tako__import(&c, sizeof c, cfg, sizeof c, "tako_raw_config");

	if (rc == 0) {
		fill_defaults(&c);
		rc = check(&c, has_alpn, who);
	}
	if (rc < 0)
		return rc;
	*ret = tako__zalloc(sizeof **ret);
	if (!*ret)
		return tako__fail(TAKO_ENOMEM, "raw: out of memory");
	c.alpn = NULL; /* the caller's text */
	(*ret)->cfg = c;
	return 0;
}

static int check_records(const struct tako__raw_rule *rule, const tako_transport *t,
                         const tako_listen_config *cfg)
{
	if (!rule->cfg.records)
		return 0;
	if (t != tako_raw_unix())
		return tako__fail(TAKO_ENOTSUP, "records is set, but %s has a stream of bytes",
		                  t->name);
	if (cfg->proxy_protocol)
		return tako__fail(TAKO_ENOTSUP, "proxy_protocol is set, but its header begins a "
		                                "stream, and there are records");
	return 0;
}

int tako__raw_rule_new(struct tako__raw_rule **ret, const tako_transport *t, const char *addr,
                       const tako_listen_config *cfg)
{
	int rc;

	*ret = NULL;
	if (!t->raw)
		return cfg->raw ? tako__fail(TAKO_ENOTSUP, "raw is set, but %s has %s", t->name,
		                             t->udp ? "udp instead" : "handlers")
		                : 0;
	if (!cfg->raw)
		return tako__fail(TAKO_EINVAL, "%s needs tako_listen_config.raw", t->name);
	rc = check_addr(t, addr);
	if (rc == 0)
		rc = tako__raw_rule_import(ret, cfg->raw, t->prepare != NULL,
		                           "this transport is without TLS");
	if (rc == 0)
		rc = check_records(*ret, t, cfg);
	if (rc < 0) {
		tako__raw_rule_free(*ret);
		*ret = NULL;
	}
	return rc;
}

bool tako__raw_records(const struct tako__raw_rule *rule)
{
	return rule && rule->cfg.records;
}

void tako__raw_rule_free(struct tako__raw_rule *rule)
{
	tako__free(rule, sizeof *rule);
}

const tako_transport *tako_raw_tcp(void)
{
	static const tako_transport transport = {
		.name = "raw TCP", .raw = true, .proto = &tako__raw_ops};

	return &transport;
}

const tako_transport *tako_raw_unix(void)
{
	static const tako_transport transport = {
		.name = "a raw Unix socket", .raw = true, .proto = &tako__raw_ops};

	return &transport;
}
