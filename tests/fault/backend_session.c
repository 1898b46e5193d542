/* See backend_session.h. */
#include "fault/backend_session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "kit/subject.h"
#include "plugin/extensions.h"
#include "plugin/instance.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define KEYS 40u
#define KEY_BYTES_MAX 1400u /* of several layers where keys have such */
#define LARGE_BYTES 200000u
#define HORIZON_MS 5000

struct life {
	struct backend_session *session;
	struct instance *instance;
	const sb_backend_ops *ops;
	sb_backend *backend;
	_Atomic int64_t horizon_ms;
	struct plugin_env env;
};

static void must(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "backend session: %s\n", what);
	abort();
}

static void complain(struct backend_session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first complaint stays. */
static void complain(struct backend_session *s, const char *format, ...)
{
	va_list arguments;

	if (s->problem[0])
		return;
	va_start(arguments, format);
	vsnprintf(s->problem, sizeof(s->problem), format, arguments);
	va_end(arguments);
}

static bool went_well(struct life *life, const char *call, int32_t status, const sb_error *err)
{
	if (status == SB_OK)
		return true;
	life->session->failed++;
	if (status > SB_OK || err->code != status || strlen(err->message) < 15)
		complain(life->session, "%s: status %d and \"%s\"", call, status, err->message);
	return false;
}

/* --- keys and values ----------------------------------------------------------------- */

/* In three key groups; every tenth is long, and all long ones begin alike. */
static sb_slice key_numbered(uint8_t *bytes, unsigned i)
{
	sb_slice key = key_of_number(bytes, i % 3, i);

	if (i % 10 != 9)
		return key;
	memset(bytes + 4, 'k', KEY_BYTES_MAX - 8);
	memcpy(bytes + KEY_BYTES_MAX - 4, &i, sizeof(i));
	return slice_of(bytes, KEY_BYTES_MAX);
}

static sb_slice value_numbered(uint8_t *bytes, unsigned i, unsigned round)
{
	const uint64_t len = i == 7 ? LARGE_BYTES : i == 8 ? 0 : 30 + i * (round + 1) * 7;

	memset(bytes, (int)('a' + i % 20 + round), len);
	return slice_of(bytes, len);
}

static int64_t expiry_numbered(unsigned i)
{
	return i % 4 == 0 ? HORIZON_MS - 100 : i % 4 == 1 ? HORIZON_MS + 100000 : SB_NO_EXPIRY;
}

/* --- what a life is made of ---------------------------------------------------------- */

static void write_keys(struct life *life, unsigned from, unsigned to, unsigned round)
{
	static uint8_t keys[KEYS][KEY_BYTES_MAX], values[KEYS][LARGE_BYTES];
	sb_op ops[KEYS + 1];
	sb_error err = ERROR_INIT;
	uint64_t n = 0;

	for (unsigned i = from; i < to; i++) {
		const sb_slice key = key_numbered(keys[i], i);

		ops[n++] = round && i % 5 == 0 ? op_delete(key)
					       : op_put(key, value_numbered(values[i], i, round), expiry_numbered(i));
	}
	if (went_well(life, "write_batch", life->ops->write_batch(life->backend, n, ops, &err), &err))
		model_apply(&life->session->model, n, ops);
}

static void check_entry(struct life *life, const char *call, sb_slice key, sb_slice value, int64_t expiry_ms)
{
	const struct model_entry *entry = model_find(&life->session->model, key);

	if (!entry || !slice_equal(entry->value, value) || entry->expiry_ms != expiry_ms)
		complain(life->session, "%s: an entry that is %s", call, entry ? "another one" : "not there");
}

static bool may_lack(const struct life *life, const struct model_entry *entry)
{
	return entry->expiry_ms != SB_NO_EXPIRY && entry->expiry_ms <= atomic_load(&life->horizon_ms);
}

static void read_keys(struct life *life)
{
	static uint8_t bytes[KEYS + 1][KEY_BYTES_MAX];
	sb_slice keys[KEYS + 1];
	sb_pin pins[KEYS + 1];
	sb_error err = ERROR_INIT;

	for (unsigned i = 0; i <= KEYS; i++)
		keys[i] = key_numbered(bytes[i], i);
	if (!went_well(life, "multi_get", life->ops->multi_get(life->backend, LENGTH(keys), keys, pins, &err), &err))
		return;
	for (unsigned i = 0; i <= KEYS; i++) {
		const struct model_entry *entry = model_find(&life->session->model, keys[i]);

		if (pins[i].found)
			check_entry(life, "multi_get", keys[i], pins[i].value, pins[i].expiry_ms);
		else if (entry && !may_lack(life, entry))
			complain(life->session, "multi_get: entry %u is lost", i);
	}
	life->ops->unpin(life->backend, LENGTH(keys), pins);
}

/* With writes half way, if its iterators are stable: then what it shows is of another moment, and only counted. */
static void walk(struct life *life, bool disturb)
{
	uint8_t bytes[64];
	const bool stable = life->session->component->flags & SB_BACKEND_STABLE_ITER;
	const sb_iter_options options = {.struct_size = sizeof(options), .lower = key_of(bytes, 0, "")};
	sb_entry entries[7];
	uint64_t count = 1, steps = 0;
	sb_error err = ERROR_INIT;
	sb_iter *iter;

	if (!went_well(life, "iter_open", life->ops->iter_open(life->backend, &options, &iter, &err), &err))
		return;
	while (count && steps++ < KEYS) {
		if (!went_well(life, "iter_next", life->ops->iter_next(iter, LENGTH(entries), entries, &count, &err),
			       &err))
			break;
		for (uint64_t i = 0; !disturb && i < count; i++)
			check_entry(life, "iter_next", entries[i].key, entries[i].value, entries[i].expiry_ms);
		if (disturb && stable)
			write_keys(life, (unsigned)steps, (unsigned)steps + 12, (unsigned)steps % 2);
	}
	life->ops->iter_close(iter);
}

static void follow_changes(struct life *life)
{
	const sb_delta_ops *delta = component_delta(life->session->component);
	uint64_t mark, count = 1;
	sb_error err = ERROR_INIT;
	sb_changes *changes;
	sb_op ops[5];

	if (!delta || !went_well(life, "mark", delta->mark(life->backend, &mark, &err), &err))
		return;
	write_keys(life, 0, 25, 1);
	read_keys(life);
	if (went_well(life, "changes_open", delta->changes_open(life->backend, mark, &changes, &err), &err)) {
		while (count && went_well(life, "changes_next",
					  delta->changes_next(changes, LENGTH(ops), ops, &count, &err), &err))
			write_keys(life, 5, 9, 0);
		delta->changes_close(changes);
	}
	delta->release(life->backend, mark);
}

/* After a failure nothing but the end: the ABI says so. False then. */
static bool change_in_place(struct life *life)
{
	const sb_inplace_ops *inplace = component_inplace(life->session->component);
	static uint8_t bytes[KEYS][KEY_BYTES_MAX], value[64];
	sb_place places[KEYS];
	sb_slice keys[KEYS];
	sb_error err = ERROR_INIT;

	if (!inplace)
		return true;
	for (unsigned i = 0; i < KEYS; i++)
		keys[i] = key_numbered(bytes[i], i + 5);
	if (!went_well(life, "find", inplace->find(life->backend, KEYS, keys, places, &err), &err))
		return false;
	memset(value, 'p', sizeof(value));
	for (unsigned i = 0; i < KEYS; i++) {
		uint64_t len = places[i].flags & SB_PLACE_FOUND ? places[i].value_len : sizeof(value);

		places[i].kind = i % 3 == 0					    ? SB_OP_PUT
				 : i % 3 == 1 && (places[i].flags & SB_PLACE_FOUND) ? SB_OP_DELETE
										    : 0;
		places[i].expiry_ms = places[i].kind == SB_OP_PUT ? expiry_numbered(i) : places[i].expiry_ms;
		if (places[i].kind != SB_OP_PUT)
			continue;
		if (!went_well(life, "write", inplace->write(life->backend, keys[i], len, &places[i], &err), &err))
			return false;
		memset(places[i].value, 'p', len);
		model_put(&life->session->model, keys[i], slice_of(places[i].value, len), places[i].expiry_ms);
	}
	for (unsigned i = 0; i < KEYS; i++)
		if (places[i].kind == SB_OP_DELETE)
			model_delete(&life->session->model, keys[i]);
	return went_well(life, "finish", inplace->finish(life->backend, KEYS, keys, places, &err), &err);
}

static void file_and_open(struct life *life)
{
	const sb_files_ops *files = component_files(life->session->component);
	struct backend_session *s = life->session;
	char dir[300];
	sb_error err = ERROR_INIT;
	struct instance *other;

	if (!files)
		return;
	snprintf(dir, sizeof(dir), "%s/files", s->dir);
	scratch_remove(dir);
	if (!went_well(life, "create", files->create(life->backend, dir, &err), &err))
		return;
	if (went_well(life, "open on files",
		      instance_open_backend(s->component, "backend-1", dir, SB_OPEN_FILES, &s->options, &life->env,
					    &other, &err),
		      &err))
		instance_close(other);
}

static void purge(struct life *life)
{
	uint64_t purged;
	sb_error err = ERROR_INIT;

	atomic_store(&life->horizon_ms, HORIZON_MS);
	for (unsigned i = 0; i < 12; i++) {
		int32_t status = life->ops->maintain(life->backend, 7, &purged, &err);

		if (status == SB_ERR_UNSUPPORTED || !went_well(life, "maintain", status, &err))
			return;
	}
}

static void ask_figures(struct life *life)
{
	sb_stat stats[64];
	uint64_t count;
	sb_error err = ERROR_INIT;
	int32_t status = life->ops->stats(life->backend, 2, stats, &count, &err);

	if (status != SB_ERR_UNSUPPORTED && went_well(life, "stats", status, &err))
		went_well(life, "stats", life->ops->stats(life->backend, LENGTH(stats), stats, &count, &err), &err);
}

/* --- a life -------------------------------------------------------------------------- */

static bool open_instance(struct life *life)
{
	struct backend_session *s = life->session;
	static const struct log log = {.fd = -1};
	static struct clock clock;
	sb_error err = ERROR_INIT;
	struct io io;

	clock_init_system(&clock);
	io_init_system(&io);
	snprintf(s->instance_dir, sizeof(s->instance_dir), "%s/instance", s->dir);
	must(io_empty_dir(&io, s->dir, NULL, &err) == SB_OK && io_mkdir_p(&io, s->instance_dir, &err) == SB_OK,
	     err.message);
	atomic_store(&life->horizon_ms, 0);
	life->env = (struct plugin_env){.log = &log, .clock = &clock, .horizon_ms = &life->horizon_ms};
	life->ops = &s->component->backend;
	if (!went_well(life, "open",
		       instance_open_backend(s->component, "backend-0", s->instance_dir, 0, &s->options, &life->env,
					     &life->instance, &err),
		       &err))
		return false;
	life->backend = life->instance->backend;
	return true;
}

static bool use(struct life *life)
{
	write_keys(life, 0, KEYS, 0);
	read_keys(life);
	walk(life, false);
	walk(life, true);
	follow_changes(life);
	if (!change_in_place(life))
		return false;
	walk(life, false);
	file_and_open(life);
	ask_figures(life);
	purge(life);
	write_keys(life, 3, 30, 0);
	return true;
}

void backend_session_live(struct backend_session *session, void (*calm)(void))
{
	struct life life = {.session = session};

	model_clear(&session->model);
	session->failed = 0;
	session->problem[0] = 0;
	if (!open_instance(&life)) {
		calm();
		return;
	}
	if (use(&life)) {
		calm();
		read_keys(&life);
		walk(&life, false);
	}
	instance_close(life.instance);
	calm();
}

void backend_session_init(struct backend_session *session, const char *plugin, const char *const *options)
{
	uint64_t count = 0;
	sb_error err = ERROR_INIT;
	struct io io;

	memset(session, 0, sizeof(*session));
	io_init_system(&io);
	while (options && options[count])
		count++;
	must(plugin_load(&io, plugin, SB_PLUGIN_DIR, &session->plugin, &err) == SB_OK, err.message);
	must(plugin_find_component(session->plugin, SB_KIND_BACKEND, &session->component, &err) == SB_OK, err.message);
	must(option_set_parse(session->component, "--opt", options, count, &session->options, &err) == SB_OK,
	     err.message);
	scratch_make(session->dir);
	model_init(&session->model);
}

void backend_session_done(struct backend_session *session)
{
	model_done(&session->model);
	scratch_remove(session->dir);
	option_set_done(&session->options);
	plugin_free(session->plugin);
}
