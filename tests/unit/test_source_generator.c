/* The generator as a source: the same events from any offset, at the rate asked for. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "base/slice.h"
#include "stream/source.h"

static const sb_field inputs[] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "user_id"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .name = "amount"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .name = "timestamp"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .name = "product_id"},
};

static struct fake_clock fake;
static sb_error err = ERROR_INIT;

static void set_up(void)
{
	fake_clock_init(&fake, INT64_C(5000000000));
}

TestSuite(source_generator, .init = set_up);

static struct source *open_generator(const char *options)
{
	struct source_config config = {.kind = SOURCE_GENERATOR, .clock = &fake.clock};
	struct source *source = NULL;

	cr_assert_eq(generator_parse(options, &config.generator, &err), SB_OK, "%s", err.message);
	cr_assert_eq(source_open(&config, &source, &err), SB_OK, "%s", err.message);
	return source;
}

static struct source *start_generator(const char *options, int64_t offset)
{
	struct source *source = open_generator(options);

	cr_assert_eq(source_start(source, offset, NULL, &err), SB_OK);
	return source;
}

Test(source_generator, defaults_are_five_users_and_one_event_a_second)
{
	struct generator_config config;

	cr_assert_eq(generator_parse(NULL, &config, &err), SB_OK);
	cr_assert(config.users == 5 && config.rate == 1 && config.seed == 0 && config.count == 0);
	cr_assert_eq(generator_parse("count=7,users=9,seed=18446744073709551615,rate=0.5", &config, &err), SB_OK);
	cr_assert(config.users == 9 && config.rate == 0.5 && config.seed == UINT64_MAX && config.count == 7);
}

Test(source_generator, wrong_options_are_refused)
{
	const char *wrong[] = {"users",	  "users=",	    "users=0", "users=-1",	 "users=x",
			       "rate=-1", "rate=nan",	    "seed=-1", "count=1.5",	 "=5",
			       "speed=1", "users=5;rate=1", ",",       "users=5,,rate=1"};
	struct generator_config config = {.users = 77};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_assert_eq(generator_parse(wrong[i], &config, &err), SB_ERR_CONFIG, "%s", wrong[i]);
		cr_assert_eq(config.users, 77);
	}
}

Test(source_generator, events_decode_and_lie_in_their_ranges)
{
	struct decoder_config decoder_config = {.format = FORMAT_NDJSON, .fields = inputs, .field_count = 4};
	struct source *source = start_generator("users=3,rate=0,seed=42,count=20000", 0);
	struct arena arena = ARENA_INIT;
	struct source_record record;
	struct decode_fault fault;
	struct decoder *decoder;
	unsigned seen[4] = {0};
	sb_value values[4];
	int64_t n = 0;

	cr_assert_eq(decoder_new(&decoder_config, &decoder, &err), SB_OK);
	for (; source_next(source, &record, &err) == SOURCE_RECORD; n++) {
		cr_assert_eq(decoder_decode(decoder, record.bytes, &arena, values, &fault), DECODE_EVENT, "%s",
			     fault.detail);
		cr_assert_eq(record.offset, n);
		cr_assert_eq(record.next_offset, n + 1);
		cr_assert_eq(values[0].len, 6);
		seen[values[0].as.ptr[5] - '0']++;
		cr_assert(values[1].as.f64 >= 10 && values[1].as.f64 < 1010);
		cr_assert_eq(values[2].as.i64, INT64_C(1704067200000) + n * 1000);
	}
	cr_assert_eq(n, 20000);
	cr_assert_eq(source_next(source, &record, &err), SOURCE_END);
	for (unsigned user = 1; user <= 3; user++)
		cr_assert(seen[user] > 6000, "user-%u has %u", user, seen[user]);
	cr_assert_eq(source_total(source), 20000);
	decoder_free(decoder);
	arena_done(&arena);
	source_close(source);
}

Test(source_generator, an_event_is_the_same_from_whatever_offset)
{
	enum { EVENTS = 300 };
	struct buffer all = BUFFER_INIT;
	size_t ends[EVENTS + 1] = {0};
	struct source *source = start_generator("users=1000000,rate=0,seed=7", 0);
	struct source_record record;

	for (unsigned i = 0; i < EVENTS; i++) {
		cr_assert_eq(source_next(source, &record, &err), SOURCE_RECORD);
		buffer_append_slice(&all, record.bytes);
		ends[i + 1] = all.len;
	}
	source_close(source);
	for (unsigned first = 0; first < EVENTS; first += 13) {
		source = start_generator("users=1000000,rate=0,seed=7", first);
		for (unsigned i = first; i < EVENTS; i++) {
			cr_assert_eq(source_next(source, &record, &err), SOURCE_RECORD);
			cr_assert(slice_equal(record.bytes, slice_of(all.data + ends[i], ends[i + 1] - ends[i])));
		}
		source_close(source);
	}
	buffer_done(&all);
}

Test(source_generator, blocks_that_are_held_are_not_written_again)
{
	enum { EVENTS = 6000 };
	static struct source_record held[EVENTS];
	static uint64_t sums[EVENTS];
	struct source *source = start_generator("rate=0,seed=7", 0);

	for (unsigned i = 0; i < EVENTS; i++) {
		cr_assert_eq(source_next(source, &held[i], &err), SOURCE_RECORD);
		block_ref(held[i].block);
		for (uint64_t b = 0; b < held[i].bytes.len; b++)
			sums[i] = sums[i] * 31 + held[i].bytes.ptr[b];
	}
	source_close(source);
	for (unsigned i = 0; i < EVENTS; i++) {
		uint64_t sum = 0;

		for (uint64_t b = 0; b < held[i].bytes.len; b++)
			sum = sum * 31 + held[i].bytes.ptr[b];
		cr_assert_eq(sum, sums[i]);
		block_unref(held[i].block);
	}
}

Test(source_generator, the_rate_is_kept_by_the_clock)
{
	struct source *source = start_generator("rate=4,seed=7", 1000);
	struct source_record record;

	cr_assert_eq(source_next(source, &record, &err), SOURCE_RECORD); /* the first at once */
	for (unsigned i = 1; i < 10; i++) {
		cr_assert_eq(source_next(source, &record, &err), SOURCE_IDLE);
		cr_assert_eq(source_due_ns(source), INT64_C(5000000000) + i * INT64_C(250000000));
		fake.now_ns = source_due_ns(source) - 1;
		cr_assert_eq(source_next(source, &record, &err), SOURCE_IDLE);
		fake.now_ns++;
		cr_assert_eq(source_next(source, &record, &err), SOURCE_RECORD);
	}
	cr_assert_eq(source_poll_fd(source), -1);
	source_close(source);
	source = start_generator("rate=1e-300,seed=7", 0);
	cr_assert_eq(source_next(source, &record, &err), SOURCE_RECORD);
	cr_assert_eq(source_next(source, &record, &err), SOURCE_IDLE);
	cr_assert_eq(source_due_ns(source), INT64_MAX);
	source_close(source);
}

