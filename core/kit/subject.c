/* The backend under test: see subject.h. */
#include "kit/subject.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/iter_check.h"
#include "kit/write_in_place.h"
#include "plugin/extensions.h"

struct plugin *kit_load(const struct trial *trial)
{
	const unsigned slot = witness_enter(trial->witness, "its constructors or its entry function");
	struct plugin *plugin;
	sb_error err = ERROR_INIT;

	if (plugin_load(trial->io, trial->plugin, trial->plugin_dir, &plugin, &err) != SB_OK)
		trial_fail(trial, "%s", err.message);
	witness_leave(trial->witness, slot);
	return plugin;
}

bool subject_plugin_exists(const struct trial *trial, const char *name)
{
	sb_error err = ERROR_INIT;
	char *path = NULL;
	const bool exists = plugin_find(trial->io, name, trial->plugin_dir, &path, &err) == SB_OK;

	free(path);
	return exists;
}

void subject_check_error(const struct trial *trial, const char *call, int32_t status, const sb_error *err)
{
	if (status > SB_OK || status < SB_ERR_INTERNAL)
		trial_fail(trial, "%s failed with status %d, which does not exist", call, status);
	if (err->code != status)
		trial_fail(trial, "%s failed with status %d and put %d into the error", call, status, err->code);
	if (!err->message[0] || !memchr(err->message, 0, sizeof(err->message)) || strchr(err->message, '\n'))
		trial_fail(trial, "%s failed with status %d and did not say why in one sentence", call, status);
}

int32_t subject_open_at(struct subject *s, const char *dir, uint32_t flags, sb_error *err)
{
	const unsigned slot = witness_enter(s->trial->witness, "open");
	const int32_t status =
		instance_open_backend(s->component, "backend-0", dir, flags, &s->options, &s->env, &s->instance, err);

	witness_leave(s->trial->witness, slot);
	if (status != SB_OK)
		return status;
	s->keeps_dir = true;
	s->ops = &s->component->backend;
	s->backend = s->instance->backend;
	return SB_OK;
}

void subject_open(struct subject *s)
{
	sb_error err = ERROR_INIT;

	snprintf(s->instance_dir, sizeof(s->instance_dir), "%.3900s/instance-%u", s->dir, s->opened++);
	if (io_mkdir_p(&s->io, s->instance_dir, &err) != SB_OK ||
	    subject_open_at(s, s->instance_dir, s->hints, &err) != SB_OK)
		FAIL(s, "%s", err.message);
	s->keeps_dir = false;
}

void subject_close(struct subject *s)
{
	const unsigned slot = witness_enter(s->trial->witness, "close");
	sb_error err = ERROR_INIT;

	instance_close(s->instance);
	witness_leave(s->trial->witness, slot);
	s->instance = NULL;
	s->backend = NULL;
	if (!s->keeps_dir && io_remove_tree(&s->io, s->instance_dir, &err) != SB_OK)
		FAIL(s, "%s", err.message);
}

static void choose_component(struct subject *s)
{
	const struct trial *trial = s->trial;
	sb_error err = ERROR_INIT;

	s->plugin = kit_load(trial);
	CHECK(s, trial->component < s->plugin->component_count, "it has fewer components than before");
	s->component = &s->plugin->components[trial->component];
	if (option_set_parse(s->component, "--opt", trial->options, trial->option_count, &s->options, &err) != SB_OK)
		FAIL(s, "%s", err.message);
}

void subject_init(struct subject *s, const struct trial *trial, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->trial = trial;
	process_look(trial, &s->before);
	rng_init(&s->rng, seed);
	s->hints = rng_below(&s->rng, 2) ? SB_OPEN_NO_SHORT_ITER : 0;
	model_init(&s->model);
	s->io = *trial->io;
	fake_clock_init(&s->clock, START_MS * 1000000);
	s->log = (struct log){.fd = -1, .clock = &s->clock.clock};
	atomic_store(&s->horizon_ms, INT64_MIN);
	s->env = (struct plugin_env){.log = &s->log, .clock = &s->clock.clock, .horizon_ms = &s->horizon_ms};
	snprintf(s->dir, sizeof(s->dir), "%.3800s/subject-XXXXXX", trial->dir);
	CHECK(s, mkdtemp(s->dir), "cannot make a directory like %s", s->dir);
	choose_component(s);
	subject_open(s);
}

void subject_done(struct subject *s)
{
	sb_error err = ERROR_INIT;

	subject_close(s);
	option_set_done(&s->options);
	plugin_free(s->plugin);
	model_done(&s->model);
	if (io_remove_tree(&s->io, s->dir, &err) != SB_OK)
		FAIL(s, "%s", err.message);
}

void subject_reopen(struct subject *s)
{
	subject_close(s);
	model_clear(&s->model);
	subject_open(s);
}

bool subject_may_lack(const struct subject *s, const struct model_entry *entry)
{
	return entry->expiry_ms != SB_NO_EXPIRY && entry->expiry_ms <= atomic_load(&s->horizon_ms);
}

void subject_set_horizon(struct subject *s, int64_t horizon_ms)
{
	CHECK(s, horizon_ms >= atomic_load(&s->horizon_ms), "the horizon never goes back: a bug of the case");
	atomic_store(&s->horizon_ms, horizon_ms);
}

void subject_write(struct subject *s, uint64_t n, const sb_op *ops)
{
	sb_error err = ERROR_INIT;
	int32_t status = SUBJECT_CALL(s, write_batch, s->backend, n, ops, &err);

	CHECK(s, status == SB_OK, "write_batch of %" PRIu64 " operations: status %d, %s", n, status, err.message);
	model_apply(&s->model, n, ops);
}

