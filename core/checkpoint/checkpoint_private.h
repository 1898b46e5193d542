/* What the files of this folder share with each other and with nobody else. README.md has the
 * picture: which layer feeds which, the format, and the crash windows. */
#ifndef CHECKPOINT_PRIVATE_H
#define CHECKPOINT_PRIVATE_H

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "checkpoint/json_pull.h"
#include "checkpoint/metadata.h"
#include "checkpoint/writer.h"
#include "io/io.h"

/* Bounds. A writer that would cross one fails; a reader that meets more calls the file damaged. */
#define CHECKPOINT_HEADER_MAX (16u << 20) /* all before StateData */
#define CHECKPOINT_TRAILER_MAX 4096u /* all behind it */
#define CHECKPOINT_NAME_MAX 64u /* of a snapshot or a provider */
#define CHECKPOINT_NAMES_MAX 65536u /* how many of either, and of inputs */
#define CHECKPOINT_TEXT_MAX 65536u /* a string of the header: paths mostly */
#define CHECKPOINT_PROVIDER_MAX (16u << 20)
#define CHECKPOINT_USER_PART_MAX (1u << 20)
#define CHECKPOINT_VALUE_MAX ((64u << 20) + 4096u)

/* The file's last bytes: the digest covers everything in front of its 64 hexadecimal digits. */
#define CHECKPOINT_DIGEST_HEX 64u
#define CHECKPOINT_FILE_END "\"}\n"
#define CHECKPOINT_FILE_END_BYTES (CHECKPOINT_DIGEST_HEX + 3)
#define CHECKPOINT_DIGEST_PREFIX "\"Digest\":\"sha256:"

#define CHECKPOINT_SUFFIX ".json"
#define CHECKPOINT_TMP_SUFFIX ".json.tmp"
#define CHECKPOINT_QUARANTINE "quarantine"
#define CHECKPOINT_ABANDONED "abandoned"
#define CHECKPOINT_SHARED "shared"
#define CHECKPOINT_TMP_PREFIX "tmp-"
#define CHECKPOINT_LOCK "LOCK"

/* checkpoint_id.c. Ids are "checkpoint-" and a number above 0 without leading zeros. */
void checkpoint_id_format(uint64_t number, char ret_id[CHECKPOINT_ID_BYTES]);
/* The number of an id that begins name; *ret_rest is what follows it. */
bool checkpoint_id_parse(const char *name, uint64_t *ret_number, const char **ret_rest);
bool checkpoint_id_is_valid(const char *id);

/* file_sink.c: bytes into a new file, in large writes, hashed on their way. */
struct file_sink {
	struct io *io;
	const char *path; /* for sentences */
	int fd; /* -1: none */
	uint8_t *bytes;
	size_t used;
	int64_t total; /* bytes so far */
	int64_t begun; /* of these, that the disk was told to begin with */
	struct sha256_ctx sha256;
};

int32_t file_sink_open(struct file_sink *sink, struct io *io, const char *path, sb_error *err);
int32_t file_sink_write(struct file_sink *sink, sb_slice bytes, sb_error *err);
/* Room for len (at most FILE_SINK_ROOM_MAX) bytes, to be counted by file_sink_filled. NULL on failure. */
#define FILE_SINK_ROOM_MAX (64u << 10)
uint8_t *file_sink_room(struct file_sink *sink, size_t len, sb_error *err);
void file_sink_filled(struct file_sink *sink, size_t len);
/* The digest of all bytes so far, in hexadecimal, NUL-terminated. Nothing is hashed from here on. */
void file_sink_digest(struct file_sink *sink, char ret_hex[CHECKPOINT_DIGEST_HEX + 1]);
/* Everything is in the file; with sync, on the disk, too. */
int32_t file_sink_flush(struct file_sink *sink, sb_error *err);
int32_t file_sink_sync(struct file_sink *sink, sb_error *err);
/* Closes the file and frees the memory; the file stays. */
void file_sink_close(struct file_sink *sink);

/* file_source.c: a stretch of a file, in pieces. */
struct file_source {
	struct io *io;
	const char *path;
	int fd;
	int64_t at, end;
	uint8_t *bytes; /* FILE_SOURCE_BYTES, the caller's */
};

#define FILE_SOURCE_BYTES (256u << 10)
/* json_fill_fn: context is a struct file_source. */
int32_t file_source_fill(void *context, sb_slice *ret_piece, sb_error *err);

/* metadata_json.c. The rules that hold for writing and for reading, and the words. */
extern const char *const metadata_kind_names[]; /* by enum checkpoint_kind */
extern const char *const metadata_codec_names[]; /* by enum checkpoint_codec */
/* What is wrong with the file at index, or NULL. */
const char *metadata_file_fault(const struct checkpoint_meta *meta, uint64_t index);
bool metadata_is_sha256(const char *text);
/* Whether kind, parent, depth and files go together. */
bool metadata_kind_fits(const struct checkpoint_meta *meta);
const char *checkpoint_codec_name(enum checkpoint_codec codec);
/* The file's beginning, up to and with the quote that opens StateData. */
int32_t metadata_write_header(const struct checkpoint_meta *meta, enum checkpoint_codec codec, struct buffer *out,
			      sb_error *err);
/* metadata_read.c. The same back; the parser then stands behind that quote. *ret_newer (the FormatVersion) is not 0 when the format is
 * newer: then
 * only id, timestamp_ns and offsets are filled in, and the parser stands somewhere behind them. */
int32_t metadata_read_header(struct json_pull *pull, struct checkpoint_meta *ret_meta, uint64_t *ret_newer,
			     sb_error *err);
/* What stands between StateData's closing quote and the digest's hexadecimal digits. */
void metadata_write_trailer(const struct checkpoint_totals *totals, struct buffer *out);
/* The same back, from a parser behind StateData, and the digest. */
int32_t metadata_read_trailer(struct json_pull *pull, struct checkpoint_totals *ret_totals,
			      char ret_digest[CHECKPOINT_DIGEST_HEX + 1], sb_error *err);

/* Hexadecimal, lower case. */
void hex_append(struct buffer *out, sb_slice bytes);
bool hex_parse_u64(sb_slice text, uint64_t *ret_value); /* exactly 16 digits */

#endif
