/* SPDX-License-Identifier: MIT
 *
 * The multipart/form-data parser.  The delimiter begins with CR and has no other one, so a
 * match that fails can only begin anew at the byte it failed on: no byte is looked at twice,
 * and what was held back is a piece of the delimiter itself, which needs no copy.
 */
#include "core/multipart.h"

#include <string.h>

#include "core/base.h"
#include "core/str.h"
#include "core/value.h"

enum state {
	PREAMBLE,        /* before the first delimiter: ignored */
	AFTER_DELIMITER, /* "-", padding or CR must follow */
	PADDING,
	PADDING_CR,
	CLOSING, /* one "-" seen */
	CLOSED,  /* padding or CR must follow, or the end of the body */
	CLOSED_CR,
	HEAD,
	DATA,
	EPILOGUE, /* behind the closing delimiter: ignored */
};

enum { FILENAME_MAX_BYTES = 255 };

/* ---- Boundary ------------------------------------------------------------------ */

/* boundary := 0*69<bchars> bcharsnospace */
static bool is_boundary(const char *p, size_t n)
{
	return n > 0 && n <= TAKO__BOUNDARY_MAX_BYTES && p[n - 1] != ' ' &&
	       tako__all(p, n, TAKO__C_BOUNDARY);
}

static int set_boundary(struct tako__multipart *m, tako_str value)
{
	/* Room for every character behind a backslash. */
	char text[2 + 2 * TAKO__BOUNDARY_MAX_BYTES];
	size_t n = value.n <= sizeof(text) ? tako__unquote(text, value) : 0;

	if (m->delimiter_n || !is_boundary(text, n))
		return tako__fail(TAKO_EINVAL, "multipart: bad boundary");
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, text, n);
	m->delimiter_n = (uint8_t)(4 + n);
	return TAKO_OK;
}

int tako__multipart_init(struct tako__multipart *m, tako_str content_type,
                         const struct tako__multipart_cb *cb, void *arg,
                         const struct tako__multipart_limits *limits, char *head)
{
	tako_str params = {NULL, 0};
	tako_str name;
	tako_str value;
	int more;

	/* At its very start a delimiter stands without the CRLF before it. */
	*m = (struct tako__multipart){
		.cb = cb, .arg = arg, .limits = *limits, .head = head, .matched = 2, .assumed = 2};
	if (!content_type.p ||
	    !tako_str_ieq(tako__value_head(content_type, &params), TAKO_STR("multipart/form-data")))
		return tako__fail(TAKO_EINVAL, "multipart: the body is not multipart/form-data");
	while ((more = tako__param_next(&params, &name, &value)) > 0) {
		if (tako_str_ieq(name, TAKO_STR("boundary")) && set_boundary(m, value) < 0)
			return TAKO_EINVAL;
	}
	if (more < 0 || !m->delimiter_n)
		return tako__fail(TAKO_EINVAL, "multipart: no boundary");
	return TAKO_OK;
}

/* ---- Heads of parts --------------------------------------------------------------- */

/* Browsers write %22 for a quote and leave backslashes alone, old ones send whole Windows
 * paths, others escape as RFC 9110 does: so a backslash counts as an escape only where it
 * can be nothing else. */
static tako_str unescape_in_place(struct tako__multipart *m, tako_str v)
{
	char *to = m->head + (v.p - m->head);
	bool quoted = v.p[0] == '"'; /* then it also ends so */
	size_t n = 0;

	for (size_t i = quoted; i < v.n - quoted; i++) {
		if (quoted && v.p[i] == '\\' && (v.p[i + 1] == '"' || v.p[i + 1] == '\\'))
			i++;
		to[n++] = v.p[i];
	}
	return (tako_str){to, n};
}

/* RFC 7578 section 4.2 */
static int take_disposition(struct tako__multipart *m, tako_str value)
{
	tako_str params;
	tako_str name;
	int more;

	if (m->part.name.p ||
	    !tako_str_ieq(tako__value_head(value, &params), TAKO_STR("form-data")))
		return tako__fail(TAKO_EPROTO, "multipart: the disposition is not form-data, once");
	while ((more = tako__param_next(&params, &name, &value)) > 0) {
		tako_str *to = tako_str_ieq(name, TAKO_STR("name"))       ? &m->part.name
		               : tako_str_ieq(name, TAKO_STR("filename")) ? &m->part.filename
		                                                          : NULL;

		if (to && to->p)
			return tako__fail(TAKO_EPROTO, "multipart: a part is named twice");
		if (to)
			*to = unescape_in_place(m, value);
	}
	if (more < 0 || !m->part.name.p)
		return tako__fail(TAKO_EPROTO, "multipart: a part's disposition has no name");
	return TAKO_OK;
}

