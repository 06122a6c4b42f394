/* SPDX-License-Identifier: MIT
 *
 * See ws_key.h.  SHA-1 (FIPS 180-4 section 6.1) of one known length, since no library that is always
 * linked has it.
 */
#include "transports/ws/ws_key.h"

#include <string.h>

#include "core/str.h"

bool tako__ws_key_ok(tako_str key)
{
	if (!key.p || key.n != TAKO__WS_KEY_BYTES || memcmp(key.p + 22, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < 22; i++) {
		char c = key.p[i];

		if (!tako__is(c, TAKO__C_ALPHA | TAKO__C_DIGIT) && c != '+' && c != '/')
			return false;
	}
	return true;
}

static uint32_t rotate(uint32_t v, int bits)
{
	return v << bits | v >> (32 - bits);
}

static uint32_t load32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
	switch (round / 20) {
	case 0:
		return ((b & c) | (~b & d)) + 0x5a827999;
	case 1:
		return (b ^ c ^ d) + 0x6ed9eba1;
	case 2:
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	default:
		return (b ^ c ^ d) + 0xca62c1d6;
	}
}

static void sha1_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	uint32_t w[80] = {0};

	for (unsigned i = 0; i < 80; i++) {
		uint32_t t;

		w[i] = i < 16 ? load32(p + i * 4)
		              : rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
		t = rotate(a, 5) + mix(i, b, c, d) + e + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

static void base64(char *to, const unsigned char *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3, to += 4) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
		             (i + 2 < n ? p[i + 2] : 0);

		to[0] = digits[v >> 18];
		to[1] = digits[v >> 12 & 63];
		to[2] = i + 1 < n ? digits[v >> 6 & 63] : '=';
		to[3] = i + 2 < n ? digits[v & 63] : '=';
	}
}

void tako__ws_key_answer(char to[TAKO__WS_ACCEPT_BYTES], tako_str key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	enum { TEXT_BYTES = TAKO__WS_KEY_BYTES + sizeof guid - 1 };
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	unsigned char text[128] = {0}; /* 60 bytes, a bit, and their number, are two blocks */
	unsigned char digest[20];

	memcpy(text, key.p, TAKO__WS_KEY_BYTES);
	memcpy(text + TAKO__WS_KEY_BYTES, guid, sizeof guid - 1);
	text[TEXT_BYTES] = 0x80;
	text[126] = TEXT_BYTES * 8 >> 8;
	text[127] = TEXT_BYTES * 8 & 255;
	sha1_block(h, text);
	sha1_block(h, text + 64);
	for (unsigned i = 0; i < sizeof digest; i++)
		digest[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
	base64(to, digest, sizeof digest);
}
