/* Base64: the RFC's vectors, every way of cutting them into pieces, and what a strict decoder refuses. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/base64.h"

static const struct {
	const char *plain, *text;
} vectors[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
};

/* In pieces of the lengths that the bits of cuts say: a set bit at i ends a piece behind byte i. */
static size_t encode_cut(const uint8_t *bytes, size_t len, uint32_t cuts, char *out)
{
	struct base64_encoder encoder = {0};
	size_t n = 0, from = 0;

	for (size_t i = 0; i < len; i++)
		if (cuts >> i & 1 || i + 1 == len) {
			n += base64_encode(&encoder, bytes + from, i + 1 - from, out + n);
			from = i + 1;
		}
	return n + base64_encode_end(&encoder, out + n);
}

static bool decode_cut(const char *text, size_t len, uint32_t cuts, uint8_t *out, size_t *ret_len)
{
	struct base64_decoder decoder = {0};
	size_t n = 0, from = 0, got, bad;

	for (size_t i = 0; i < len; i++)
		if (cuts >> i & 1 || i + 1 == len) {
			if (!base64_decode(&decoder, (const uint8_t *)text + from, i + 1 - from, out + n, &got, &bad))
				return false;
			n += got;
			from = i + 1;
		}
	*ret_len = n;
	return base64_decode_end(&decoder);
}

Test(base64, encodes_and_decodes_the_vectors_of_rfc_4648_in_every_chunking)
{
	for (size_t v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++) {
		size_t plain_len = strlen(vectors[v].plain), text_len = strlen(vectors[v].text), n;
		uint8_t plain[16];
		char text[32];

		for (uint32_t cuts = 0; cuts < 1u << plain_len; cuts++) {
			n = encode_cut((const uint8_t *)vectors[v].plain, plain_len, cuts, text);
			cr_assert(n == text_len && memcmp(text, vectors[v].text, n) == 0, "\"%s\" cut as %x",
				  vectors[v].plain, cuts);
		}
		for (uint32_t cuts = 0; cuts < 1u << text_len; cuts++) {
			cr_assert(decode_cut(vectors[v].text, text_len, cuts, plain, &n));
			cr_assert(n == plain_len && memcmp(plain, vectors[v].plain, n) == 0, "\"%s\" cut as %x",
				  vectors[v].text, cuts);
		}
	}
}

Test(base64, gives_back_every_byte_at_every_length)
{
	uint8_t bytes[300], back[BASE64_DECODED_MAX(404)];
	char text[BASE64_ENCODED_MAX(300)];
	size_t back_len;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + i / 7);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		for (size_t cut = 0; cut <= len && cut < 20; cut++) {
			struct base64_encoder encoder = {0};
			struct base64_decoder decoder = {0};
			size_t n = base64_encode(&encoder, bytes, cut, text), bad;

			n += base64_encode(&encoder, bytes + cut, len - cut, text + n);
			n += base64_encode_end(&encoder, text + n);
			cr_assert_eq(n, (len + 2) / 3 * 4);
			cr_assert(base64_decode(&decoder, (uint8_t *)text, n, back, &back_len, &bad));
			cr_assert(base64_decode_end(&decoder));
			cr_assert(back_len == len && memcmp(back, bytes, len) == 0, "length %zu cut at %zu", len, cut);
		}
}

Test(base64, refuses_what_is_not_the_one_text_of_its_bytes)
{
	static const char *const wrong[] = {
		"Z",
		"Zg",
		"Zg=",
		"Zh==",
		"Zm9=",
		"Zg==Zg==",
		"Zg=a",
		"=Zg=",
		"====",
		"Z===",
		"Zm9v\n",
		"Zm 9v",
		"Zm9-",
		"Zm9_",
		"Zm9\x80",
		"Zm9vZm\"v",
		"Zg==Z",
		"Zm8=Zm9v",
		"Zm9vZm9vZm9vZm\\v",
		"Z=9v",
	};
	uint8_t out[64];
	size_t n;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		for (uint32_t cuts = 0; cuts < 1u << strlen(wrong[i]); cuts += 1 + (cuts >> 8))
			cr_assert(!decode_cut(wrong[i], strlen(wrong[i]), cuts, out, &n), "\"%s\" was taken, cut as %x",
				  wrong[i], cuts);
}

Test(base64, encodes_many_bytes_at_once_as_the_table_does)
{
	uint8_t bytes[512];
	char wide[BASE64_ENCODED_MAX(sizeof(bytes))], plain[BASE64_ENCODED_MAX(sizeof(bytes))];
	uint64_t random = 1;

	for (int round = 0; round < 64; round++)
		for (size_t len = 0; len <= sizeof(bytes); len++) {
			struct base64_encoder encoder = {0};
			size_t done, n;

			for (size_t i = 0; i < len; i++) {
				random = random * 6364136223846793005u + 1442695040888963407u;
				bytes[i] = (uint8_t)(random >> 56);
			}
			done = base64_encode_plain(bytes, len, plain);
			n = base64_encode(&encoder, bytes, len, wide);
			cr_assert_eq(done, len - len % 3);
			cr_assert_eq(n, done / 3 * 4);
			cr_assert_eq(encoder.carried, len % 3);
			cr_assert_arr_eq(wide, plain, n, "%zu bytes", len);
		}
}