static int take_type(struct tako__multipart *m, tako_str value)
{
	if (m->part.type.p)
		return tako__fail(TAKO_EPROTO, "multipart: a part has two types");
	m->part.type = value;
	return TAKO_OK;
}

/* One line, without its CRLF. */
static int take_field(struct tako__multipart *m, tako_str line)
{
	const char *colon = memchr(line.p, ':', line.n);
	tako_str name = {line.p, colon ? (size_t)(colon - line.p) : 0};
	tako_str value;

	if (!name.n || !tako__all(name.p, name.n, TAKO__C_TOKEN) ||
	    !tako__all(line.p, line.n, TAKO__C_FIELD))
		return tako__fail(TAKO_EPROTO, "multipart: malformed field in a part's head");
	value = tako__str_trim((tako_str){colon + 1, line.n - name.n - 1});
	if (tako_str_ieq(name, TAKO_STR("Content-Disposition")))
		return take_disposition(m, value);
	if (tako_str_ieq(name, TAKO_STR("Content-Type")))
		return take_type(m, value);
	return TAKO_OK; /* all others are to be ignored (section 4.8) */
}

static int begin_head(struct tako__multipart *m)
{
	if (m->part_count == m->limits.max_part_count)
		return tako__fail(TAKO_ETOOBIG, "multipart: over %u parts", m->part_count);
	m->part_count++;
	m->part = (tako_part){.size = sizeof(m->part)};
	m->head_n = 0;
	m->line_start = 0;
	m->state = HEAD;
	return TAKO_OK;
}

static int begin_data(struct tako__multipart *m)
{
	if (!m->part.name.p)
		return tako__fail(TAKO_EPROTO, "multipart: a part without Content-Disposition");
	m->state = DATA;
	m->part_bytes = 0;
	/* Without contents the delimiter may use the CRLF that ended the head (RFC 2046
	 * section 5.1.1: body-part := MIME-part-headers [CRLF *OCTET]). */
	m->matched = 2;
	m->assumed = 2;
	return m->cb->on_part(&m->part, m->arg);
}

/* Collect up to the end of a line, and take the line if it is there. */
static int take_head(struct tako__multipart *m, const char *p, size_t n, size_t *ret_used)
{
	const char *newline = memchr(p, '\n', n);
	size_t used = newline ? (size_t)(newline - p) + 1 : n;
	tako_str line;

	*ret_used = used;
	if (used > m->limits.max_head_bytes - m->head_n)
		return tako__fail(TAKO_ETOOBIG, "multipart: a part's head is over %u bytes",
		                  m->limits.max_head_bytes);
	memcpy(m->head + m->head_n, p, used);
	m->head_n += (uint32_t)used;
	if (!newline)
		return TAKO_OK;
	line = (tako_str){m->head + m->line_start, m->head_n - m->line_start};
	m->line_start = m->head_n;
	if (line.n < 2 || line.p[line.n - 2] != '\r')
		return tako__fail(TAKO_EPROTO, "multipart: a line without CR in a part's head");
	line.n -= 2;
	return line.n ? take_field(m, line) : begin_data(m);
}

/* ---- Contents --------------------------------------------------------------------- */

/* Up to the limit, so that what is delivered does not depend on how the body was split. */
static int deliver(struct tako__multipart *m, const char *p, size_t n)
{
	uint64_t left = m->limits.max_part_bytes - m->part_bytes;
	size_t now = n < left ? n : (size_t)left;
	int err = 0;

	if (m->state == PREAMBLE)
		return TAKO_OK;
	m->part_bytes += now;
	if (now)
		err = m->cb->on_data((tako_str){p, now}, false, m->arg);
	if (!err && now < n)
		err = tako__fail(TAKO_ETOOBIG, "multipart: a part is over %llu bytes",
		                 (unsigned long long)m->limits.max_part_bytes);
	return err;
}

static int end_data(struct tako__multipart *m)
{
	bool in_part = m->state == DATA;

	m->state = AFTER_DELIMITER;
	return in_part ? m->cb->on_data(TAKO_STR(""), true, m->arg) : TAKO_OK;
}

/* Match on from p[0]; returns how many bytes went along. */
static size_t match(struct tako__multipart *m, const char *p, size_t n)
{
	size_t i = 0;

	if (m->matched == 0) {
		const char *cr = memchr(p, '\r', n);

		i = cr ? (size_t)(cr - p) : n;
	}
	while (i < n && m->matched < m->delimiter_n && p[i] == m->delimiter[m->matched]) {
		i++;
		m->matched++;
	}
	return i;
}

