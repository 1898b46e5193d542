/* What tests/fuzz/fuzz_decode.c checks, on seeded records: made from pieces that mean something to a decoder, then damaged. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/rng.h"

#include "../fuzz/fuzz_decode.c"

#define RECORDS 30000
#define RECORD_BYTES_MAX 1024 /* 16 of the longest pieces */

static const char *const pieces[] = {
	"{",
	"}",
	"[",
	"]",
	":",
	",",
	"\"",
	"\\",
	" ",
	"\t",
	"\n",
	"\"a\":",
	"\"b\":",
	"\"c\":",
	"\"d\":",
	"\"e\":",
	"\"other\":",
	"\"key\"",
	"\"\\u0061\":",
	"\"\\ud83d\\ude00\"",
	"\"\xc3\xa9\"",
	"0",
	"-1",
	"1.5",
	"123.45",
	"1e5",
	"12345678901234567890",
	"0.30000000000000004",
	"1699000000",
	"\"2024-11-09T15:20:23Z\"",
	"20241109",
	"true",
	"false",
	"null",
	"[1,2]",
	"{\"x\":[]}",
	"\"a string that is longer than sixteen bytes\"",
	"key",
	"a,b",
	";",
};

/* A record that is mostly an event. */
static size_t put_event(struct rng *rng, char *out)
{
	static const char *const values[] = {"\"key\"", "1.25", "1699000000", "42", "true"};
	unsigned order = (unsigned)rng_below(rng, FIELDS);
	size_t len = 0;

	for (unsigned i = 0; i < FIELDS; i++) {
		unsigned field = (i + order) % FIELDS;

		len += (size_t)sprintf(out + len, "%s\"%s\":%s", i ? "," : "{", fields[field].name, values[field]);
	}
	out[len] = '}';
	return len + 1;
}

static size_t put_pieces(struct rng *rng, char *out)
{
	size_t len = 0;

	for (uint64_t n = rng_below(rng, 16); n > 0; n--) {
		const char *piece = pieces[rng_below(rng, sizeof(pieces) / sizeof(pieces[0]))];

		len += (size_t)sprintf(out + len, "%s", piece);
	}
	return len;
}

static void damage(struct rng *rng, char *text, size_t len)
{
	for (uint64_t n = rng_below(rng, 3); n > 0 && len; n--)
		text[rng_below(rng, len)] = (char)rng_next(rng);
}

Test(decode_fuzz, a_decoder_that_predicts_answers_as_one_that_only_scans)
{
	uint64_t seed = rng_test_seed(20241109);
	struct rng rng;
	char text[RECORD_BYTES_MAX];

	rng_init(&rng, seed);
	for (unsigned i = 0; i < RECORDS; i++) {
		size_t len = 1 + (rng_below(&rng, 2) ? put_event(&rng, text + 1) : put_pieces(&rng, text + 1));
		uint8_t *exact;

		damage(&rng, text + 1, len - 1);
		text[0] = (char)rng_below(&rng, 3); /* the format */
		exact = malloc(len); /* so that a sanitizer sees what is read beyond it */
		cr_assert_not_null(exact);
		memcpy(exact, text, len);
		LLVMFuzzerTestOneInput(exact, len); /* aborts when they differ */
		free(exact);
	}
}
