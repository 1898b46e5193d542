/* See encode.h. A line is a fixed text with holes: the text between two holes is copied as it is, and only what goes
 * into the holes is formatted. Room for the longest possible line is reserved once, so that nothing in
 * between has to ask for any. */
#include "stream/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/digits.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"
#include "stream/decode_time.h"

#define VALUE_MAX_BYTES NUMBER_F64_ROOM /* the longest value but a string or a fixed number */
#define FIXED_MAX_BYTES 340 /* the largest double with 17 decimals */
#define STRAY_MAX_BYTES 32 /* whole stores go so far behind the end of a line */
#define SECOND_BYTES 21 /* "2024-11-09T15:20:23. with its quote */
#define CHUNK_BYTES 32 /* the template is copied in such */
#define ESCAPED_MAX_BYTES 6 /* \u0000 */
#define DECIMALS_MAX 17

struct encode_field {
	uint32_t type;
	bool optional;
	int32_t decimals;
	uint32_t text_at, text_len; /* what stands before the value */
	const char *name;
};

struct encoder {
	struct encode_field *fields;
	uint64_t field_count;
	uint32_t *strings; /* which of them are strings */
	uint64_t string_count;
	/* The last time as text: most times of a stream are of the same second as the one before. */
	int64_t second_begin_ms;
	uint8_t second_text[SECOND_BYTES];
	struct buffer text;
	size_t fixed_bytes; /* of a line, all strings empty */
};

/* ---- making the template ---- */

/* From the quote to the point. The fields of "YYYYMMDD" and "hhmmss" are split into digits together, as one number. */
static void put_second(uint8_t *out, int64_t ms)
{
	/* The calendar of 400 years counted from March of the year -400, so that the leap day is the last of its year. */
	uint64_t shifted_ms = (uint64_t)(ms + INT64_C(86400000) * (719468 + 146097));
	uint32_t z = (uint32_t)(shifted_ms / 86400000), seconds = (uint32_t)(shifted_ms % 86400000) / 1000;
	uint32_t era = z / 146097, day_of_era = z % 146097;
	uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t shifted = (5 * day_of_year + 2) / 153;
	uint32_t month = shifted < 10 ? shifted + 3 : shifted - 9;
	uint32_t year = year_of_era + era * 400 - 400 + (month <= 2);
	uint32_t day = day_of_year - (153 * shifted + 2) / 5 + 1;
	uint8_t date[8], time[8];

	digits_put8(date, year * 10000 + month * 100 + day);
	digits_put8(time, seconds / 3600 * 1000000 + seconds / 60 % 60 * 10000 + seconds % 60 * 100);
	memcpy(out, "\"0000-00-00T00:00:00.", SECOND_BYTES);
	memcpy(out + 1, date, 4);
	memcpy(out + 6, date + 4, 2);
	memcpy(out + 9, date + 6, 2);
	memcpy(out + 12, time, 2);
	memcpy(out + 15, time + 2, 2);
	memcpy(out + 18, time + 4, 2);
}

static void free_encoder(struct encoder **encoder)
{
	encoder_free(*encoder);
}

static void add_field(struct encoder *e, struct encode_field *field, const sb_field *declared, bool first)
{
	*field = (struct encode_field){
		.type = declared->type,
		.optional = declared->flags & SB_FIELD_OPTIONAL,
		.decimals = declared->decimals > DECIMALS_MAX ? DECIMALS_MAX : declared->decimals,
		.text_at = (uint32_t)e->text.len,
		.name = declared->name,
	};
	buffer_append_byte(&e->text, first ? '{' : ',');
	json_append_string(&e->text, slice_of_text(declared->name));
	buffer_append_byte(&e->text, ':');
	field->text_len = (uint32_t)(e->text.len - field->text_at);
	e->fixed_bytes += declared->type == SB_TYPE_F64 && field->decimals >= 0 ? FIXED_MAX_BYTES : VALUE_MAX_BYTES;
}

int32_t encoder_new(const sb_field *fields, uint64_t field_count, struct encoder **ret_encoder, sb_error *err)
{
	AUTO(free_encoder) struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return error_no_memory(err);
	e->fields = calloc(field_count + 1, sizeof(*e->fields));
	e->strings = calloc(field_count + 1, sizeof(*e->strings));
	if (!e->fields || !e->strings)
		return error_no_memory(err);
	e->field_count = field_count;
	for (uint64_t i = 0; i < field_count; i++) {
		add_field(e, &e->fields[i], &fields[i], i == 0);
		if (fields[i].type == SB_TYPE_STRING)
			e->strings[e->string_count++] = (uint32_t)i;
	}
	put_second(e->second_text, 0);
	e->fixed_bytes += e->text.len + sizeof("{}\n") + STRAY_MAX_BYTES;
	for (unsigned i = 0; i < CHUNK_BYTES; i++)
		buffer_append_byte(&e->text, 0); /* the last chunk is read whole, too */
	TRY(buffer_check(&e->text, err));
	*ret_encoder = TAKE(e);
	return SB_OK;
}

