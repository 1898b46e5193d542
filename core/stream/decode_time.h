/* Times of events: from a number or a text to milliseconds since 1970, rounded down.
 *
 *   auto      RFC 3339, a date (YYYY-MM-DD, midnight UTC), or a number, whose unit follows from its size: below 1e11
 *             seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds
 *   s ms us ns  a number in that unit; fractions are fine
 *   rfc3339   2024-11-09T15:20:23.5+01:00; a blank for the T is accepted, a time without a zone is not. A leap second
 *             (23:59:60 UTC) becomes the last millisecond before it ends: 23:59:59.999
 *   yyyymmdd  20241109, midnight UTC
 *
 * Years 0000 to 9999, so that every time that comes in can be written again. */
#ifndef STREAM_DECODE_TIME_H
#define STREAM_DECODE_TIME_H

#include "stream/decimal.h"

enum time_format {
	TIME_AUTO,
	TIME_SECONDS,
	TIME_MILLISECONDS,
	TIME_MICROSECONDS,
	TIME_NANOSECONDS,
	TIME_RFC3339,
	TIME_YYYYMMDD,
};

#define TIME_FORMAT_NAMES "auto, s, ms, us, ns, rfc3339, yyyymmdd"

#define TIME_MIN_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define TIME_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

enum time_result {
	TIME_OK,
	TIME_INVALID, /* not of this format */
	TIME_RANGE, /* beyond the years 0000 to 9999 */
};

bool time_format_parse(const char *name, enum time_format *ret_format);
const char *time_format_expected(enum time_format format);

enum time_result time_from_decimal(const struct decimal *number, enum time_format format, int64_t *ret_ms);
enum time_result time_from_text(sb_slice text, enum time_format format, int64_t *ret_ms);

#endif
