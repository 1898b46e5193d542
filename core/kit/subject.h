/* The backend under test, opened as the host opens it, with the model at its side.
 *
 * What does not conform comes to a verdict (trial_fail) and does not return, so a check reads as a plain list of what is
 * done and what must hold. */
#ifndef KIT_SUBJECT_H
#define KIT_SUBJECT_H

#include <limits.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/io.h"
#include "kit/model.h"
#include "kit/process.h"
#include "kit/rng.h"
#include "kit/rules.h"
#include "plugin/instance.h"
#include "plugin/options.h"
#include "plugin/plugin.h"

#define START_MS INT64_C(1700000000000)

struct subject {
	const struct trial *trial;
	struct process_state before; /* how the process was before the plugin was loaded */
	struct rng rng;
	struct model model; /* what the backend must hold now */
	struct io io;
	struct log log;
	struct fake_clock clock;
	_Atomic int64_t horizon_ms;
	struct plugin_env env;
	struct plugin *plugin;
	const struct component *component;
	struct option_set options;
	char dir[PATH_MAX]; /* of the subject; below it a folder of the instance's own each time */
	char instance_dir[PATH_MAX];
	unsigned opened;
	uint32_t hints; /* of sb_backend_config.flags, by the seed */
	bool keeps_dir; /* opened at a directory of somebody else's */
	struct instance *instance;
	const sb_backend_ops *ops;
	sb_backend *backend;
};

/* A failure must be told as the header says: a status that exists, the same in err, one sentence. call ("open") is for ours. */
void subject_check_error(const struct trial *trial, const char *call, int32_t status, const sb_error *err);

/* The trial's plugin, loaded. */
struct plugin *kit_load(const struct trial *trial);

/* Whether the plugin directory holds one of that name. */
bool subject_plugin_exists(const struct trial *trial, const char *name);

/* Loads and opens; several subjects may be open in one trial, each in a directory of its own below the trial's. */
void subject_init(struct subject *s, const struct trial *trial, uint64_t seed);
void subject_done(struct subject *s);
/* The two halves of it. A closed subject keeps its model; subject_open_at opens on what lies in a directory of the caller's, which stays. */
void subject_close(struct subject *s);
void subject_open(struct subject *s);
int32_t subject_open_at(struct subject *s, const char *dir, uint32_t flags, sb_error *err);
/* Closes the instance and opens one in an empty directory; the model is empty, too. */
void subject_reopen(struct subject *s);

#define FAIL(s, ...) trial_fail((s)->trial, __VA_ARGS__)
#define CHECK(s, condition, ...)                                                                                       \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			FAIL(s, __VA_ARGS__);                                                                          \
	} while (0)

/* Calls of the backend, noted: see witness.h. */
#define SUBJECT_CALL(s, callback, ...) CALL((s)->trial->witness, (s)->ops, callback, __VA_ARGS__)
#define SUBJECT_CALL_VOID(s, callback, ...) CALL_VOID((s)->trial->witness, (s)->ops, callback, __VA_ARGS__)

static inline bool subject_is_ordered(const struct subject *s)
{
	return (s->component->flags & SB_BACKEND_ORDERED) != 0;
}

static inline bool subject_is_stable(const struct subject *s)
{
	return (s->component->flags & SB_BACKEND_STABLE_ITER) != 0;
}

/* The entry may have been purged by now. */
bool subject_may_lack(const struct subject *s, const struct model_entry *entry);
void subject_set_horizon(struct subject *s, int64_t horizon_ms);

/* Writes a batch to both, which must succeed. */
void subject_write(struct subject *s, uint64_t n, const sb_op *ops);
void subject_put(struct subject *s, sb_slice key, sb_slice value, int64_t expiry_ms);
void subject_delete(struct subject *s, sb_slice key);

/* The same through sb.inplace/1 as far as that goes, each answer checked; between may be NULL, and is called while
 * places are out. The backend has the extension. */
void subject_write_in_place(struct subject *s, uint64_t n, const sb_op *ops, void (*between)(struct subject *s));

/* Reads and checks the answers; the pins are the caller's. */
void subject_get(struct subject *s, uint64_t n, const sb_slice *keys, sb_pin *pins);
void subject_unpin(struct subject *s, uint64_t n, sb_pin *pins);
/* Reads, checks, releases. */
void subject_check_key(struct subject *s, sb_slice key);
/* Every key of the model by multi_get, and everything by an iterator. */
void subject_check_all(struct subject *s);
/* Upkeep until it finds nothing to purge; returns how many entries it says it purged. */
uint64_t subject_maintain(struct subject *s);

/* "\x00\x01\x00\x02" and the text: a key as the host composes them. buffer has room for 64 bytes. */
sb_slice key_of(uint8_t *buffer, unsigned group, const char *text);
sb_slice key_of_number(uint8_t *buffer, unsigned group, uint64_t number);

static inline sb_op op_put(sb_slice key, sb_slice value, int64_t expiry_ms)
{
	return (sb_op){.key = key, .value = value, .expiry_ms = expiry_ms, .kind = SB_OP_PUT};
}

static inline sb_op op_delete(sb_slice key)
{
	return (sb_op){.key = key, .kind = SB_OP_DELETE};
}

#endif
