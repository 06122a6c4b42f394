/* SPDX-License-Identifier: MIT
 *
 * Status codes and their phrases (RFC 9110 section 15, and the IANA registry).
 */
#include "core/res.h"

static const char *const texts_1xx[] = {"Continue", "Switching Protocols", "Processing",
                                        "Early Hints"};
static const char *const texts_2xx[] = {"OK",
                                        "Created",
                                        "Accepted",
                                        "Non-Authoritative Information",
                                        "No Content",
                                        "Reset Content",
                                        "Partial Content",
                                        "Multi-Status",
                                        "Already Reported"};
static const char *const texts_3xx[] = {
	"Multiple Choices",  "Moved Permanently", "Found", "See Other",
	"Not Modified",      "Use Proxy",         "",      "Temporary Redirect",
	"Permanent Redirect"};
static const char *const texts_4xx[] = {
	"Bad Request",
	"Unauthorized",
	"Payment Required",
	"Forbidden",
	"Not Found",
	"Method Not Allowed",
	"Not Acceptable",
	"Proxy Authentication Required",
	"Request Timeout",
	"Conflict",
	"Gone",
	"Length Required",
	"Precondition Failed",
	"Content Too Large",
	"URI Too Long",
	"Unsupported Media Type",
	"Range Not Satisfiable",
	"Expectation Failed",
	"I'm a Teapot",
	"",
	"",
	"Misdirected Request",
	"Unprocessable Content",
	"Locked",
	"Failed Dependency",
	"Too Early",
	"Upgrade Required",
	"",
	"Precondition Required",
	"Too Many Requests",
	"",
	"Request Header Fields Too Large",
};
static const char *const texts_5xx[] = {
	"Internal Server Error",
	"Not Implemented",
	"Bad Gateway",
	"Service Unavailable",
	"Gateway Timeout",
	"HTTP Version Not Supported",
	"Variant Also Negotiates",
	"Insufficient Storage",
	"Loop Detected",
	"",
	"",
	"Network Authentication Required",
};

const char *tako__status_text(int status)
{
	static const struct {
		const char *const *texts;
		size_t count;
	} classes[] = {
		{texts_1xx, TAKO__COUNT(texts_1xx)}, {texts_2xx, TAKO__COUNT(texts_2xx)},
		{texts_3xx, TAKO__COUNT(texts_3xx)}, {texts_4xx, TAKO__COUNT(texts_4xx)},
		{texts_5xx, TAKO__COUNT(texts_5xx)},
	};
	unsigned class = (unsigned)status / 100 - 1;
	unsigned code = (unsigned)status % 100;

	/* Far from their neighbours. */
	if (status == 226)
		return "IM Used";
	if (status == 451)
		return "Unavailable For Legal Reasons";
	if (status < 100 || class >= TAKO__COUNT(classes) || code >= classes[class].count)
		return "";
	return classes[class].texts[code];
}