void encoder_free(struct encoder *encoder)
{
	if (!encoder)
		return;
	buffer_done(&encoder->text);
	free(encoder->fields);
	free(encoder->strings);
	free(encoder);
}

/* ---- values; each returns the end of what it wrote, or NULL ---- */

static uint8_t *put_i64(uint8_t *out, int64_t value)
{
	if (value >= 0)
		return digits_put(out, (uint64_t)value);
	*out++ = '-';
	return digits_put(out, 0 - (uint64_t)value);
}

/* Through a buffer on the out side: for what the fast path leaves. */
static uint8_t *put_fixed_slowly(uint8_t *out, double value, int32_t decimals)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	number_append_f64_fixed(&text, value, decimals);
	if (text.failed)
		return NULL;
	memcpy(out, text.data, text.len);
	return out + text.len;
}

/* value * scale rounded half to even, exactly as printf rounds the exact binary value; false: too large for this. The product
 * is a double, and its distance from a half is exact; only when that is nothing does the product's own rounding
 * error (which fma yields exactly) decide. */
static bool round_scaled(double value, double scale, uint64_t *ret)
{
	double product = value * scale, whole, fraction, error;
	uint64_t low;

	if (!(product < 1e15))
		return false;
	low = (uint64_t)product;
	whole = (double)low;
	fraction = product - whole;
	if (fraction == 0.5) {
		error = fma(value, scale, -product);
		low += error > 0 || (error == 0 && (low & 1));
	} else {
		low += fraction > 0.5;
	}
	*ret = low;
	return true;
}

static uint8_t *put_fixed(uint8_t *out, double value, int32_t decimals)
{
	static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
	uint64_t scaled, power;

	if (decimals > 6 || !round_scaled(fabs(value), (double)powers[decimals], &scaled))
		return put_fixed_slowly(out, value, decimals);
	power = powers[decimals];
	if (signbit(value))
		*out++ = '-';
	out = digits_put(out, scaled / power);
	if (decimals == 0)
		return out;
	*out++ = '.';
	return digits_put_last(out, (uint32_t)(scaled % power), (unsigned)decimals);
}

static uint8_t *put_time(struct encoder *e, uint8_t *out, int64_t ms)
{
	int64_t in_second = ms - e->second_begin_ms;

	if (in_second < 0 || in_second >= 1000) {
		in_second = (ms - TIME_MIN_MS) % 1000; /* the smallest is a whole second */
		e->second_begin_ms = ms - in_second;
		put_second(e->second_text, e->second_begin_ms);
	}
	memcpy(out, e->second_text, SECOND_BYTES);
	out = digits_put_last(out + SECOND_BYTES, (uint32_t)in_second, 3);
	*out++ = 'Z';
	*out++ = '"';
	return out;
}