Test(source_generator, a_seed_that_was_chosen_is_kept_by_the_identity)
{
	struct source *source = open_generator("users=5"), *again = open_generator("users=5,rate=9,count=3"), *other;
	struct source_identity identity;
	struct source_record a, b;

	cr_assert_eq(source_start(source, 0, NULL, &err), SB_OK);
	cr_assert_eq(source_identity(source, &identity, &err), SB_OK);
	cr_assert_str_eq(identity.name, "generator");
	cr_assert_neq(identity.generator.seed, 0);
	cr_assert_eq(source_start(again, 0, &identity, &err), SB_OK, "%s", err.message);
	cr_assert_eq(source_next(source, &a, &err), SOURCE_RECORD);
	cr_assert_eq(source_next(again, &b, &err), SOURCE_RECORD);
	cr_assert(slice_equal(a.bytes, b.bytes));
	source_close(source);
	source_close(again);

	other = open_generator("users=6");
	cr_assert_eq(source_start(other, 0, &identity, &err), SB_ERR_CONFIG);
	source_close(other);
	identity.generator.seed = 8;
	other = open_generator("seed=9");
	cr_assert_eq(source_start(other, 0, &identity, &err), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "seed=8"), "%s", err.message);
	source_close(other);
	identity.name[0] = 'x';
	other = open_generator("seed=8");
	cr_assert_eq(source_start(other, 0, &identity, &err), SB_ERR_CONFIG);
	source_close(other);
	source_identity_done(&identity);
}
