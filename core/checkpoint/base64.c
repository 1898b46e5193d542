/* See base64.h. A checkpoint's state passes through here twice, so the inner loops count: two
 * characters come out of one look-up when encoding, or 32 of a step where the processor has AVX2; decoding checks a group with
 * one branch. */
#include "checkpoint/base64.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* All pairs of two characters, by the twelve bits that they stand for. */
#define PAIRS_8(a, b, c, d, e, f, g, h, i)                                                                             \
	{a, b}, {a, c}, {a, d}, {a, e}, {a, f}, {a, g}, {a, h},                                                        \
	{                                                                                                              \
		a, i                                                                                                   \
	}
#define PAIRS(a)                                                                                                       \
	PAIRS_8(a, 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'), PAIRS_8(a, 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P'),        \
		PAIRS_8(a, 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X'),                                                    \
		PAIRS_8(a, 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f'),                                                    \
		PAIRS_8(a, 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n'),                                                    \
		PAIRS_8(a, 'o', 'p', 'q', 'r', 's', 't', 'u', 'v'),                                                    \
		PAIRS_8(a, 'w', 'x', 'y', 'z', '0', '1', '2', '3'), PAIRS_8(a, '4', '5', '6', '7', '8', '9', '+', '/')
#define PAIRS_OF_8(a, b, c, d, e, f, g, h)                                                                             \
	PAIRS(a), PAIRS(b), PAIRS(c), PAIRS(d), PAIRS(e), PAIRS(f), PAIRS(g), PAIRS(h)

static const char pairs[4096][2] = {
	PAIRS_OF_8('A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'), PAIRS_OF_8('I', 'J', 'K', 'L', 'M', 'N', 'O', 'P'),
	PAIRS_OF_8('Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X'), PAIRS_OF_8('Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f'),
	PAIRS_OF_8('g', 'h', 'i', 'j', 'k', 'l', 'm', 'n'), PAIRS_OF_8('o', 'p', 'q', 'r', 's', 't', 'u', 'v'),
	PAIRS_OF_8('w', 'x', 'y', 'z', '0', '1', '2', '3'), PAIRS_OF_8('4', '5', '6', '7', '8', '9', '+', '/'),
};

/* 64 + the character's value; 0 for what is no character of the alphabet. */
#define VALID 0x40u
static const uint8_t values[256] = {
	['A'] = 64,  ['B'] = 65,  ['C'] = 66,  ['D'] = 67,  ['E'] = 68,	 ['F'] = 69,  ['G'] = 70,  ['H'] = 71,
	['I'] = 72,  ['J'] = 73,  ['K'] = 74,  ['L'] = 75,  ['M'] = 76,	 ['N'] = 77,  ['O'] = 78,  ['P'] = 79,
	['Q'] = 80,  ['R'] = 81,  ['S'] = 82,  ['T'] = 83,  ['U'] = 84,	 ['V'] = 85,  ['W'] = 86,  ['X'] = 87,
	['Y'] = 88,  ['Z'] = 89,  ['a'] = 90,  ['b'] = 91,  ['c'] = 92,	 ['d'] = 93,  ['e'] = 94,  ['f'] = 95,
	['g'] = 96,  ['h'] = 97,  ['i'] = 98,  ['j'] = 99,  ['k'] = 100, ['l'] = 101, ['m'] = 102, ['n'] = 103,
	['o'] = 104, ['p'] = 105, ['q'] = 106, ['r'] = 107, ['s'] = 108, ['t'] = 109, ['u'] = 110, ['v'] = 111,
	['w'] = 112, ['x'] = 113, ['y'] = 114, ['z'] = 115, ['0'] = 116, ['1'] = 117, ['2'] = 118, ['3'] = 119,
	['4'] = 120, ['5'] = 121, ['6'] = 122, ['7'] = 123, ['8'] = 124, ['9'] = 125, ['+'] = 126, ['/'] = 127,
};

static void encode_group(const uint8_t *in, char *out)
{
	uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

	memcpy(out, pairs[bits >> 12], 2);
	memcpy(out + 2, pairs[bits & 0xfff], 2);
}

/* Six bytes in one load of eight: the caller guarantees two more bytes behind them. */
static void encode_two_groups(const uint8_t *in, char *out)
{
	uint64_t bits;

	memcpy(&bits, in, sizeof(bits));
	bits = __builtin_bswap64(bits);
	memcpy(out, pairs[bits >> 52], 2);
	memcpy(out + 2, pairs[bits >> 40 & 0xfff], 2);
	memcpy(out + 4, pairs[bits >> 28 & 0xfff], 2);
	memcpy(out + 6, pairs[bits >> 16 & 0xfff], 2);
}

#if defined(__x86_64__)
/* 24 bytes become 32 characters at a step, which reads 28. In each half of the register a shuffle puts the three bytes
 * of a group into four (b a c b), multiplications move the four fields of six bits to a byte each, and a second shuffle looks
 * up what is to be added to a field of that range to make it a character. */
__attribute__((target("avx2"))) static size_t encode_wide(const uint8_t *bytes, size_t len, char *out)
{
	const __m256i spread = _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10, /* and again */
						1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
	const __m256i offsets = _mm256_setr_epi8(
		'a' - 26, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, '+' - 62, '/' - 63, 'A', 0, 0, /* and again */
		'a' - 26, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, '+' - 62, '/' - 63, 'A', 0, 0);
	size_t done = 0;

	for (; len - done >= 28; done += 24, out += 32) {
		__m128i low = _mm_loadu_si128((const __m128i *)(bytes + done));
		__m128i high = _mm_loadu_si128((const __m128i *)(bytes + done + 12));
		__m256i groups = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
		__m256i first_and_third = _mm256_mulhi_epu16(_mm256_and_si256(groups, _mm256_set1_epi32(0x0fc0fc00)),
							     _mm256_set1_epi32(0x04000040));
		__m256i second_and_last = _mm256_mullo_epi16(_mm256_and_si256(groups, _mm256_set1_epi32(0x003f03f0)),
							     _mm256_set1_epi32(0x01000010));
		__m256i fields = _mm256_or_si256(first_and_third, second_and_last);
		/* 0 for lower case, 1 to 10 for digits, 11 and 12 for the last two, 13 for upper case. */
		__m256i is_upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), fields);
		__m256i range = _mm256_or_si256(_mm256_subs_epu8(fields, _mm256_set1_epi8(51)),
						_mm256_and_si256(is_upper, _mm256_set1_epi8(13)));

		_mm256_storeu_si256((__m256i *)out, _mm256_add_epi8(fields, _mm256_shuffle_epi8(offsets, range)));
	}
	return done;
}