/* Deliver what is certain not to be the delimiter.  `held` bytes of the match so far came
 * with earlier calls: if it fails, they were contents, but for those only assumed. */
static int scan(struct tako__multipart *m, const char *p, size_t n, size_t *ret_used)
{
	size_t held = m->matched;
	size_t i = 0;
	int err = 0;

	for (;;) {
		i += match(m, p + i, n - i);
		if (m->matched == m->delimiter_n || i == n)
			break;
		if (held)
			err = deliver(m, m->delimiter + m->assumed, held - m->assumed);
		if (err)
			return err;
		held = 0;
		m->matched = 0;
		m->assumed = 0;
	}
	*ret_used = i;
	err = deliver(m, p, i - (m->matched - held));
	if (!err && m->matched == m->delimiter_n)
		err = end_data(m);
	return err;
}

/* ---- Delimiter lines ---------------------------------------------------------------- */

/* delimiter := CRLF "--" boundary; then transport-padding CRLF, or "--" transport-padding and a
 * CRLF if there is an epilogue.  Anything else behind the boundary: section 5.1.1 wants a line
 * that begins with it to be one. */
static int take_delimiter_char(struct tako__multipart *m, char c)
{
	bool padding = m->state == AFTER_DELIMITER || m->state == PADDING;

	if (padding && (c == ' ' || c == '\t')) {
		m->state = PADDING;
	} else if (padding && c == '\r') {
		m->state = PADDING_CR;
	} else if (m->state == PADDING_CR && c == '\n') {
		return begin_head(m);
	} else if (m->state == AFTER_DELIMITER && c == '-') {
		m->state = CLOSING;
	} else if (m->state == CLOSING && c == '-') {
		m->state = CLOSED;
	} else if (m->state == CLOSED && (c == ' ' || c == '\t' || c == '\r')) {
		m->state = c == '\r' ? CLOSED_CR : CLOSED;
	} else if (m->state == CLOSED_CR && c == '\n') {
		m->state = EPILOGUE;
		return m->cb->on_done(m->arg);
	} else {
		return tako__fail(TAKO_EPROTO, "multipart: malformed line behind a boundary");
	}
	return TAKO_OK;
}

static int step(struct tako__multipart *m, const char *p, size_t n, size_t *ret_used)
{
	switch ((enum state)m->state) {
	case PREAMBLE:
	case DATA:
		return scan(m, p, n, ret_used);
	case HEAD:
		return take_head(m, p, n, ret_used);
	case EPILOGUE:
		*ret_used = n;
		return TAKO_OK;
	case AFTER_DELIMITER:
	case PADDING:
	case PADDING_CR:
	case CLOSING:
	case CLOSED:
	case CLOSED_CR:
		break;
	}
	*ret_used = 1;
	return take_delimiter_char(m, *p);
}

int tako__multipart_feed(struct tako__multipart *m, const char *p, size_t n)
{
	uint64_t left = m->limits.max_total_bytes - m->total_bytes;
	size_t now = n < left ? n : (size_t)left;

	m->total_bytes += now;
	while (now && !m->error) {
		size_t used = now;

		m->error = step(m, p, now, &used);
		p += used;
		now -= used;
		n -= used;
	}
	if (!m->error && n)
		m->error = tako__fail(TAKO_ETOOBIG, "multipart: the body is over %llu bytes",
		                      (unsigned long long)m->limits.max_total_bytes);
	return m->error;
}

int tako__multipart_finish(struct tako__multipart *m)
{
	if (!m->error && m->state == CLOSED) {
		m->state = EPILOGUE;
		m->error = m->cb->on_done(m->arg);
	}
	if (!m->error && m->state != EPILOGUE)
		m->error = tako__fail(TAKO_EPROTO,
		                      "multipart: the body ends before its last delimiter");
	return m->error;
}

/* ---- File names ----------------------------------------------------------------------- */

tako_str tako__filename_base(tako_str filename)
{
	size_t start = filename.n;
	tako_str base;

	while (start && filename.p[start - 1] != '/' && filename.p[start - 1] != '\\')
		start--;
	if (start == filename.n)
		return (tako_str){NULL, 0};
	base = (tako_str){filename.p + start, filename.n - start};
	if (base.n > FILENAME_MAX_BYTES || tako_str_eq(base, TAKO_STR(".")) ||
	    tako_str_eq(base, TAKO_STR("..")))
		return (tako_str){NULL, 0};
	for (size_t i = 0; i < base.n; i++) {
		if ((unsigned char)base.p[i] < ' ' || base.p[i] == 0x7f)
			return (tako_str){NULL, 0};
	}
	return base;
}