void subject_put(struct subject *s, sb_slice key, sb_slice value, int64_t expiry_ms)
{
	sb_op op = op_put(key, value, expiry_ms);

	subject_write(s, 1, &op);
}

void subject_delete(struct subject *s, sb_slice key)
{
	sb_op op = op_delete(key);

	subject_write(s, 1, &op);
}

static void check_pin(struct subject *s, sb_slice key, const sb_pin *pin)
{
	const struct model_entry *entry = model_find(&s->model, key);

	if (!pin->found) {
		CHECK(s, !pin->value.ptr && !pin->value.len && !pin->expiry_ms && !pin->owner,
		      "a pin that found nothing has members that are not zero");
		if (!entry)
			return;
		CHECK(s, subject_may_lack(s, entry), "a key of %" PRIu64 " bytes is lost", key.len);
		/* Once purged it must stay away. */
		model_delete(&s->model, key);
		return;
	}
	CHECK(s, pin->found == 1, "found is %u", pin->found);
	CHECK(s, entry, "a key of %" PRIu64 " bytes is found and should not be", key.len);
	CHECK(s, pin->expiry_ms == entry->expiry_ms, "expiry %" PRId64 " instead of %" PRId64, pin->expiry_ms,
	      entry->expiry_ms);
	CHECK(s, slice_equal(pin->value, entry->value),
	      "a value of %" PRIu64 " bytes differs from the %" PRIu64 " bytes that were written", pin->value.len,
	      entry->value.len);
}

struct in_place {
	struct subject *s;
	void (*between)(struct subject *s);
};

static void check_place(void *arg, sb_slice key, const sb_place *place)
{
	const sb_pin pin = {.value = slice_of(place->value, place->value_len),
			    .expiry_ms = place->expiry_ms,
			    .found = place->flags & SB_PLACE_FOUND};

	check_pin(((struct in_place *)arg)->s, key, &pin);
}

static void be_between(void *arg)
{
	struct in_place *in_place = arg;

	if (in_place->between)
		in_place->between(in_place->s);
}

void subject_write_in_place(struct subject *s, uint64_t n, const sb_op *ops, void (*between)(struct subject *s))
{
	struct in_place in_place = {s, between};
	const struct write_in_place with = {.ops = s->ops,
					    .inplace = component_inplace(s->component),
					    .backend = s->backend,
					    .witness = s->trial->witness,
					    .found = check_place,
					    .between = be_between,
					    .arg = &in_place};
	const char *failure = write_in_place(&with, n, ops);

	CHECK(s, !failure, "changing %" PRIu64 " entries in place: %s", n, failure);
	model_apply(&s->model, n, ops);
}

void subject_get(struct subject *s, uint64_t n, const sb_slice *keys, sb_pin *pins)
{
	sb_error err = ERROR_INIT;
	int32_t status;

	/* The backend fills in every member, whatever was there. */
	if (n)
		memset(pins, 0xA5, n * sizeof(*pins));
	status = SUBJECT_CALL(s, multi_get, s->backend, n, keys, pins, &err);
	CHECK(s, status == SB_OK, "multi_get of %" PRIu64 " keys: status %d, %s", n, status, err.message);
	for (uint64_t i = 0; i < n; i++)
		check_pin(s, keys[i], &pins[i]);
}

void subject_unpin(struct subject *s, uint64_t n, sb_pin *pins)
{
	SUBJECT_CALL_VOID(s, unpin, s->backend, n, pins);
	/* What the backend kept of the array itself is gone. */
	if (n)
		memset(pins, 0xDB, n * sizeof(*pins));
}

void subject_check_key(struct subject *s, sb_slice key)
{
	sb_pin pin;

	subject_get(s, 1, &key, &pin);
	subject_unpin(s, 1, &pin);
}

void subject_check_all(struct subject *s)
{
	const sb_slice everything = {0};
	struct iter_check check;
	size_t at = 0;

	iter_check_open(&check, s, everything, everything);
	while (iter_check_step(&check, 100))
		;
	iter_check_close(&check);

	while (at < s->model.count) {
		size_t before = s->model.count;

		subject_check_key(s, s->model.entries[at].key);
		/* One that was purged is gone from the model now. */
		at += s->model.count == before;
	}
}

uint64_t subject_maintain(struct subject *s)
{
	uint64_t total = 0;
	unsigned idle = 0;

	while (idle < 50) {
		sb_error err = ERROR_INIT;
		uint64_t purged = 0;
		int32_t status = SUBJECT_CALL(s, maintain, s->backend, 100, &purged, &err);

		if (status == SB_ERR_UNSUPPORTED)
			return 0;
		CHECK(s, status == SB_OK, "maintain: status %d, %s", status, err.message);
		total += purged;
		idle = purged ? 0 : idle + 1;
	}
	return total;
}

sb_slice key_of(uint8_t *buffer, unsigned group, const char *text)
{
	size_t len = strlen(text);

	assert(len <= 60);
	buffer[0] = (uint8_t)(group >> 8);
	buffer[1] = (uint8_t)group;
	buffer[2] = 0;
	buffer[3] = 1;
	memcpy(buffer + 4, text, len);
	return slice_of(buffer, len + 4);
}

sb_slice key_of_number(uint8_t *buffer, unsigned group, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%08" PRIu64, number);
	return key_of(buffer, group, text);
}