static uint8_t *put_escape(uint8_t *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	static const uint8_t letters[256] = {
		['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};

	*out++ = '\\';
	if (letters[c]) {
		*out++ = letters[c];
		return out;
	}
	memcpy(out, "u00", 3);
	out[3] = (uint8_t)hex[c >> 4];
	out[4] = (uint8_t)hex[c & 15];
	return out + 5;
}

static inline uint64_t two_halves(const uint8_t *a, const uint8_t *b)
{
	uint32_t low, high;

	memcpy(&low, a, 4);
	memcpy(&high, b, 4);
	return (uint64_t)high << 32 | low;
}

static inline void put_two_halves(uint8_t *a, uint8_t *b, uint64_t word)
{
	uint32_t low = (uint32_t)word, high = (uint32_t)(word >> 32);

	memcpy(a, &low, 4);
	memcpy(b, &high, 4);
}

/* Copies what needs no escape, in large steps while there is room for them; the number of bytes copied. The last step
 * goes over the end of the one before, so that a text of eight bytes or more needs no loop over single ones. */
static size_t copy_plain(uint8_t *out, const uint8_t *in, size_t len)
{
	uint64_t word;
	size_t i = 0;

#if JSON_TEXT_SSE2
	for (; i + 16 <= len; i += 16) {
		memcpy(out + i, in + i, 16);
		if (json_special_mask(in + i))
			break;
	}
#endif
	for (; i + 8 <= len; i += 8) {
		memcpy(&word, in + i, 8);
		memcpy(out + i, &word, 8);
		if (json_special_word(word))
			break;
	}
	if (len >= 8 && i + 8 > len) {
		memcpy(&word, in + len - 8, 8);
		memcpy(out + len - 8, &word, 8);
		if (!json_special_word(word))
			return len;
	} else if (len >= 4 && len < 8) {
		word = two_halves(in, in + len - 4);
		put_two_halves(out, out + len - 4, word);
		if (!json_special_word(word))
			return len;
	}
	for (; i < len && !json_is_special(in[i]); i++)
		out[i] = in[i];
	return i;
}

/* NULL when it is not UTF-8. */
static uint8_t *put_string(uint8_t *out, const uint8_t *in, size_t len)
{
	size_t i = 0;

	*out++ = '"';
	for (;;) {
		size_t n = copy_plain(out, in + i, len - i);

		out += n;
		i += n;
		if (i == len)
			break;
		if (in[i] < 0x80) {
			out = put_escape(out, in[i++]);
			continue;
		}
		n = utf8_sequence(in + i, len - i);
		if (n == 0)
			return NULL;
		memcpy(out, in + i, n);
		out += n;
		i += n;
	}
	*out++ = '"';
	return out;
}

/* ---- lines ---- */

static int32_t refuse(const struct encode_field *field, const char *why, sb_error *err)
{
	return error_set(err, SB_ERR_DATA, "output field %s cannot be written: %s", field->name, why);
}

static int32_t put_null(uint8_t **out, const struct encode_field *field, sb_error *err)
{
	if (!field->optional)
		return refuse(field, "it has no value, and is not optional", err);
	memcpy(*out, "null", 4);
	*out += 4;
	return SB_OK;
}

static int32_t put_value(struct encoder *e, uint8_t **out, const struct encode_field *field, const sb_value *value,
			 sb_error *err)
{
	uint8_t *end;

	if (value->len == SB_NULL)
		return put_null(out, field, err);
	switch (field->type) {
	case SB_TYPE_STRING:
		end = put_string(*out, value->as.ptr, value->len);
		if (!end)
			return refuse(field, "it is not UTF-8", err);
		break;
	case SB_TYPE_BOOL:
		end = *out + (value->as.i64 ? 4 : 5);
		memcpy(*out, value->as.i64 ? "true " : "false", 5);
		break;
	case SB_TYPE_F64:
		if (!isfinite(value->as.f64))
			return refuse(field, "it is not a finite number", err);
		end = field->decimals < 0 ? number_put_f64(*out, value->as.f64)
					  : put_fixed(*out, value->as.f64, field->decimals);
		if (!end)
			return error_no_memory(err);
		break;
	case SB_TYPE_TIME:
		if (value->as.i64 < TIME_MIN_MS || value->as.i64 > TIME_MAX_MS)
			return refuse(field, "the time is beyond the years 0000 to 9999", err);
		end = put_time(e, *out, value->as.i64);
		break;
	default:
		end = put_i64(*out, value->as.i64);
	}
	*out = end;
	return SB_OK;
}

static inline uint8_t *put_text(uint8_t *out, const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i += CHUNK_BYTES)
		memcpy(out + i, text + i, CHUNK_BYTES);
	return out + len;
}

/* The longest that a line of these values can become. */
static size_t bound(const struct encoder *e, const sb_value *values)
{
	size_t bytes = e->fixed_bytes;

	for (uint64_t i = 0; i < e->string_count; i++) {
		uint64_t len = values[e->strings[i]].len;

		bytes += len == SB_NULL ? 0 : len * ESCAPED_MAX_BYTES;
	}
	return bytes;
}

int32_t encoder_append(struct encoder *encoder, const sb_value *values, struct buffer *out, sb_error *err)
{
	uint8_t *start = buffer_reserve(out, bound(encoder, values));
	uint8_t *at = start;

	if (!start)
		return error_no_memory(err);
	if (encoder->field_count == 0)
		*at++ = '{';
	for (uint64_t i = 0; i < encoder->field_count; i++) {
		const struct encode_field *field = &encoder->fields[i];

		at = put_text(at, encoder->text.data + field->text_at, field->text_len);
		TRY(put_value(encoder, &at, field, &values[i], err));
	}
	*at++ = '}';
	*at++ = '\n';
	out->len += (size_t)(at - start);
	return SB_OK;
}
