/* From the text of one record to the typed values of an operator's input fields.
 *
 * The decoder checks what it passes: strict JSON (RFC 8259) or CSV (RFC 4180), UTF-8, types, ranges. It
 * visits a record once and keeps only the fields that are asked for, but the whole record
 * must be well-formed. Strings are borrowed from the record where they stand there as
 * they are, else they are unescaped into the batch's arena. */
#ifndef STREAM_DECODE_H
#define STREAM_DECODE_H

#include <stdbool.h>

#include "base/arena.h"
#include "sb_plugin.h"

#define RECORD_MAX_BYTES ((size_t)1 << 20)
#define RECORD_MAX_DEPTH 32

enum input_format { FORMAT_NDJSON, FORMAT_CSV };

#define DELIMITER_WHITESPACE '\0' /* runs of blanks and tabs, leading ones ignored, no quoting */

struct decoder_config {
	enum input_format format;
	const sb_field *fields; /* the operator's inputs; live as long as the decoder */
	uint64_t field_count;
	/* "field=column" or "field=column:timeformat" for TIME fields (decode_time.h has the formats); column is a JSON
	 * member's or CSV header's name, or for CSV a number from 1. Unmapped fields have the column of their own
	 * name. Several fields may share a column. The texts are copied. */
	const char *const *maps;
	uint64_t map_count;
	char delimiter; /* CSV */
	bool has_header; /* CSV: the first line names the columns */
};

struct decoder;

enum decode_result {
	DECODE_EVENT,
	DECODE_NOTHING, /* a blank line */
	DECODE_BAD,
	DECODE_NO_MEMORY, /* not the record's fault: it is neither an event nor a dead letter */
};

struct decode_fault {
	const char *
		reason; /* a constant: "invalid-json", "missing-field", "wrong-type", "duplicate-field", "out-of-range",
	                     * "invalid-utf8", "too-deep", "too-large", "invalid-csv", "invalid-time" */
	char detail[200]; /* for people, with field and byte position; no control characters */
};

/* One decoder serves one source: a header belongs to its file. decoder_split may run on another thread than
 * decoder_decode; two decoder_decode at a time may not.
 *
 * SB_ERR_CONFIG: a map to an unknown field, two maps for one field, a bad time format, a CSV without header mapped by name. */
int32_t decoder_new(const struct decoder_config *config, struct decoder **ret_decoder, sb_error *err);
void decoder_free(struct decoder *decoder);

/* CSV with a header: takes the first line. SB_ERR_CONFIG when a mapped column is not in it, or is in it twice. */
int32_t decoder_set_header(struct decoder *decoder, sb_slice line, sb_error *err);

/* Bytes of the first record in bytes, its line end included, or 0 when it does not end there.
 * resume (may point to 0 at first) is where the search goes on when more bytes follow the same beginning. */
size_t decoder_split(const struct decoder *decoder, sb_slice bytes, size_t *resume);

/* resume without its position: to search on in bytes that follow, when those before them are not kept. */
static inline size_t decoder_split_carry(size_t resume)
{
	return resume & ((size_t)3 << 62);
}

/* record may have its line end. values has field_count elements, which hold an event's after DECODE_EVENT only. Byte
 * positions in a fault count from 0 at the record's first byte.
 *
 * CSV: an empty field without quotes is no value (a fault where the field is required); "" is an empty string. Blanks
 * around numbers, times and truths are ignored. */
enum decode_result decoder_decode(struct decoder *decoder, sb_slice record, struct arena *arena, sb_value *ret_values,
				  struct decode_fault *ret_fault);

#endif
