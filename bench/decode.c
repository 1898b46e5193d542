/* How long a purchase takes to decode and to encode, beside cJSON and printf, and beside memchr alone, which is what finding
 * the line ends costs whoever parses. Medians of several alternating runs, in processor time, because others use the machine,
 * too; lines in the first-level cache or beyond, by count. A ratio is the baseline's time through ours, run by run.
 *
 *   decode [LINES [RUNS [json]]] */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/number.h"
#include "base/slice.h"
#include "stream/decode.h"
#include "stream/encode.h"

#define MAX_RUNS 99

static const sb_field inputs[] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "user_id"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .name = "amount"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .flags = SB_FIELD_OPTIONAL, .name = "timestamp"},
};

static const sb_field outputs[] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .name = "user_id"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .name = "total_purchases"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .decimals = 2, .name = "total_spent"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .name = "last_purchase"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .name = "category"},
};

static struct buffer json, csv, shuffled;
static unsigned lines;
static double checksum;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t next_random(void)
{
	static uint64_t state = 42;

	state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return state >> 33;
}

static void make_lines(void)
{
	for (unsigned i = 0; i < lines; i++) {
		unsigned user = 10000 + (unsigned)(next_random() % 90000);
		unsigned cents = 10000 + (unsigned)(next_random() % 90000);
		unsigned second = 1699000000 + i;

		buffer_printf(&json, "{\"user_id\":\"user-%u\",\"amount\":%u.%02u,\"timestamp\":%u}\n", user,
			      cents / 100, cents % 100, second);
		if (i % 2)
			buffer_printf(&shuffled, "{\"amount\":%u.%02u,\"user_id\":\"user-%u\",\"timestamp\":%u}\n",
				      cents / 100, cents % 100, user, second);
		else
			buffer_printf(&shuffled, "{\"user_id\":\"user-%u\",\"timestamp\":%u,\"amount\":%u.%02u}\n",
				      user, second, cents / 100, cents % 100);
		buffer_printf(&csv, "user-%u,%u.%02u,%u\n", user, cents / 100, cents % 100, second);
	}
}

/* ---- what is measured; each goes over all lines once ---- */

static void run_memchr(void)
{
	const uint8_t *at = json.data, *end = at + json.len;

	while (at < end) {
		at = (const uint8_t *)memchr(at, '\n', (size_t)(end - at)) + 1;
		checksum += 1;
	}
}

static void run_decoder(struct decoder *decoder, const struct buffer *text)
{
	sb_slice rest = buffer_slice(text);
	struct arena arena = ARENA_INIT;
	struct decode_fault fault;
	sb_value values[3];

	while (rest.len) {
		size_t resume = 0;
		size_t len = decoder_split(decoder, rest, &resume);

		if (decoder_decode(decoder, slice_of(rest.ptr, len), &arena, values, &fault) != DECODE_EVENT)
			abort();
		checksum += values[1].as.f64;
		rest.ptr += len;
		rest.len -= len;
	}
	arena_done(&arena);
}

static struct decoder *json_decoder, *csv_decoder;

static void run_json(void)
{
	run_decoder(json_decoder, &json);
}

static void run_shuffled(void)
{
	run_decoder(json_decoder, &shuffled);
}

static void run_csv(void)
{
	run_decoder(csv_decoder, &csv);
}

static void run_cjson(void)
{
	const char *at = (const char *)json.data, *end = at + json.len;

	while (at < end) {
		const char *next = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
		cJSON *tree = cJSON_ParseWithLength(at, (size_t)(next - at));

		checksum += cJSON_GetObjectItemCaseSensitive(tree, "amount")->valuedouble;
		cJSON_Delete(tree);
		at = next;
	}
}

static struct encoder *encoder;
static struct buffer out;

static void run_encode(void)
{
	sb_error err = ERROR_INIT;
	char user[16] = "user-10000";

	for (unsigned i = 0; i < lines; i++) {
		sb_value values[5] = {{.as.ptr = (const uint8_t *)user, .len = 10},
				      {.as.i64 = i % 1000},
				      {.as.f64 = i * 0.37},
				      {.as.i64 = INT64_C(1699000000000) + i},
				      {.as.ptr = (const uint8_t *)"Premium", .len = 7}};

		user[5 + i % 5] = (char)('0' + i % 10);
		if (out.len > (256u << 10))
			buffer_clear(&out);
		if (encoder_append(encoder, values, &out, &err) != SB_OK)
			abort();
	}
	checksum += (double)out.len;
}

static void run_snprintf(void)
{
	char line[256];

	for (unsigned i = 0; i < lines; i++)
		checksum += snprintf(
			line, sizeof(line),
			"{\"user_id\":\"user-%u\",\"total_purchases\":%u,\"total_spent\":%.2f,\"last_purchase\":\"2023-11-%02uT"
			"08:26:40.%03uZ\",\"category\":\"%s\"}\n",
			10000 + i % 90000, i % 1000, i * 0.37, i % 30 + 1, i % 1000, "Premium");
}

static void run_cjson_print(void)
{
	char line[512];

	for (unsigned i = 0; i < lines; i++) {
		cJSON *tree = cJSON_CreateObject();

		snprintf(line, sizeof(line), "user-%u", 10000 + i % 90000);
		cJSON_AddStringToObject(tree, "user_id", line);
		cJSON_AddNumberToObject(tree, "total_purchases", i % 1000);
		cJSON_AddNumberToObject(tree, "total_spent", i * 0.37);
		cJSON_AddStringToObject(tree, "last_purchase", "2023-11-03T08:26:40.123Z");
		cJSON_AddStringToObject(tree, "category", "Premium");
		if (!cJSON_PrintPreallocated(tree, line, sizeof(line), 0))
			abort();
		checksum += line[9];
		cJSON_Delete(tree);
	}
}

