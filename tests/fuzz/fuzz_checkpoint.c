/* libFuzzer on reading a checkpoint. Each input is read as it is, which the digest mostly ends, and once more after all that guards it has been
 * computed anew: the checksum of each frame in StateData, and the file's digest. So what lies behind the guards is reached. Whatever it is, the
 * reader says what is wrong with it or hands out items; and what it calls whole once, it calls whole again. */
#include <fcntl.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "checkpoint/frame.h"
#include "checkpoint/reader.h"
#include "io/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST_MARK "\"Digest\":\"sha256:"
#define STATE_MARK "\"StateData\":\""

static uint8_t *find(uint8_t *bytes, size_t len, const char *mark)
{
	uint8_t *at = len ? memmem(bytes, len, mark, strlen(mark)) : NULL;

	return at ? at + strlen(mark) : NULL;
}

/* Frames follow each other in a snapshot's base64, which is base64 once more; a walk over both is left to the reader. Here the outer one is enough:
 * whatever looks like a frame in it, by its lengths, gets the right checksum. */
static void sign_frames(uint8_t *raw, size_t len)
{
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
static void within_base64(uint8_t *text, size_t len, void (*change)(uint8_t *raw, size_t len))
{
	struct base64_decode_ctx decoder;
	struct base64_encode_ctx encoder;
	size_t raw_len = BASE64_DECODE_LENGTH(len);
	uint8_t *raw = malloc(raw_len + 1);

	base64_decode_init(&decoder);
	if (raw && base64_decode_update(&decoder, &raw_len, raw, len, (const char *)text) &&
	    BASE64_ENCODE_RAW_LENGTH(raw_len) == len) {
		change(raw, raw_len);
		base64_encode_init(&encoder);
		base64_encode_raw((char *)text, raw_len, raw);
	}
	free(raw);
}

/* The snapshots inside StateData: {"…":"base64",…}. */
static void sign_snapshots(uint8_t *json, size_t len)
{
	uint8_t *end = json + len;

	for (uint8_t *at = json; at < end; at++) {
		uint8_t *close;

		if (*at != '"')
			continue;
		close = memchr(at + 1, '"', (size_t)(end - at - 1));
		if (!close)
			return;
		if (close - at > (ptrdiff_t)FRAME_HEADER_BYTES)
			within_base64(at + 1, (size_t)(close - at - 1), sign_frames);
		at = close;
	}
}

static void sign(uint8_t *bytes, size_t len)
{
	uint8_t *state = find(bytes, len, STATE_MARK), *digest = find(bytes, len, DIGEST_MARK);
	uint8_t *close = state ? memchr(state, '"', (size_t)(bytes + len - state)) : NULL;
	struct sha256_ctx context;
	uint8_t sum[SHA256_DIGEST_SIZE];
	char hex[2 * SHA256_DIGEST_SIZE + 1];

	if (close)
		within_base64(state, (size_t)(close - state), sign_snapshots);
	if (!digest || (size_t)(bytes + len - digest) < 2 * sizeof(sum))
		return;
	sha256_init(&context);
	sha256_update(&context, (size_t)(digest - bytes), bytes);
	sha256_digest(&context, sizeof(sum), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	memcpy(digest, hex, 2 * sizeof(sum));
}

static int32_t read_all(struct io *io, const char *path)
{
	struct checkpoint_reader *reader;
	struct checkpoint_item item;
	sb_error err = ERROR_INIT;
	int32_t status = checkpoint_reader_open(io, path, &reader, &err);

	if (status != SB_OK)
		return status;
	do {
		status = checkpoint_reader_next(reader, &item, &err);
	} while (status == SB_OK && item.kind != ITEM_END);
	if (status != SB_OK && !err.message[0])
		abort(); /* a refusal without a sentence */
	checkpoint_reader_close(reader);
	return status;
}

static void read_file(const uint8_t *bytes, size_t len)
{
	static int fd = -1;
	static struct io io;
	char path[64];
	sb_error err = ERROR_INIT;
	int32_t first;

	if (fd < 0) {
		io_init_system(&io);
		fd = memfd_create("checkpoint", MFD_CLOEXEC);
	}
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	first = read_all(&io, path);
	if (read_all(&io, path) != first)
		abort();
	checkpoint_verify(&io, path, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		return 0;
	read_file(data, size);
	memcpy(copy, data, size);
	copy[size] = 0;
	sign(copy, size);
	read_file(copy, size);
	free(copy);
	return 0;
}
