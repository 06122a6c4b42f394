/* SPDX-License-Identifier: MIT
 *
 * The table of media types and the search in it.  Text has its charset with it: without one
 * a browser may guess, and guess wrong (RFC 9110 section 8.3.2).  JSON and XML say theirs
 * themselves.
 */
#include "core/mime.h"

#include <string.h>

#include "core/base.h"

/* Sorted, which the test checks. */
/* clang-format off */
static const struct tako__mime table[] = {
	{"3gp", "video/3gpp", true},
	{"7z", "application/x-7z-compressed", true},
	{"aac", "audio/aac", true},
	{"apk", "application/vnd.android.package-archive", true},
	{"apng", "image/apng", true},
	{"appcache", "text/cache-manifest; charset=utf-8", false},
	{"atom", "application/atom+xml", false},
	{"avi", "video/x-msvideo", true},
	{"avif", "image/avif", true},
	{"bin", "application/octet-stream", false},
	{"bmp", "image/bmp", false},
	{"br", "application/octet-stream", true},
	{"bz2", "application/x-bzip2", true},
	{"c", "text/plain; charset=utf-8", false},
	{"cbor", "application/cbor", false},
	{"cjs", "text/javascript; charset=utf-8", false},
	{"conf", "text/plain; charset=utf-8", false},
	{"cpp", "text/plain; charset=utf-8", false},
	{"css", "text/css; charset=utf-8", false},
	{"csv", "text/csv; charset=utf-8", false},
	{"cur", "image/x-icon", false},
	{"deb", "application/vnd.debian.binary-package", true},
	{"diff", "text/plain; charset=utf-8", false},
	{"dmg", "application/x-apple-diskimage", true},
	{"doc", "application/msword", false},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", true},
	{"dtd", "application/xml-dtd", false},
	{"eot", "application/vnd.ms-fontobject", false},
	{"eps", "application/postscript", false},
	{"epub", "application/epub+zip", true},
	{"flac", "audio/flac", true},
	{"gif", "image/gif", true},
	{"glb", "model/gltf-binary", false},
	{"gltf", "model/gltf+json", false},
	{"go", "text/plain; charset=utf-8", false},
	{"gpx", "application/gpx+xml", false},
	{"gz", "application/gzip", true},
	{"h", "text/plain; charset=utf-8", false},
	{"heic", "image/heic", true},
	{"heif", "image/heif", true},
	{"htm", "text/html; charset=utf-8", false},
	{"html", "text/html; charset=utf-8", false},
	{"ico", "image/x-icon", false},
	{"ics", "text/calendar; charset=utf-8", false},
	{"ini", "text/plain; charset=utf-8", false},
	{"ipynb", "application/x-ipynb+json", false},
	{"iso", "application/x-iso9660-image", false},
	{"jar", "application/java-archive", true},
	{"java", "text/plain; charset=utf-8", false},
	{"jpeg", "image/jpeg", true},
	{"jpg", "image/jpeg", true},
	{"js", "text/javascript; charset=utf-8", false},
	{"json", "application/json", false},
	{"jsonld", "application/ld+json", false},
	{"jxl", "image/jxl", true},
	{"kml", "application/vnd.google-earth.kml+xml", false},
	{"log", "text/plain; charset=utf-8", false},
	{"lz4", "application/x-lz4", true},
	{"m3u8", "application/vnd.apple.mpegurl", false},
	{"m4a", "audio/mp4", true},
	{"m4v", "video/mp4", true},
	{"map", "application/json", false},
	{"markdown", "text/markdown; charset=utf-8", false},
	{"md", "text/markdown; charset=utf-8", false},
	{"mid", "audio/midi", false},
	{"midi", "audio/midi", false},
	{"mjs", "text/javascript; charset=utf-8", false},
	{"mkv", "video/x-matroska", true},
	{"mov", "video/quicktime", true},
	{"mp3", "audio/mpeg", true},
	{"mp4", "video/mp4", true},
	{"mpd", "application/dash+xml", false},
	{"mpeg", "video/mpeg", true},
	{"mpg", "video/mpeg", true},
	{"msi", "application/x-msi", true},
	{"obj", "model/obj", false},
	{"odp", "application/vnd.oasis.opendocument.presentation", true},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet", true},
	{"odt", "application/vnd.oasis.opendocument.text", true},
	{"oga", "audio/ogg", true},
	{"ogg", "audio/ogg", true},
	{"ogv", "video/ogg", true},
	{"opus", "audio/ogg", true},
	{"otf", "font/otf", false},
	{"patch", "text/plain; charset=utf-8", false},
	{"pdf", "application/pdf", false},
	{"pem", "application/x-pem-file", false},
	{"png", "image/png", true},
	{"ppt", "application/vnd.ms-powerpoint", false},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", true},
	{"ps", "application/postscript", false},
	{"py", "text/plain; charset=utf-8", false},
	{"rar", "application/vnd.rar", true},
	{"rpm", "application/x-rpm", true},
	{"rs", "text/plain; charset=utf-8", false},
	{"rss", "application/rss+xml", false},
	{"rtf", "application/rtf", false},
	{"sh", "text/plain; charset=utf-8", false},
	{"sql", "text/plain; charset=utf-8", false},
	{"srt", "text/plain; charset=utf-8", false},
	{"stl", "model/stl", false},
	{"svg", "image/svg+xml", false},
	{"tar", "application/x-tar", false},
	{"tgz", "application/gzip", true},
	{"tif", "image/tiff", false},
	{"tiff", "image/tiff", false},
	{"toml", "application/toml", false},
	{"ts", "video/mp2t", true},
	{"tsv", "text/tab-separated-values; charset=utf-8", false},
	{"ttc", "font/collection", false},
	{"ttf", "font/ttf", false},
	{"txt", "text/plain; charset=utf-8", false},
	{"usdz", "model/vnd.usdz+zip", true},
	{"vcf", "text/vcard; charset=utf-8", false},
	{"vtt", "text/vtt; charset=utf-8", false},
	{"wasm", "application/wasm", false},
	{"wav", "audio/wav", false},
	{"weba", "audio/webm", true},
	{"webm", "video/webm", true},
	{"webmanifest", "application/manifest+json", false},
	{"webp", "image/webp", true},
	{"woff", "font/woff", true},
	{"woff2", "font/woff2", true},
	{"xhtml", "application/xhtml+xml", false},
	{"xls", "application/vnd.ms-excel", false},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", true},
	{"xml", "application/xml", false},
	{"xsd", "application/xml", false},
	{"xsl", "application/xml", false},
	{"xz", "application/x-xz", true},
	{"yaml", "application/yaml", false},
	{"yml", "application/yaml", false},
	{"zip", "application/zip", true},
	{"zst", "application/zstd", true},

};
/* clang-format on */