static bool is_wide(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
static size_t encode_wide(const uint8_t *bytes, size_t len, char *out)
{
	(void)bytes, (void)len, (void)out;
	return 0;
}

static bool is_wide(void)
{
	return false;
}
#endif

size_t base64_encode_plain(const uint8_t *bytes, size_t len, char *out)
{
	size_t done = 0;

	for (; len - done >= 8; done += 6, out += 8)
		encode_two_groups(bytes + done, out);
	for (; len - done >= 3; done += 3, out += 4)
		encode_group(bytes + done, out);
	return done;
}

/* Whole groups, as many as there are; returns how many bytes. */
static size_t encode_groups(const uint8_t *bytes, size_t len, char *out)
{
	/* GCOVR_EXCL_BR_START: a processor has AVX2 or has not; test_base64.c calls what comes without by its own name */
	size_t done = is_wide() ? encode_wide(bytes, len, out) : 0;
	/* GCOVR_EXCL_BR_STOP */

	return done + base64_encode_plain(bytes + done, len - done, out + done / 3 * 4);
}

size_t base64_encode(struct base64_encoder *encoder, const uint8_t *bytes, size_t len, char *out)
{
	const char *start = out;

	if (encoder->carried == 1 && len) {
		encoder->carry[1] = *bytes++;
		encoder->carried = 2;
		len--;
	}
	if (encoder->carried == 2 && len) {
		encoder->carry[2] = *bytes++;
		encoder->carried = 0;
		len--;
		encode_group(encoder->carry, out);
		out += 4;
	}
	if (encoder->carried == 0) {
		size_t done = encode_groups(bytes, len, out);

		out += done / 3 * 4;
		encoder->carried = (unsigned)(len - done);
		memcpy(encoder->carry, bytes + done, len - done);
	}
	return (size_t)(out - start);
}

size_t base64_encode_end(struct base64_encoder *encoder, char *out)
{
	unsigned carried = encoder->carried;

	if (carried == 0)
		return 0;
	memset(encoder->carry + carried, 0, sizeof(encoder->carry) - carried);
	encode_group(encoder->carry, out);
	memset(out + carried + 1, '=', 3 - carried);
	encoder->carried = 0;
	return 4;
}

/* A whole group without padding. */
static bool decode_group(const uint8_t *text, uint8_t *out)
{
	uint32_t a = values[text[0]], b = values[text[1]], c = values[text[2]], d = values[text[3]];
	uint32_t bits = (a << 18) + (b << 12) + (c << 6) + d - ((VALID << 18) + (VALID << 12) + (VALID << 6) + VALID);

	if (!(a & b & c & d & VALID))
		return false;
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	return true;
}

/* The group that ends the text: "xx==" or "xxx=". */
static bool decode_last_group(const uint8_t *text, uint8_t *out, size_t *ret_len)
{
	uint8_t whole[3];
	uint8_t filled[4] = {text[0], text[1], text[2], 'A'};
	unsigned bytes = text[2] == '=' ? 1 : 2;

	if (text[3] != '=')
		return false;
	if (bytes == 1)
		filled[2] = 'A';
	if (!decode_group(filled, whole))
		return false;
	for (unsigned i = bytes; i < 3; i++)
		if (whole[i])
			return false; /* bits behind the last byte */
	memcpy(out, whole, bytes);
	*ret_len = bytes;
	return true;
}

static bool decode_any_group(struct base64_decoder *decoder, const uint8_t *text, uint8_t *out, size_t *ret_len)
{
	if (decoder->ended)
		return false;
	if (decode_group(text, out)) {
		*ret_len = 3;
		return true;
	}
	decoder->ended = decode_last_group(text, out, ret_len);
	return decoder->ended;
}

bool base64_decode(struct base64_decoder *decoder, const uint8_t *text, size_t len, uint8_t *out, size_t *ret_len,
		   size_t *ret_bad)
{
	const uint8_t *out_start = out;
	size_t i = 0, n;

	while (decoder->carried && i < len) {
		decoder->carry[decoder->carried++] = text[i++];
		if (decoder->carried < 4)
			continue;
		*ret_bad = i - 1;
		if (!decode_any_group(decoder, decoder->carry, out, &n))
			return false;
		out += n;
		decoder->carried = 0;
	}
	if (!decoder->ended)
		for (; len - i >= 4 && decode_group(text + i, out); i += 4)
			out += 3;
	for (; len - i >= 4; i += 4) {
		*ret_bad = i;
		if (!decode_any_group(decoder, text + i, out, &n))
			return false;
		out += n;
	}
	*ret_bad = i;
	if (i < len && decoder->ended)
		return false;
	while (i < len)
		decoder->carry[decoder->carried++] = text[i++];
	*ret_len = (size_t)(out - out_start);
	return true;
}

bool base64_decode_end(const struct base64_decoder *decoder)
{
	return decoder->carried == 0;
}
