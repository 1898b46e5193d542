/* The generator: purchases made up from a seed. Event n is a function of the seed and n alone, so that reading can begin
 * at any event at once, and a run that was interrupted sees exactly the events that it would have seen.
 *
 *   {"user_id":"user-3","amount":234.50,"timestamp":"2024-01-01T00:00:07Z","product_id":"product-42"}
 *
 * Event times begin at 2024-01-01T00:00:00Z and are a second apart, whatever the rate, which
 * only says how fast the events are handed out (and may change from run to run). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/digits.h"
#include "base/number.h"
#include "base/slice.h"
#include "stream/source_private.h"

#define FIRST_SECOND INT64_C(1704067200) /* 2024-01-01T00:00:00Z */
#define TIME_WRAP (INT64_C(1) << 37) /* after so many events, 4355 years on, event times begin again */
#define PRODUCTS 100
#define EVENT_MAX_BYTES 192
#define SECONDS_PER_DAY 86400

struct generator {
	struct source base;
	struct clock *clock;
	struct generator_config config;
	bool seed_chosen; /* here, not by the user */
	int64_t next; /* the event to come */
	int64_t first; /* of this run, due at start_ns */
	int64_t start_ns;
	int64_t now_ns; /* when the clock was last looked at */

	struct block *block;
	size_t filled;
	int64_t day; /* whose text is in date */
	char date[10]; /* YYYY-MM-DD */
};

static struct generator *generator_of(struct source *source)
{
	return (struct generator *)source;
}

static const struct generator *const_generator_of(const struct source *source)
{
	return (const struct generator *)source;
}

/* ---- events ---- */

/* The finalizer of SplitMix64: every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* The stream'th random number of an event, below limit. */
static uint64_t draw(const struct generator *g, int64_t event, uint64_t stream, uint64_t limit)
{
	uint64_t random = mix(mix(g->config.seed + (uint64_t)event * UINT64_C(0x9e3779b97f4a7c15)) + stream);

	return (uint64_t)((unsigned __int128)random * limit >> 64);
}

#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

static uint8_t *put(uint8_t *out, const void *bytes, size_t len)
{
	memcpy(out, bytes, len);
	return out + len;
}

static uint8_t *put_two(uint8_t *out, uint64_t value)
{
	out[0] = (uint8_t)('0' + value / 10);
	out[1] = (uint8_t)('0' + value % 10);
	return out + 2;
}

static void set_day(struct generator *g, int64_t day)
{
	struct buffer text = BUFFER_INIT;

	time_append_rfc3339_ms(&text, day * SECONDS_PER_DAY * 1000);
	if (!text.failed) {
		memcpy(g->date, text.data, sizeof(g->date));
		g->day = day;
	}
	buffer_done(&text);
}

static uint8_t *put_time(struct generator *g, uint8_t *out, int64_t event)
{
	int64_t second = FIRST_SECOND + event % TIME_WRAP;
	uint64_t of_day = (uint64_t)(second % SECONDS_PER_DAY);

	if (g->day != second / SECONDS_PER_DAY)
		set_day(g, second / SECONDS_PER_DAY);
	out = put(out, g->date, sizeof(g->date));
	*out++ = 'T';
	out = put_two(out, of_day / 3600);
	*out++ = ':';
	out = put_two(out, of_day / 60 % 60);
	*out++ = ':';
	out = put_two(out, of_day % 60);
	*out++ = 'Z';
	return out;
}

/* At most EVENT_MAX_BYTES. */
static size_t write_event(struct generator *g, int64_t event, uint8_t *start)
{
	uint64_t cents = 1000 + draw(g, event, 2, 100000); /* 10.00 to 1009.99 */
	uint8_t *out = start;

	out = PUT(out, "{\"user_id\":\"user-");
	out = digits_put(out, 1 + draw(g, event, 1, (uint64_t)g->config.users));
	out = PUT(out, "\",\"amount\":");
	out = digits_put(out, cents / 100);
	*out++ = '.';
	out = put_two(out, cents % 100);
	out = PUT(out, ",\"timestamp\":\"");
	out = put_time(g, out, event);
	out = PUT(out, "\",\"product_id\":\"product-");
	out = digits_put(out, 1 + draw(g, event, 3, PRODUCTS));
	out = PUT(out, "\"}\n");
	return (size_t)(out - start);
}

