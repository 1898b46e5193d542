/* Base64 (RFC 4648, with padding) as a stream: input comes in pieces of any length, and what
 * does not fill a group of three bytes or four characters is carried over to the next piece.
 *
 * The decoder is strict, so that every byte string has exactly one text: no line feeds, no
 * missing or early padding, no set bits behind the last byte. */
#ifndef CHECKPOINT_BASE64_H
#define CHECKPOINT_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct base64_encoder {
	uint8_t carry[3];
	unsigned carried; /* 0 .. 2 */
};

/* Room that encoding len bytes (update) and the end (finish) can need. */
#define BASE64_ENCODED_MAX(len) (((len) + 2) / 3 * 4 + 4)

/* Each returns the number of characters written to out; nothing is NUL-terminated. */
size_t base64_encode(struct base64_encoder *encoder, const uint8_t *bytes, size_t len, char *out);
size_t base64_encode_end(struct base64_encoder *encoder, char *out);

/* The whole groups of three in bytes, by table alone: what processors without AVX2 use. Returns how many bytes those are. */
size_t base64_encode_plain(const uint8_t *bytes, size_t len, char *out);

struct base64_decoder {
	uint8_t carry[4];
	unsigned carried; /* 0 .. 3 */
	bool ended; /* padding was seen */
};

/* Room that decoding len characters can need. */
#define BASE64_DECODED_MAX(len) (((len) / 4 + 1) * 3)

/* False when text is not base64; *ret_bad is then the index in text at which (or, for a bad last group, near
 * which) that became clear. Else *ret_len bytes were written to out, which may not overlap text. */
bool base64_decode(struct base64_decoder *decoder, const uint8_t *text, size_t len, uint8_t *out, size_t *ret_len,
		   size_t *ret_bad);
/* False when the text stopped in the middle of a group. */
bool base64_decode_end(const struct base64_decoder *decoder);

#endif
