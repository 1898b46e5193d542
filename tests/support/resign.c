/* See resign.h. */
#include "resign.h"

#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "checkpoint/frame.h"

#define DIGEST_MARK "\"Digest\":\"sha256:"
#define STATE_MARK "\"StateData\":\""

struct each {
	resign_change *change;
	void *context;
};

static uint8_t *find(uint8_t *bytes, size_t len, const char *mark)
{
	uint8_t *at = len ? memmem(bytes, len, mark, strlen(mark)) : NULL;

	return at ? at + strlen(mark) : NULL;
}

/* Frames follow each other in a snapshot; whatever looks like one, by its lengths, gets the right checksum. */
static void sign_frames(void *context, uint8_t *raw, size_t len)
{
	(void)context;
	for (size_t at = 0; at + FRAME_HEADER_BYTES + FRAME_CHECKSUM_BYTES <= len;) {
		uint32_t stored;
		uint64_t sum;

		memcpy(&stored, raw + at + 8, sizeof(stored));
		if (raw[at] == 0 || raw[at] > FRAME_CHANGES || raw[at + 1] > 2 ||
		    stored > len - at - FRAME_HEADER_BYTES - FRAME_CHECKSUM_BYTES) {
			at++;
			continue;
		}
		sum = XXH3_64bits(raw + at, FRAME_HEADER_BYTES + stored);
		memcpy(raw + at + FRAME_HEADER_BYTES + stored, &sum, sizeof(sum));
		at += FRAME_HEADER_BYTES + stored + FRAME_CHECKSUM_BYTES;
	}
}

/* Decodes base64 between quotes, lets change() at the bytes, and encodes them into the same place. */
static void within_base64(uint8_t *text, size_t len, resign_change *change, void *context)
{
	struct base64_decode_ctx decoder;
	size_t raw_len = BASE64_DECODE_LENGTH(len);
	uint8_t *raw = malloc(raw_len + 1);

	base64_decode_init(&decoder);
	if (raw && base64_decode_update(&decoder, &raw_len, raw, len, (const char *)text) &&
	    BASE64_ENCODE_RAW_LENGTH(raw_len) == len) {
		change(context, raw, raw_len);
		base64_encode_raw((char *)text, raw_len, raw);
	}
	free(raw);
}

/* The snapshots inside StateData: {"…":"base64",…}. */
static void change_snapshots(void *context, uint8_t *json, size_t len)
{
	const struct each *each = context;
	uint8_t *end = json + len;

	for (uint8_t *at = json; at < end; at++) {
		uint8_t *close;

		if (*at != '"')
			continue;
		close = memchr(at + 1, '"', (size_t)(end - at - 1));
		if (!close)
			return;
		if (close - at > (ptrdiff_t)FRAME_HEADER_BYTES)
			within_base64(at + 1, (size_t)(close - at - 1), each->change, each->context);
		at = close;
	}
}

void resign_change_frames(uint8_t *file, size_t len, resign_change *change, void *context)
{
	struct each each = {.change = change, .context = context};
	uint8_t *state = find(file, len, STATE_MARK);
	uint8_t *close = state ? memchr(state, '"', (size_t)(file + len - state)) : NULL;

	if (close)
		within_base64(state, (size_t)(close - state), change_snapshots, &each);
}

void resign_digest(uint8_t *file, size_t len)
{
	uint8_t *digest = find(file, len, DIGEST_MARK);
	uint8_t sum[SHA256_DIGEST_SIZE];
	char hex[2 * SHA256_DIGEST_SIZE + 1];
	struct sha256_ctx context;

	if (!digest || (size_t)(file + len - digest) < 2 * sizeof(sum))
		return;
	sha256_init(&context);
	sha256_update(&context, (size_t)(digest - file), file);
	sha256_digest(&context, sizeof(sum), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	memcpy(digest, hex, 2 * sizeof(sum));
}

void resign_checkpoint(uint8_t *file, size_t len)
{
	resign_change_frames(file, len, sign_frames, NULL);
	resign_digest(file, len);
}