/* ---- the source ---- */

static int64_t due_of_next(const struct generator *g)
{
	double wait_ns;

	if (g->config.rate == 0)
		return 0;
	wait_ns = (double)(g->next - g->first) / g->config.rate * 1e9;
	return wait_ns < 9e18 - (double)g->start_ns ? g->start_ns + (int64_t)wait_ns : INT64_MAX;
}

/* The clock is looked at only when the last look does not suffice. */
static bool is_due(struct generator *g)
{
	int64_t due_ns = due_of_next(g);

	if (g->now_ns < due_ns)
		g->now_ns = clock_monotonic_ns(g->clock);
	return g->now_ns >= due_ns;
}

static int32_t make_room(struct generator *g, sb_error *err)
{
	if (g->block->size - g->filled >= EVENT_MAX_BYTES)
		return SB_OK;
	if (atomic_load_explicit(&g->block->references, memory_order_acquire) > 1) {
		struct block *fresh = block_new(SOURCE_BLOCK_BYTES);

		if (!fresh)
			return error_no_memory(err);
		block_unref(g->block);
		g->block = fresh;
	}
	g->filled = 0;
	return SB_OK;
}

static enum source_status generator_next(struct source *source, struct source_record *ret, sb_error *err)
{
	struct generator *g = generator_of(source);
	size_t len;

	if (g->config.count && g->next >= g->config.count)
		return SOURCE_END;
	if (!is_due(g))
		return SOURCE_IDLE;
	if (make_room(g, err) != SB_OK)
		return SOURCE_FAILED;
	len = write_event(g, g->next, g->block->bytes + g->filled);
	*ret = (struct source_record){
		.bytes = slice_of(g->block->bytes + g->filled, len),
		.block = g->block,
		.offset = g->next,
		.next_offset = g->next + 1,
	};
	g->filled += len;
	g->next++;
	return SOURCE_RECORD;
}

static int32_t check_same(struct generator *g, const struct source_identity *expected, sb_error *err)
{
	const struct generator_config *was = &expected->generator;

	if (strcmp(expected->name, "generator") != 0)
		return error_set(
			err, SB_ERR_CONFIG,
			"the checkpoint was written while reading %s, not the generator; give the input it was, or "
			"start over with --restore none",
			strcmp(expected->name, "-") == 0 ? "standard input" : expected->name);
	if (was->users != g->config.users)
		return error_set(
			err, SB_ERR_CONFIG,
			"the checkpoint's generator had users=%lld, not users=%lld; give that, or start over with "
			"--restore none",
			(long long)was->users, (long long)g->config.users);
	if (!g->seed_chosen && was->seed != g->config.seed)
		return error_set(
			err, SB_ERR_CONFIG,
			"the checkpoint's generator had seed=%llu, not seed=%llu; give that or none, or start over with "
			"--restore none",
			(unsigned long long)was->seed, (unsigned long long)g->config.seed);
	g->config.seed = was->seed;
	return SB_OK;
}

static int32_t generator_start(struct source *source, int64_t offset, const struct source_identity *expected,
			       sb_error *err)
{
	struct generator *g = generator_of(source);

	if (expected)
		TRY(check_same(g, expected, err));
	g->next = g->first = offset;
	g->start_ns = g->now_ns = clock_monotonic_ns(g->clock);
	return SB_OK;
}

static int generator_poll_fd(const struct source *source)
{
	(void)source;
	return -1;
}

static int64_t generator_due_ns(const struct source *source)
{
	return due_of_next(const_generator_of(source));
}

