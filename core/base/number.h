/* Numbers to text and back, exact in both directions and independent of the locale. */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdbool.h>

#include "base/buffer.h"

void number_append_i64(struct buffer *out, int64_t value);
void number_append_u64(struct buffer *out, uint64_t value);
#define NUMBER_F64_ROOM 48 /* bytes that number_put_f64 may write */

/* The shortest decimal text of a finite double that reads back as the same one, the closest of several; returns its end. */
uint8_t *number_put_f64(uint8_t *out, double value);
void number_append_f64(struct buffer *out, double value);
/* Exactly that many decimals (0 to 17), correctly rounded. */
void number_append_f64_fixed(struct buffer *out, double value, int decimals);

/* All of text must be the number; false when it is not, or out of range. */
bool number_parse_i64(sb_slice text, int64_t *ret_value);
bool number_parse_u64(sb_slice text, uint64_t *ret_value);
/* Decimal or scientific, finite, correctly rounded. */
bool number_parse_f64(sb_slice text, double *ret_value);
/* "64KiB", "1GiB", "10MB", "4096": bytes. KB, MB, … are powers of 1000, KiB, MiB, … of 1024. */
bool number_parse_size(sb_slice text, int64_t *ret_bytes);
/* "250ms", "30s", "5m", "24h", "7d", "0": milliseconds. */
bool number_parse_duration(sb_slice text, int64_t *ret_ms);

#endif