static double numbers[1024]; /* of 17 digits, as sums of doubles are */

static void run_shortest(void)
{
	uint8_t text[NUMBER_F64_ROOM];

	for (unsigned i = 0; i < lines; i++)
		checksum += (double)(number_put_f64(text, numbers[i % 1024]) - text);
}

static void run_percent_17g(void)
{
	char text[40];

	for (unsigned i = 0; i < lines; i++)
		checksum += snprintf(text, sizeof(text), "%.17g", numbers[i % 1024]);
}

enum { MEMCHR, DECODE, SHUFFLED, CSV, CJSON, ENCODE, SNPRINTF, CJSON_PRINT, SHORTEST, PERCENT_17G, CASES };

static const struct {
	const char *name;
	void (*run)(void);
} cases[CASES] = {
	[MEMCHR] = {"memchr", run_memchr},
	[DECODE] = {"decode, one shape", run_json},
	[SHUFFLED] = {"decode, changing shapes", run_shuffled},
	[CSV] = {"decode, csv", run_csv},
	[CJSON] = {"cJSON", run_cjson},
	[ENCODE] = {"encode", run_encode},
	[SNPRINTF] = {"snprintf", run_snprintf},
	[CJSON_PRINT] = {"cJSON, printing", run_cjson_print},
	[SHORTEST] = {"double of 17 digits", run_shortest},
	[PERCENT_17G] = {"the same by %.17g", run_percent_17g},
};

static const struct {
	int ours, baseline;
} ratios[] = {{DECODE, CJSON},	  {DECODE, MEMCHR},	 {SHUFFLED, CJSON},	 {CSV, CJSON},
	      {ENCODE, SNPRINTF}, {ENCODE, CJSON_PRINT}, {SHORTEST, PERCENT_17G}};

#define RATIOS (sizeof(ratios) / sizeof(ratios[0]))

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(const double *values, unsigned count)
{
	double sorted[MAX_RUNS];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted[count / 2];
}

static double ratio_of(double times[CASES][MAX_RUNS], unsigned runs, size_t r)
{
	double by_run[MAX_RUNS];

	for (unsigned i = 0; i < runs; i++)
		by_run[i] = times[ratios[r].baseline][i] / times[ratios[r].ours][i];
	return median_of(by_run, runs);
}

static void print_table(double times[CASES][MAX_RUNS], unsigned runs)
{
	printf("%u lines of %.1f bytes, ns a line, median of %u\n", lines, (double)json.len / lines, runs);
	for (size_t c = 0; c < CASES; c++)
		printf("%-24s %8.1f\n", cases[c].name, median_of(times[c], runs));
	for (size_t r = 0; r < RATIOS; r++)
		printf("%s / %s: %.2f\n", cases[ratios[r].baseline].name, cases[ratios[r].ours].name,
		       ratio_of(times, runs, r));
}

static void print_json(double times[CASES][MAX_RUNS], unsigned runs)
{
	printf("{\"lines\":%u,\"runs\":%u,\"ns\":{", lines, runs);
	for (size_t c = 0; c < CASES; c++)
		printf("%s\"%s\":%.2f", c ? "," : "", cases[c].name, median_of(times[c], runs));
	printf("},\"ratios\":{");
	for (size_t r = 0; r < RATIOS; r++)
		printf("%s\"%s / %s\":%.3f", r ? "," : "", cases[ratios[r].baseline].name, cases[ratios[r].ours].name,
		       ratio_of(times, runs, r));
	printf("}}\n");
}

static int32_t make_codecs(sb_error *err)
{
	static const char *const maps[] = {"user_id=1", "amount=2", "timestamp=3"};
	struct decoder_config config = {.format = FORMAT_NDJSON, .fields = inputs, .field_count = 3, .delimiter = ','};

	TRY(decoder_new(&config, &json_decoder, err));
	config.format = FORMAT_CSV;
	config.maps = maps;
	config.map_count = 3;
	TRY(decoder_new(&config, &csv_decoder, err));
	return encoder_new(outputs, 5, &encoder, err);
}

static void run_all(double times[CASES][MAX_RUNS], unsigned runs)
{
	for (unsigned r = 0; r < runs; r++) {
		for (size_t c = 0; c < CASES; c++) {
			double start = now_ns();

			cases[c].run();
			times[c][r] = (now_ns() - start) / lines;
		}
	}
}

int main(int argc, char **argv)
{
	unsigned runs = argc > 2 ? (unsigned)atoi(argv[2]) : 7;
	double times[CASES][MAX_RUNS];
	sb_error err = ERROR_INIT;

	lines = argc > 1 ? (unsigned)atoi(argv[1]) : 200000;
	if (lines == 0 || runs == 0 || runs > MAX_RUNS)
		return 2;
	make_lines();
	for (unsigned i = 0; i < 1024; i++)
		numbers[i] = (double)next_random() / 3e4;
	if (make_codecs(&err) != SB_OK) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	run_all(times, runs);
	if (argc > 3 && strcmp(argv[3], "json") == 0)
		print_json(times, runs);
	else
		print_table(times, runs);
	fprintf(stderr, "checksum %g\n", checksum);
	decoder_free(json_decoder);
	decoder_free(csv_decoder);
	encoder_free(encoder);
	buffer_done(&json);
	buffer_done(&csv);
	buffer_done(&shuffled);
	buffer_done(&out);
	return 0;
}
