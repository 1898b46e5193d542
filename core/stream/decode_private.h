/* What the decoder's files share; see decode.h. */
#ifndef STREAM_DECODE_PRIVATE_H
#define STREAM_DECODE_PRIVATE_H

#include "base/error.h"
#include "stream/decode.h"
#include "stream/decode_time.h"

#define NO_INDEX UINT32_MAX

struct decode_field {
	const char *name;
	uint32_t type;
	bool optional;
	bool mapped; /* the user named its column */
	enum time_format time_format;
	uint32_t next; /* another field of the same column, or NO_INDEX */
};

/* A member or CSV column that at least one field comes from. */
struct decode_column {
	char *name;
	uint64_t name_len;
	uint32_t first; /* its fields */
	uint64_t seen; /* JSON: the generation of the record that last had it */
};

/* The last record's order of members. A record of the same shape has the same bytes between two values, so that its
 * names need neither scanning nor looking up; where it differs, the scanner learns the new shape from there. */
#define SHAPE_MEMBERS 48
#define SHAPE_PREFIX_BYTES 40

struct shape_member {
	uint8_t len; /* of prefix; 0: nothing learnt */
	uint8_t prefix[SHAPE_PREFIX_BYTES]; /* from behind the last value up to this one */
	uint32_t column; /* or NO_INDEX: not asked for */
};

struct decoder {
	enum input_format format;
	char delimiter;
	bool has_header;
	struct decode_field *fields;
	uint32_t field_count;
	struct decode_column *columns;
	uint32_t column_count;
	/* JSON */
	uint64_t generation;
	struct shape_member shape[SHAPE_MEMBERS];
	/* CSV: the column at each position; the header's number of columns, or 0 */
	uint32_t *positions;
	uint32_t position_count;
	uint32_t header_count;
};

/* Fills the fault; false, so that scanners can return it. format takes nothing of the record but single printable characters. */
bool fault_set(struct decode_fault *fault, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A number for a field; false with a fault. at is its position, for people. */
bool field_set_number(const struct decode_field *field, const struct decimal *number, size_t at, sb_value *ret_value,
		      struct decode_fault *fault);
/* The same, without a call in the most common case. */
static inline bool field_take_number(const struct decode_field *field, const struct decimal *number, size_t at,
				     sb_value *ret_value, struct decode_fault *fault)
{
	if (field->type != SB_TYPE_F64 || !decimal_to_f64(number, &ret_value->as.f64))
		return field_set_number(field, number, at, ret_value, fault);
	ret_value->len = 0;
	return true;
}

bool field_set_time_text(const struct decode_field *field, sb_slice text, size_t at, sb_value *ret_value,
			 struct decode_fault *fault);
bool field_wrong_type(const struct decode_field *field, const char *found, size_t at, struct decode_fault *fault);

enum decode_result json_decode(struct decoder *decoder, sb_slice record, struct arena *arena, sb_value *ret_values,
			       struct decode_fault *ret_fault);
enum decode_result csv_decode(struct decoder *decoder, sb_slice record, struct arena *arena, sb_value *ret_values,
			      struct decode_fault *ret_fault);

/* Binds columns to their numbers when there is no header. */
int32_t csv_bind_numbers(struct decoder *decoder, sb_error *err);
int32_t csv_bind_header(struct decoder *decoder, sb_slice line, sb_error *err);
size_t csv_split(const struct decoder *decoder, sb_slice bytes, size_t *resume);

#endif