static int32_t generator_identity(const struct source *source, struct source_identity *ret_identity, sb_error *err)
{
	char *name = strdup("generator");

	if (!name)
		return error_no_memory(err);
	*ret_identity =
		(struct source_identity){.name = name, .size = -1, .generator = const_generator_of(source)->config};
	return SB_OK;
}

static int64_t generator_total(const struct source *source)
{
	int64_t count = const_generator_of(source)->config.count;

	return count ? count : -1;
}

static void generator_close(struct source *source)
{
	struct generator *g = generator_of(source);

	block_unref(g->block);
	free(g);
}

static void close_generator(struct generator **g)
{
	if (*g)
		generator_close(&(*g)->base);
}

static const struct source_ops generator_ops = {
	.start = generator_start,
	.next = generator_next,
	.poll_fd = generator_poll_fd,
	.due_ns = generator_due_ns,
	.identity = generator_identity,
	.total = generator_total,
	.close = generator_close,
};

static int32_t choose_seed(uint64_t *ret_seed, sb_error *err)
{
	uint64_t seed = 0;

	while (seed == 0) /* 0 stands for "choose one" */
		if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
			return error_set_errno(err, errno, "cannot choose a seed for the generator");
	*ret_seed = seed >> 1; /* fits signed 64-bit fields of other formats */
	if (*ret_seed == 0)
		*ret_seed = 1;
	return SB_OK;
}

int32_t source_generator_open(const struct source_config *config, struct source **ret_source, sb_error *err)
{
	AUTO(close_generator) struct generator *g = calloc(1, sizeof(*g));

	if (!g)
		return error_no_memory(err);
	g->base.ops = &generator_ops;
	g->clock = config->clock;
	g->config = config->generator;
	g->day = -1;
	g->block = block_new(SOURCE_BLOCK_BYTES);
	if (!g->block)
		return error_no_memory(err);
	if (g->config.seed == 0) {
		g->seed_chosen = true;
		TRY(choose_seed(&g->config.seed, err));
	}
	*ret_source = &TAKE(g)->base;
	return SB_OK;
}

/* ---- options ---- */

static int32_t parse_option(sb_slice name, sb_slice value, struct generator_config *config, sb_error *err)
{
	bool good;

	if (slice_equal_text(name, "users"))
		good = number_parse_i64(value, &config->users) && config->users >= 1;
	else if (slice_equal_text(name, "rate"))
		good = number_parse_f64(value, &config->rate) && config->rate >= 0;
	else if (slice_equal_text(name, "seed"))
		good = number_parse_u64(value, &config->seed);
	else if (slice_equal_text(name, "count"))
		good = number_parse_i64(value, &config->count) && config->count >= 0;
	else
		return error_set(err, SB_ERR_CONFIG,
				 "the generator has no option '%.*s'; it has users, rate, seed and count",
				 (int)name.len, (const char *)name.ptr);
	if (good)
		return SB_OK;
	return error_set(
		err, SB_ERR_CONFIG,
		"'%.*s' will not do for the generator's %.*s: users is a number from 1, rate one from 0 (as fast as "
		"possible), seed and count whole numbers from 0",
		(int)value.len, (const char *)value.ptr, (int)name.len, (const char *)name.ptr);
}

int32_t generator_parse(const char *text, struct generator_config *ret_config, sb_error *err)
{
	struct generator_config config = {.users = 5, .rate = 1};

	while (text && *text) {
		size_t len = strcspn(text, ","), name = strcspn(text, "=,");

		if (name >= len)
			return error_set(
				err, SB_ERR_CONFIG,
				"'%.*s' is no generator option; they look like users=5,rate=1,seed=7,count=100",
				(int)len, text);
		TRY(parse_option(slice_of(text, name), slice_of(text + name + 1, len - name - 1), &config, err));
		text += len;
		text += *text == ',';
	}
	*ret_config = config;
	return SB_OK;
}
