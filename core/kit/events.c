/* Valid events, by an operator's declaration: see bench.h. Keys come from a small pool, so that entries are met again. */
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"
#include "kit/bench.h"

#define KEYS 23
#define LONG_TEXT (1u << 16)
/* Within these the sums of all sorts of operators stay exact, and no time is before 1970. */
#define TAME_I64 1000
#define TAME_SPAN_MS INT64_C(86400000)

struct making {
	struct bench *b;
	struct events *events;
	bool edges;
};

static void *allocate(struct making *m, size_t size)
{
	void *memory = arena_alloc(&m->events->memory, size ? size : 1);

	if (!memory)
		trial_fail(m->b->trial, "out of memory");
	return memory;
}

static sb_slice copy_text(struct making *m, const char *text)
{
	const size_t len = strlen(text);

	return slice_of(memcpy(allocate(m, len), text, len), len);
}

static sb_slice long_text(struct making *m)
{
	uint8_t *text = allocate(m, LONG_TEXT);

	memset(text, 'x', LONG_TEXT);
	return slice_of(text, LONG_TEXT);
}

static sb_slice any_text(struct making *m)
{
	static const char *const texts[] = {"a", "shoes", "two words", "b\"\\\n",
					    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"};
	struct rng *rng = &m->b->rng;

	if (m->edges && rng_chance(rng, 10))
		return rng_chance(rng, 50) ? slice_of(NULL, 0) : long_text(m);
	return copy_text(m, texts[rng_below(rng, sizeof(texts) / sizeof(texts[0]))]);
}

static int64_t any_i64(struct making *m)
{
	static const int64_t ends[] = {0, -1, 1, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_C(1) << 53, INT32_MIN};
	struct rng *rng = &m->b->rng;

	if (m->edges && rng_chance(rng, 30))
		return ends[rng_below(rng, sizeof(ends) / sizeof(ends[0]))];
	return (int64_t)rng_below(rng, TAME_I64);
}

static double any_f64(struct making *m)
{
	static const double ends[] = {0.0, -0.0, DBL_MAX, -DBL_MAX, DBL_MIN, -1.0, 0.1, 4.9406564584124654e-324};
	struct rng *rng = &m->b->rng;

	if (m->edges && rng_chance(rng, 30))
		return ends[rng_below(rng, sizeof(ends) / sizeof(ends[0]))];
	return (double)rng_below(rng, 100 * TAME_I64) / 4;
}

static int64_t any_time(struct making *m)
{
	if (m->edges && rng_chance(&m->b->rng, 20))
		return rng_chance(&m->b->rng, 50) ? 0 : -INT64_C(62135596800000);
	return START_MS + (int64_t)rng_below(&m->b->rng, (uint64_t)TAME_SPAN_MS);
}

static sb_value text_value(sb_slice text)
{
	return (sb_value){.as = {.ptr = text.ptr}, .len = text.len};
}

static sb_value any_value(struct making *m, const sb_field *field)
{
	if ((field->flags & SB_FIELD_OPTIONAL) && rng_chance(&m->b->rng, 20))
		return (sb_value){.len = SB_NULL};
	switch (field->type) {
	case SB_TYPE_STRING:
		return text_value(any_text(m));
	case SB_TYPE_BOOL:
		return (sb_value){.as = {.i64 = rng_chance(&m->b->rng, 50)}};
	case SB_TYPE_F64:
		return (sb_value){.as = {.f64 = any_f64(m)}};
	case SB_TYPE_TIME:
		return (sb_value){.as = {.i64 = any_time(m)}};
	default:
		return (sb_value){.as = {.i64 = any_i64(m)}};
	}
}

/* The key's bytes are those of its field, a number as decimal text. */
static sb_value any_key(struct making *m, const sb_field *field, sb_slice *ret_key)
{
	const uint64_t number = rng_below(&m->b->rng, KEYS);
	char text[32];

	if (field->type == SB_TYPE_I64) {
		snprintf(text, sizeof(text), "%lld", (long long)number - 3);
		*ret_key = copy_text(m, text);
		return (sb_value){.as = {.i64 = (int64_t)number - 3}};
	}
	if (m->edges && number == 0)
		*ret_key = long_text(m);
	else
		snprintf(text, sizeof(text), "user-%llu", (unsigned long long)number);
	if (!(m->edges && number == 0))
		*ret_key = copy_text(m, text);
	return text_value(*ret_key);
}

static void make_event(struct making *m, uint64_t number, sb_event *ret_event)
{
	const struct component *component = m->b->component;
	sb_value *values = allocate(m, component->input_count * sizeof(*values));
	sb_slice key = {0};

	for (uint64_t i = 0; i < component->input_count; i++)
		values[i] = component->inputs[i].flags & SB_FIELD_KEY ? any_key(m, &component->inputs[i], &key)
								      : any_value(m, &component->inputs[i]);
	*ret_event = (sb_event){.key = key, .values = values, .clock_ms = START_MS + (int64_t)number};
}

void events_make(struct bench *b, struct events *ret_events, uint64_t count, bool edges)
{
	struct making m = {.b = b, .events = ret_events, .edges = edges};

	memset(ret_events, 0, sizeof(*ret_events));
	ret_events->events = allocate(&m, count * sizeof(sb_event));
	ret_events->count = count;
	for (uint64_t i = 0; i < count; i++)
		make_event(&m, i, &ret_events->events[i]);
}

void events_done(struct events *events)
{
	arena_done(&events->memory);
}