static const struct tako__mime unknown = {"", "application/octet-stream", false};

const struct tako__mime *tako__mime_table(size_t *ret_count)
{
	*ret_count = TAKO__COUNT(table);
	return table;
}

/* The extension of `path` as the table has it; false if there is none that it could have.  A dot
 * that begins the name begins no extension: ".profile" is a name. */
static bool extension_of(char to[TAKO__MIME_EXTENSION_MAX + 1], tako_str path)
{
	size_t at = path.n;
	size_t n;

	while (at > 0 && path.n - at <= TAKO__MIME_EXTENSION_MAX && path.p[at - 1] != '.' &&
	       path.p[at - 1] != '/')
		at--;
	n = path.n - at;
	if (n == 0 || n > TAKO__MIME_EXTENSION_MAX || at < 2 || path.p[at - 1] == '/' ||
	    path.p[at - 2] == '/')
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = path.p[at + i];

		to[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	to[n] = '\0';
	return true;
}

const struct tako__mime *tako__mime_find(tako_str path)
{
	char extension[TAKO__MIME_EXTENSION_MAX + 1];
	size_t low = 0;
	size_t high = TAKO__COUNT(table);

	if (!extension_of(extension, path))
		return &unknown;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(extension, table[middle].extension);

		if (order == 0)
			return &table[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return &unknown;
}
