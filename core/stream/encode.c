/* See encode.h. A line is a fixed text with holes: the text between two holes is copied as it is, and only what goes
 * into the holes is formatted. Room for the longest possible line is reserved once, so that nothing in
 * between has to ask for any. */
#include "stream/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"
#include "stream/decode_time.h"

#if defined(__SSE2__) && !defined(SBHOST_PORTABLE)
#include <emmintrin.h>
#endif

#define VALUE_MAX_BYTES 40 /* the longest value but a string or a fixed number */
#define FIXED_MAX_BYTES 340 /* the largest double with 17 decimals */
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
	struct buffer text;
	size_t fixed_bytes; /* of a line, all strings empty */
};

/* ---- making the template ---- */

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
	if (!e->fields)
		return error_no_memory(err);
	e->field_count = field_count;
	for (uint64_t i = 0; i < field_count; i++)
		add_field(e, &e->fields[i], &fields[i], i == 0);
	TRY(buffer_check(&e->text, err));
	e->fixed_bytes += e->text.len + 8; /* and "{}\n" */
	*ret_encoder = TAKE(e);
	return SB_OK;
}

void encoder_free(struct encoder *encoder)
{
	if (!encoder)
		return;
	buffer_done(&encoder->text);
	free(encoder->fields);
	free(encoder);
}

/* ---- values; each returns the end of what it wrote, or NULL ---- */

static uint8_t *put_i64(uint8_t *out, int64_t value)
{
	if (value >= 0)
		return number_put_u64(out, (uint64_t)value);
	*out++ = '-';
	return number_put_u64(out, 0 - (uint64_t)value);
}

static uint8_t *put_digits(uint8_t *out, uint64_t value, unsigned count)
{
	for (unsigned i = count; i-- > 0; value /= 10)
		out[i] = (uint8_t)('0' + value % 10);
	return out + count;
}

/* Through a buffer on the out side: for what the fast paths leave. */
static uint8_t *put_number_slowly(uint8_t *out, double value, int32_t decimals)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	if (decimals < 0)
		number_append_f64(&text, value);
	else
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
		return put_number_slowly(out, value, decimals);
	power = powers[decimals];
	if (signbit(value))
		*out++ = '-';
	out = number_put_u64(out, scaled / power);
	if (decimals == 0)
		return out;
	*out++ = '.';
	return put_digits(out, scaled % power, (unsigned)decimals);
}

/* Sums of money are multiples of a hundredth. Such a number of at most 15 digits that reads back as value is its shortest
 * text, once trailing zeros are off. */
static uint8_t *put_shortest(uint8_t *out, double value)
{
	double magnitude = fabs(value);
	uint64_t hundredths;

	if (!(magnitude < 1e13))
		return put_number_slowly(out, value, -1);
	hundredths = (uint64_t)(magnitude * 100.0 + 0.5);
	if ((double)hundredths / 100.0 != magnitude || (hundredths == 0 && signbit(value)))
		return put_number_slowly(out, value, -1);
	if (value < 0)
		*out++ = '-';
	out = number_put_u64(out, hundredths / 100);
	if (hundredths % 100) {
		*out++ = '.';
		out = put_digits(out, hundredths % 100, 2);
		out -= out[-1] == '0';
	}
	return out;
}

static uint8_t *put_time(uint8_t *out, int64_t ms)
{
	int64_t days = ms >= 0 ? ms / 86400000 : -((86399999 - ms) / 86400000);
	uint64_t of_day = (uint64_t)(ms - days * 86400000);
	/* The calendar of 400 years counted from March 0000, so that the leap day is the last of its year. */
	uint64_t z = (uint64_t)(days + 719468 + 146097), era = z / 146097, day_of_era = z % 146097;
	uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t shifted = (5 * day_of_year + 2) / 153;
	uint64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
	uint64_t year = year_of_era + era * 400 - 400 + (month <= 2);

	*out++ = '"';
	out = put_digits(out, year, 4);
	*out++ = '-';
	out = put_digits(out, month, 2);
	*out++ = '-';
	out = put_digits(out, day_of_year - (153 * shifted + 2) / 5 + 1, 2);
	*out++ = 'T';
	out = put_digits(out, of_day / 3600000, 2);
	*out++ = ':';
	out = put_digits(out, of_day / 60000 % 60, 2);
	*out++ = ':';
	out = put_digits(out, of_day / 1000 % 60, 2);
	*out++ = '.';
	out = put_digits(out, of_day % 1000, 3);
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

/* Copies what needs no escape, 16 bytes at a time while there are so many; the number of bytes copied. */
static size_t copy_plain(uint8_t *out, const uint8_t *in, size_t len)
{
	size_t i = 0;

#if defined(__SSE2__) && !defined(SBHOST_PORTABLE)
	for (; i + 16 <= len; i += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(in + i));
		__m128i special = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
					       _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));

		special = _mm_or_si128(special, _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)));
		_mm_storeu_si128((__m128i *)(out + i), bytes);
		if (_mm_movemask_epi8(special))
			break;
	}
#endif
	for (; i < len && in[i] >= 0x20 && in[i] < 0x80 && in[i] != '"' && in[i] != '\\'; i++)
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

static int32_t put_value(uint8_t **out, const struct encode_field *field, const sb_value *value, sb_error *err)
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
		end = field->decimals < 0 ? put_shortest(*out, value->as.f64)
					  : put_fixed(*out, value->as.f64, field->decimals);
		if (!end)
			return error_no_memory(err);
		break;
	case SB_TYPE_TIME:
		if (value->as.i64 < TIME_MIN_MS || value->as.i64 > TIME_MAX_MS)
			return refuse(field, "the time is beyond the years 0000 to 9999", err);
		end = put_time(*out, value->as.i64);
		break;
	default:
		end = put_i64(*out, value->as.i64);
	}
	*out = end;
	return SB_OK;
}

/* The longest that a line of these values can become. */
static size_t bound(const struct encoder *e, const sb_value *values)
{
	size_t bytes = e->fixed_bytes;

	for (uint64_t i = 0; i < e->field_count; i++)
		if (e->fields[i].type == SB_TYPE_STRING && values[i].len != SB_NULL)
			bytes += values[i].len * ESCAPED_MAX_BYTES;
	return bytes;
}

int32_t encoder_append(const struct encoder *encoder, const sb_value *values, struct buffer *out, sb_error *err)
{
	uint8_t *start = buffer_reserve(out, bound(encoder, values));
	uint8_t *at = start;

	if (!start)
		return error_no_memory(err);
	if (encoder->field_count == 0)
		*at++ = '{';
	for (uint64_t i = 0; i < encoder->field_count; i++) {
		const struct encode_field *field = &encoder->fields[i];

		memcpy(at, encoder->text.data + field->text_at, field->text_len);
		at += field->text_len;
		TRY(put_value(&at, field, &values[i], err));
	}
	*at++ = '}';
	*at++ = '\n';
	out->len += (size_t)(at - start);
	return SB_OK;
}
