/* SPDX-License-Identifier: Apache-2.0
 *
 * sb_plugin.h: the whole contract between sbhost and its plugins, ABI 1.0.
 *
 * A plugin is a shared object that exports one function, sb_plugin_entry_v1(),
 * and describes in static data what it holds: state backends, which keep keyed
 * state, and operators, which process events. This header needs nothing but
 * <stdint.h> and <stddef.h>, and compiles alone as C11, C17, C++11 and C++20.
 *
 * Rules that hold everywhere, unless a comment says otherwise:
 *
 * Growth.    A struct that is passed singly starts with struct_size, which its
 *            author sets to sizeof. Members are only ever appended while the
 *            major version stays. A reader looks at no member beyond
 *            struct_size; an absent callback is NULL and means "unsupported".
 *            Structs that travel in arrays (sb_slice, sb_value, sb_event, sb_pin,
 *            sb_op, sb_entry, sb_place, sb_option_value, sb_log_field, sb_stat) have no
 *            size: they never change.
 *            Reserved members are zero. What is in 1.0 is always there: nobody need
 *            test struct_size for a member that this header has.
 * Errors.    A function that can fail returns an int32_t status, SB_OK or a
 *            negative SB_ERR_*, and fills the caller's sb_error. Outputs are
 *            untouched on failure. "Not found" is an answer, not an error.
 * Memory.    Nobody frees what the other side allocated. An sb_slice borrows:
 *            an argument's bytes are valid for the duration of the call and must
 *            be copied to be kept. Strings are NUL-terminated UTF-8 and not NULL,
 *            but where a comment allows it; names have at most 63 bytes.
 * Threads.   Calls on one instance never overlap, but may come from different
 *            threads, with a happens-before edge between them. The exceptions
 *            are the iterators of a backend with SB_BACKEND_STABLE_ITER, and the
 *            host services of sb_host, which any thread may call.
 *            Different instances are called at the same time.
 * Processes. No callback may fork, change the working directory, the locale,
 *            the signal dispositions or the umask, print to the standard
 *            streams, or end the process.
 * Time.      Milliseconds since 1970-01-01T00:00:00Z, signed 64-bit; durations
 *            are milliseconds too. SB_NO_EXPIRY (0) as an expiry means never.
 */
#ifndef SB_PLUGIN_H
#define SB_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SB_ABI_MAJOR 1
#define SB_ABI_MINOR 0

/* ---------------------------------------------------------------------------
 * Slices and errors
 * ------------------------------------------------------------------------- */

/* Bytes that belong to somebody else. ptr may be NULL only when len is 0. */
typedef struct sb_slice {
	const uint8_t *ptr;
	uint64_t len; /* bytes */
} sb_slice;

#define SB_OK 0
#define SB_ERR_INVALID (-1) /* an argument or a call at the wrong moment: a bug of the caller */
#define SB_ERR_CONFIG (-2) /* an option or a combination of options: the user can mend it */
#define SB_ERR_IO (-3) /* the operating system said no; sys_errno says why */
#define SB_ERR_CORRUPT (-4) /* stored bytes are not what was written */
#define SB_ERR_NO_MEMORY (-5) /* an allocation failed; nothing was changed */
#define SB_ERR_NO_SPACE (-6) /* the disk, the quota or a configured limit is full */
#define SB_ERR_UNSUPPORTED (-7) /* this plugin, or this version of it, cannot do that */
#define SB_ERR_BUSY (-8) /* somebody else holds it */
#define SB_ERR_NOT_FOUND (-9) /* a named thing that must exist does not (a file, a state, a plugin) */
#define SB_ERR_INCOMPATIBLE (-10) /* a version or a schema that cannot be brought together */
#define SB_ERR_DATA (-11) /* an event that the operator cannot accept */
#define SB_ERR_INTERNAL (-12) /* a broken invariant: a bug of the callee */

/* sb_error.flags */
#define SB_ERROR_RETRYABLE 1u /* the same call may succeed later */

#define SB_ERROR_MESSAGE_BYTES 1024

/* Caller-allocated; whoever returns a failure fills it, and formats message
 * without allocating: what happened, to what (the path, key or option), and what
 * the user can do. One sentence, no line feed, always NUL-terminated.
 * The host sets struct_size before each call; err is never NULL. */
typedef struct sb_error {
	uint32_t struct_size;
	int32_t code; /* the status that the function returned */
	int32_t sys_errno; /* errno of the failed system call, or 0 */
	uint32_t flags; /* SB_ERROR_* */
	char message[SB_ERROR_MESSAGE_BYTES];
} sb_error;

/* ---------------------------------------------------------------------------
 * Types of values
 * ------------------------------------------------------------------------- */

/* Types of event fields and of struct fields. */
#define SB_TYPE_STRING 1u /* event fields only: UTF-8, any length up to 1 MiB */
#define SB_TYPE_BOOL 2u /* 0 or 1; one byte in a struct */
#define SB_TYPE_I64 3u
#define SB_TYPE_F64 4u /* finite in events */
#define SB_TYPE_TIME 5u /* int64_t, milliseconds since 1970 */
/* Types of struct fields only; the field's size says how wide. */
#define SB_TYPE_INT 6u /* signed two's complement, 1, 2, 4 or 8 bytes */
#define SB_TYPE_UINT 7u /* unsigned, 1, 2, 4 or 8 bytes */
#define SB_TYPE_FLOAT 8u /* IEEE 754, 4 or 8 bytes */
#define SB_TYPE_ENUM 9u /* unsigned, 1, 2 or 4 bytes: an index into the field's names */
#define SB_TYPE_CHARS 10u /* UTF-8 text in a fixed array, padded with NULs */
#define SB_TYPE_BYTES 11u /* a fixed array of bytes */

/* One field of an event, of the type that its declaration says. */
typedef struct sb_value {
	union {
		int64_t i64; /* I64, TIME, BOOL */
		double f64;
		const uint8_t *ptr; /* STRING: len bytes, not NUL-terminated */
	} as;
	uint64_t len; /* bytes of a string, 0 for the rest; SB_NULL when there is no value */
} sb_value;

#define SB_NULL UINT64_MAX

/* ---------------------------------------------------------------------------
 * Host services, callable from any thread while the instance is open
 * ------------------------------------------------------------------------- */

#define SB_LOG_ERROR 1
#define SB_LOG_WARN 2
#define SB_LOG_INFO 3
#define SB_LOG_DEBUG 4
#define SB_LOG_TRACE 5

/* One key=value of a log line. decimals < 0 prints the shortest text that reads
 * back as the same number. */
typedef struct sb_log_field {
	const char *name;
	sb_value value;
	uint32_t type; /* SB_TYPE_STRING, BOOL, I64, F64 or TIME */
	int32_t decimals;
} sb_log_field;

#define SB_METRIC_COUNTER 1u /* value is added */
#define SB_METRIC_GAUGE 2u /* value is set */

/* Each instance has its own sb_host, valid until its close() returns; the one
 * handed to the entry function is valid during that call only. */
typedef struct sb_host sb_host;
struct sb_host {
	uint32_t struct_size;
	uint32_t abi_major; /* of the host */
	uint32_t abi_minor;
	uint32_t reserved;
	const char *name; /* "sbhost" */
	const char *version; /* of the host, "1.2.3" */
	void *context; /* the host's own */

	/* Writes one log line under the instance's name. message is a constant
	 * sentence without a line feed; what varies goes into fields. Control
	 * characters are escaped. Never fails. */
	void (*log)(const sb_host *host, int32_t level, const char *message, const sb_log_field *fields,
		    uint64_t field_count);
	/* 1 when lines of that level are written, else 0: ask before costly work. */
	int32_t (*log_enabled)(const sb_host *host, int32_t level);
	/* Wall clock (milliseconds since 1970) and monotonic clock (nanoseconds).
	 * Tests replace both, so never ask the system instead. */
	int64_t (*wall_clock_ms)(const sb_host *host);
	int64_t (*monotonic_ns)(const sb_host *host);
	/* An entry whose expiry is not SB_NO_EXPIRY and at or below this time may be
	 * purged from a backend at any moment: no read, replay or checkpoint will
	 * want it. The horizon is behind the clock while a checkpoint is written, and
	 * INT64_MIN when nothing may be purged. Never goes back during a run. */
	int64_t (*expiry_horizon_ms)(const sb_host *host);
	/* Adds to or sets a metric of this instance; name is a constant string of
	 * [a-z0-9_]. Lock-free only when the name was used before: call it per batch,
	 * not per event. */
	void (*metric)(const sb_host *host, uint32_t kind, const char *name, double value);
	/* A further table of services, or NULL when this host lacks it. Ids look
	 * like "sb.name/1" and are frozen once published. */
	const void *(*extension)(const sb_host *host, const char *id);
};

/* ---------------------------------------------------------------------------
 * Options: declared by a component, parsed and checked by the host
 * ------------------------------------------------------------------------- */

#define SB_OPTION_BOOL 1u /* true, false, yes, no, on, off, 1, 0 */
#define SB_OPTION_I64 2u /* min..max */
#define SB_OPTION_F64 3u /* min_f64..max_f64 */
#define SB_OPTION_SIZE 4u /* bytes: 4096, 64KiB, 1GiB; min..max */
#define SB_OPTION_DURATION 5u /* milliseconds: 250ms, 30s, 24h, 7d; min..max */
#define SB_OPTION_STRING 6u
#define SB_OPTION_CHOICE 7u /* one of choices */

/* sb_option.flags */
#define SB_OPTION_SECRET 1u /* never logged, shown or written to a checkpoint */

typedef struct sb_option {
	uint32_t struct_size;
	uint32_t type; /* SB_OPTION_* */
	uint32_t flags;
	uint32_t reserved;
	const char *name; /* [a-z][a-z0-9_]* */
	const char *default_text; /* as a user would write it; NULL: none, then is_set tells */
	int64_t min, max; /* inclusive, for I64, SIZE and DURATION; both 0: no limit */
	double min_f64, max_f64; /* the same for F64 */
	const char *const *choices; /* NULL-terminated, for CHOICE */
	const char *unit; /* for people: "bytes", "1/s"; may be NULL */
	const char *doc; /* one sentence; may be NULL, as all docs */
} sb_option;

/* The value of the option of the same index in the component's declaration. */
typedef struct sb_option_value {
	int64_t i64; /* BOOL, I64, SIZE, DURATION; CHOICE: index into choices */
	double f64;
	sb_slice text; /* STRING and CHOICE; NUL-terminated behind len; lives as long as the instance */
	uint32_t is_set; /* 1 when there is a value, by the user or by default; else all else is zero */
	uint32_t is_given; /* 1 when the user gave it */
} sb_option_value;

/* ---------------------------------------------------------------------------
 * State backends
 *
 * A backend keeps entries: key bytes, value bytes, expiry. The host composes the
 * keys (two bytes of key group, two bytes of state, both big-endian, then the
 * user's key), so a contiguous range of key groups is a range of keys in bytewise
 * order. Keys are 4 bytes to 1 MiB, values 0 bytes to 64 MiB + 4 KiB of any content.
 *
 * A backend needs no durability of its own: after a crash the host rebuilds it
 * from a checkpoint, in an empty directory.
 * ------------------------------------------------------------------------- */

/* A plugin completes these types as it likes: "struct sb_backend { ... };". */
typedef struct sb_backend sb_backend;
typedef struct sb_iter sb_iter;

#define SB_NO_EXPIRY INT64_C(0)

/* sb_component.flags of a backend */
#define SB_BACKEND_STABLE_ITER                                                                                         \
	1u /* an iterator shows the moment of iter_open, and may be read and closed
                                   * by another thread while its instance is read and written */
#define SB_BACKEND_ORDERED 2u /* iterators return keys in bytewise order */
#define SB_BACKEND_IN_MEMORY 4u /* keeps all values in memory: the host caches nothing in front of it */

/* sb_backend_config.flags */
#define SB_OPEN_READ_ONLY 1u /* dir holds what another instance wrote and closed; change nothing in it */
#define SB_OPEN_FILES 2u /* dir holds the files of a checkpoint (see sb_files_ops); go on from them */
#define SB_OPEN_NO_SHORT_ITER                                                                                          \
	4u /* a hint: no SB_ITER_SHORT iterator will be opened on the instance, so a
                                   * form that is fast for single keys may be chosen, though opening an iterator is slow in it */

typedef struct sb_backend_config {
	uint32_t struct_size;
	uint32_t flags; /* SB_OPEN_*; bits that you do not know are hints of a later host */
	const sb_host *host; /* lives as long as the instance */
	const char *instance; /* "backend-0"; lives as long as the instance */
	const char *dir; /* an existing directory of this instance's own, empty unless READ_ONLY, but for
	                       * the host's files called .sbhost*; lives as long as the instance */
	const sb_option_value *options; /* in the order of the declaration; lives as long as the instance */
	uint64_t option_count;
} sb_backend_config;

/* The answer to one key of multi_get. */
typedef struct sb_pin {
	sb_slice value;
	int64_t expiry_ms;
	void *owner; /* the backend's own, for unpin; NULL if it needs nothing */
	uint32_t found; /* 0: the key has no entry, and the members above are zero */
	uint32_t reserved;
} sb_pin;

#define SB_OP_PUT 1u
#define SB_OP_DELETE 2u

typedef struct sb_op {
	sb_slice key;
	sb_slice value; /* PUT */
	int64_t expiry_ms; /* PUT: absolute, or SB_NO_EXPIRY */
	uint32_t kind; /* SB_OP_* */
	uint32_t reserved;
} sb_op;

typedef struct sb_entry {
	sb_slice key;
	sb_slice value;
	int64_t expiry_ms;
} sb_entry;

/* sb_iter_options.flags */
#define SB_ITER_SHORT 1u /* a few entries, on the event path; else a long walk, off it */

typedef struct sb_iter_options {
	uint32_t struct_size;
	uint32_t flags; /* SB_ITER_* */
	sb_slice lower; /* first key wanted; empty: from the beginning */
	sb_slice upper; /* first key not wanted; empty: to the end */
} sb_iter_options;

typedef struct sb_stat {
	const char *name; /* [a-z0-9_]+, lives as long as the instance */
	double value;
	const char *unit; /* "bytes", "entries", "" */
	uint32_t kind; /* SB_METRIC_COUNTER: only grows while the instance is open; else SB_METRIC_GAUGE */
	uint32_t reserved;
} sb_stat;

typedef struct sb_backend_ops {
	uint32_t struct_size;
	uint32_t reserved;

	/* Mandatory. Opens an instance on config->dir. Slices and strings of config
	 * live as said there; config itself is valid during the call only. */
	int32_t (*open)(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err);

	/* Mandatory. Frees everything. The host has closed all iterators and released
	 * all pins. Called once for each successful open, never after a failed one. */
	void (*close)(sb_backend *backend);

	/* Mandatory. Looks up n keys, in any order, duplicates allowed; pins[i] answers
	 * keys[i]. Expired entries may be returned: the host decides by expiry_ms.
	 * The bytes of a pin stay as they are until unpin, whatever is written
	 * meanwhile. On failure no pin is held. */
	int32_t (*multi_get)(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err);

	/* NULL if pins need no release. Releases n answers of multi_get, found or not;
	 * pins may be released in other groups and another order than they came. */
	void (*unpin)(sb_backend *backend, uint64_t n, sb_pin *pins);

	/* Mandatory. Applies n operations in their order, all or nothing; of several
	 * for one key the last one counts. Deleting what is not there is fine; an unknown
	 * kind is SB_ERR_INVALID. */
	int32_t (*write_batch)(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err);

	/* Mandatory. Opens an iterator over the entries in [lower, upper). The bounds
	 * are copied. Several iterators may be open. Without SB_BACKEND_STABLE_ITER the
	 * host writes nothing while one is. */
	int32_t (*iter_open)(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err);

	/* Mandatory. Returns up to max (>= 1) further entries; *ret_count 0 is the end. The
	 * entries' bytes are valid until the next call on this iterator. On failure entries holds nothing. Every key comes once. Expired
	 * entries at or below the expiry horizon may be left out. */
	int32_t (*iter_next)(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);

	/* Mandatory. */
	void (*iter_close)(sb_iter *iter);

	/* May be NULL. Spends up to budget entries' worth of work on upkeep (purging
	 * what is below the expiry horizon); *ret_purged counts the entries removed.
	 * Called between batches and when there is nothing else to do. */
	int32_t (*maintain)(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err);

	/* May be NULL. Writes up to capacity figures; *ret_count is how many there are, which may be more. */
	int32_t (*stats)(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err);

	/* May be NULL. A further table of operations of this component, or NULL. */
	const void *(*extension)(const char *id);
} sb_backend_ops;

/* Extension "sb.files/1": checkpoints as files. For an engine whose bulk lies in files that never change once
 * written: the host links them instead of reading every entry, and stores each only once. */
#define SB_EXT_FILES "sb.files/1"

typedef struct sb_files_ops {
	uint32_t struct_size;
	uint32_t reserved;

	/* Mandatory. Makes the directory dir, which does not exist yet, and puts into it files that
	 * hold all entries: links or copies, without sub-directories. Called on another thread than the instance's:
	 * meanwhile the host reads from the instance (multi_get) and writes nothing. */
	int32_t (*create)(sb_backend *backend, const char *dir, sb_error *err);

	/* Mandatory. 1 when the file of that name (without directory) never changes, not even
	 * by an instance that goes on from it: it may be linked. 0: it is copied. Any thread. */
	int32_t (*is_immutable)(const char *name);
} sb_files_ops;

/* Extension "sb.delta/1": checkpoints that hold what changed since an earlier one. */
#define SB_EXT_DELTA "sb.delta/1"

typedef struct sb_changes sb_changes;

typedef struct sb_delta_ops {
	uint32_t struct_size;
	uint32_t reserved;

	/* Mandatory. Names the present moment by a number above all earlier ones, and remembers from now on which keys change.
	 * Costs no time that grows with the state. On the instance's thread, as are changes_open and release. */
	int32_t (*mark)(sb_backend *backend, uint64_t *ret_mark, sb_error *err);

	/* Mandatory. Opens a walk over what has changed since that mark: stable like an iterator of
	 * SB_BACKEND_STABLE_ITER, which a backend with this extension has. SB_ERR_NOT_FOUND: the mark is forgotten (it was
	 * released, or memory was short); the host then writes everything. */
	int32_t (*changes_open)(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *err);

	/* Mandatory. Up to max (>= 1) further changes as operations: applied in order to the content of the mark they
	 * give the content at changes_open. *ret_count 0 is the end. Bytes are valid until the next call. Any thread. */
	int32_t (*changes_next)(sb_changes *changes, uint64_t max, sb_op *ops, uint64_t *ret_count, sb_error *err);

	/* Mandatory. Any thread. */
	void (*changes_close)(sb_changes *changes);

	/* Mandatory. No changes_open will name a mark below this one any more. */
	void (*release)(sb_backend *backend, uint64_t mark);
} sb_delta_ops;

/* Extension "sb.inplace/1": values changed where they lie, for a backend in memory: the host then keeps no second copy of a
 * struct, and copies none in and out. A backend with it has SB_BACKEND_STABLE_ITER. The host goes through it in
 * rounds: find, then write and changes by pointer, then finish. */
#define SB_EXT_INPLACE "sb.inplace/1"

/* sb_place.flags */
#define SB_PLACE_FOUND 1u /* there is an entry; else value and expiry_ms are zero */
#define SB_PLACE_WRITABLE 2u /* the bytes of value may be changed; else write() comes first */

/* Where an entry lies. */
typedef struct sb_place {
	uint8_t *value; /* aligned to 16 */
	uint64_t value_len;
	int64_t expiry_ms; /* of the entry; for finish: the one that it gets */
	uint64_t owner[2]; /* the backend's own; the host changes nothing in it */
	uint32_t flags; /* SB_PLACE_* */
	uint32_t kind; /* for finish: what happened to it, SB_OP_PUT, SB_OP_DELETE, or 0 for nothing */
} sb_place;

typedef struct sb_inplace_ops {
	uint32_t struct_size;
	uint32_t reserved;

	/* Mandatory. Begins a round: looks up n keys and fills in every member of their places. A key may come several
	 * times; the host then asks to write, and reports, through one of its places only. The bytes of
	 * keys and places stay as they are until finish, and so do those of value, but for what the host itself changes.
	 * Until then the host calls nothing but write for these keys, and for others only multi_get, unpin,
	 * write_batch, and iterators whose range holds none of these. All three are called on the instance's thread. */
	int32_t (*find)(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err);

	/* Mandatory. Makes a place of this round found and writable, with value_len bytes, which are as many as it has if it was
	 * found before. What an iterator or a pin still shows is copied first, so value may be another one afterwards. A new entry's
	 * bytes are the caller's to set, all of them, before it calls anything else. */
	int32_t (*write)(sb_backend *backend, sb_slice key, uint64_t value_len, sb_place *place, sb_error *err);

	/* Mandatory. Ends the round that find began with these keys and places. From now on a place of kind SB_OP_PUT, which
	 * is writable, is an entry that was written with the bytes that lie there and expiry_ms, one of SB_OP_DELETE is none,
	 * and one of kind 0 is what it was: nobody asked for it to be writable. After a failure of
	 * any of the three, or of what the host does in between, the host ends no round and closes the instance. */
	int32_t (*finish)(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err);
} sb_inplace_ops;

/* Host service "sb.backend-open/1" (sb_host.extension): another backend, for a plugin that wraps one. The host finds, vets and loads it as it
 * does for its users, and opens it with the services of the instance that asks: its log, its clocks, its expiry horizon. */
#define SB_EXT_BACKEND_OPEN "sb.backend-open/1"

/* An open backend that its opener calls as the host would, under the same rules. The caller sets struct_size; the
 * rest is the host's, and valid until close. */
typedef struct sb_inner_backend {
	uint32_t struct_size;
	uint32_t flags; /* SB_BACKEND_* of its component */
	const char *id; /* of its component: "memory" */
	const sb_backend_ops *
		ops; /* no callback is NULL but extension: what it lacks returns SB_ERR_UNSUPPORTED, or releases nothing */
	sb_backend *backend;
	void *owner; /* the host's own */
} sb_inner_backend;

typedef struct sb_backend_open_ops {
	uint32_t struct_size;
	uint32_t reserved;

	/* name is a short name, looked up where the plugin that asks lies, or a path; options are "name=value" texts; dir is as in
	 * sb_backend_config, may be the asking instance's own if that writes nothing there, and must live as long as the
	 * inner one; flags are SB_OPEN_*. SB_ERR_UNSUPPORTED: a component of SB_THREADS_ONE_INSTANCE cannot be
	 * wrapped. On the instance's thread, in its open callback or later. */
	int32_t (*open)(const sb_host *host, const char *name, uint64_t option_count, const char *const *options,
			const char *dir, uint32_t flags, sb_inner_backend *ret_inner, sb_error *err);

	/* Once for each successful open, at the latest in the close callback of the instance that asked; its iterators are closed and
	 * its pins released. */
	void (*close)(const sb_host *host, sb_inner_backend *inner);
} sb_backend_open_ops;

/* ---------------------------------------------------------------------------
 * Operators
 *
 * An operator declares the fields that it reads and writes and the states that
 * it keeps. The host decodes, checks, routes by key, and hands over batches; the
 * operator never sees the text. One instance serves one task, which owns a range
 * of key groups: all events of one key come to one instance, in source order.
 * ------------------------------------------------------------------------- */

typedef struct sb_operator sb_operator;

/* sb_field.flags */
#define SB_FIELD_KEY 1u /* input: the key; exactly one field, STRING or I64, not OPTIONAL */
#define SB_FIELD_OPTIONAL 2u /* input: may be missing or null; output: may be SB_NULL */
#define SB_FIELD_EVENT_TIME 4u /* input: the event's own time, of type TIME; at most one field */

typedef struct sb_field {
	uint32_t struct_size;
	uint32_t type; /* SB_TYPE_STRING, BOOL, I64, F64 or TIME */
	uint32_t flags;
	int32_t decimals; /* output F64: fixed decimals; < 0: shortest exact text */
	const char *name; /* [A-Za-z_][A-Za-z0-9_]* */
	const char *doc; /* one sentence */
} sb_field;

#define SB_STATE_STRUCT 1u /* one struct per key, described by schema fields */
#define SB_STATE_RAW 2u /* any number of (sub-key, value) byte strings per key */

/* sb_state.ttl_ms */
#define SB_TTL_JOB INT64_C(-1) /* what the user set with --ttl */
#define SB_TTL_NONE INT64_C(0) /* never expires */

/* One member of a struct state. The host prints, compares, exports and migrates
 * values by these descriptions, without the plugin. Little-endian. */
typedef struct sb_schema_field {
	uint32_t struct_size;
	uint32_t type; /* any but SB_TYPE_STRING */
	uint32_t offset; /* bytes from the start of the struct */
	uint32_t size; /* bytes; fields do not overlap */
	const char *name; /* [A-Za-z_][A-Za-z0-9_]* */
	const char *const *names; /* ENUM: NULL-terminated, in the order of their numbers */
	const void *default_value; /* size bytes for entries written before the field existed; NULL: zeros */
	const char *doc;
} sb_schema_field;

typedef struct sb_state {
	uint32_t struct_size;
	uint32_t kind; /* SB_STATE_* */
	uint32_t flags; /* 0 */
	uint32_t value_size; /* STRUCT: sizeof the struct, 1 to 65536; padding must not carry meaning. RAW: 0 */
	int64_t ttl_ms; /* renewed by each write: > 0, SB_TTL_JOB or SB_TTL_NONE */
	const char *name; /* [a-z][a-z0-9_-]*, the identity of the state in every checkpoint */
	const sb_schema_field *const *fields; /* STRUCT */
	uint64_t field_count;
	const char *doc;
} sb_state;

typedef struct sb_event {
	sb_slice key; /* bytes of the KEY field; an I64 as decimal text */
	const sb_value *values; /* in the order of the input declaration */
	int64_t clock_ms; /* the time by which expiry is decided for this event: --ttl-clock */
	uint32_t flags; /* 0: a record; other kinds come only to operators that ask for them */
	uint32_t reserved;
} sb_event;

/* Called for each entry by raw_scan; a value other than SB_OK ends the scan and
 * is returned by it. The slices are valid during the call. */
typedef int32_t (*sb_scan_fn)(void *arg, sb_slice sub_key, sb_slice value);

/* What the host does for one operator instance. Callable only inside process(),
 * on its thread. state is an index into the component's states, event one
 * into the batch at hand; state is always that of the event's key. A failed call
 * keeps its cause: process() returns the status on, and need not describe it. */
typedef struct sb_task sb_task;
struct sb_task {
	uint32_t struct_size;
	uint32_t task_index; /* 0 .. task_count - 1 */
	uint32_t task_count;
	uint32_t reserved;

	/* STRUCT. The entry's struct, to be read and changed in place: zeros (or the
	 * declared defaults) when there was none or it has expired; *ret_created (may be
	 * NULL) says so. Marks it written and renews its expiry. Aligned to 16 bytes;
	 * valid until process() returns. NULL on failure. */
	void *(*state_upsert)(sb_task *task, uint32_t state, uint64_t event, int32_t *ret_created);
	/* STRUCT. The same to look at only, or NULL when there is none. Changes nothing. */
	const void *(*state_peek)(sb_task *task, uint32_t state, uint64_t event);
	/* STRUCT. Deletes the entry; pointers to it become invalid. */
	int32_t (*state_delete)(sb_task *task, uint32_t state, uint64_t event);

	/* RAW. The value under sub_key (which may be empty); *ret_found 0: none. The
	 * slice is valid until the next call that writes this state. */
	int32_t (*raw_get)(sb_task *task, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice *ret_value,
			   int32_t *ret_found);
	/* RAW. ttl_ms as in sb_state, for this write; SB_TTL_JOB here means the state's own. */
	int32_t (*raw_put)(sb_task *task, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice value,
			   int64_t ttl_ms);
	int32_t (*raw_delete)(sb_task *task, uint32_t state, uint64_t event, sb_slice sub_key);
	/* RAW. Calls fn for each live entry of the event's key whose sub-key starts
	 * with prefix, own writes included; fn must not write to the state. In
	 * bytewise order when the backend is SB_BACKEND_ORDERED. */
	int32_t (*raw_scan)(sb_task *task, uint32_t state, uint64_t event, sb_slice prefix, sb_scan_fn fn, void *arg);

	/* Emits one record: a value per declared output field. Everything is copied
	 * before it returns. Records keep their order. */
	int32_t (*emit)(sb_task *task, uint64_t event, const sb_value *values);

	/* Memory that is freed when process() returns; NULL on failure. Aligned to 16. */
	void *(*scratch)(sb_task *task, uint64_t size_bytes);
};

typedef struct sb_operator_config {
	uint32_t struct_size;
	uint32_t flags; /* 0 */
	const sb_host *host; /* lives as long as the instance */
	sb_task *task; /* lives as long as the instance */
	const char *instance; /* "operator-0" */
	const sb_option_value *options; /* lives as long as the instance */
	uint64_t option_count;
} sb_operator_config;

/* Where an operator writes its snapshot. */
typedef struct sb_writer sb_writer;
struct sb_writer {
	uint32_t struct_size;
	uint32_t reserved;
	void *context;
	int32_t (*write)(sb_writer *writer, sb_slice bytes, sb_error *err);
};

typedef struct sb_operator_ops {
	uint32_t struct_size;
	uint32_t reserved;

	/* Mandatory. */
	int32_t (*open)(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err);
	/* Mandatory. Called once for each successful open. */
	void (*close)(sb_operator *op);
	/* Mandatory. Processes n events, n >= 1. All its effects (state, records) count, or,
	 * when it fails, none: the run stops, or goes back to the last checkpoint. */
	int32_t (*process)(sb_operator *op, const sb_event *events, uint64_t n, sb_error *err);
	/* Both or neither. What the operator keeps beyond its keyed state, at most
	 * 16 MiB. snapshot is called between batches; restore after open, before the first
	 * batch, with the parts that this instance takes over: its own when the
	 * number of tasks is the same, else none, one or several of the former tasks'. */
	int32_t (*snapshot)(sb_operator *op, sb_writer *writer, sb_error *err);
	int32_t (*restore)(sb_operator *op, uint64_t n, const sb_slice *parts, sb_error *err);
	/* May be NULL. */
	const void *(*extension)(const char *id);
} sb_operator_ops;

/* ---------------------------------------------------------------------------
 * Components, plugins, entry
 * ------------------------------------------------------------------------- */

#define SB_KIND_BACKEND 1u
#define SB_KIND_OPERATOR 2u
#define SB_KIND_SOURCE 3u /* kept for later */
#define SB_KIND_SINK 4u /* kept for later */

#define SB_THREADS_INSTANCE 0u /* instances are independent of each other */
#define SB_THREADS_ONE_INSTANCE 1u /* a process can have one open instance; the host refuses more */

typedef struct sb_component {
	uint32_t struct_size;
	uint32_t kind; /* SB_KIND_* */
	uint32_t flags; /* SB_BACKEND_* */
	uint32_t threads; /* SB_THREADS_* */
	const char *id; /* [a-z][a-z0-9-]*, what users and checkpoints call it: "rocksdb" */
	const char *title; /* for log lines: "RocksDB" */
	const char *doc; /* one sentence */
	const sb_option *const *options;
	uint64_t option_count;
	const void *ops; /* const sb_backend_ops * or const sb_operator_ops *, by kind */
	/* Operators only. */
	const sb_field *const *inputs;
	uint64_t input_count;
	const sb_field *const *outputs;
	uint64_t output_count;
	const sb_state *const *states;
	uint64_t state_count; /* at most 1024 */
} sb_component;

typedef struct sb_plugin {
	uint32_t struct_size;
	uint32_t abi_major; /* SB_ABI_MAJOR that it was compiled with, as in the note */
	uint32_t abi_minor;
	uint32_t reserved;
	const char *name; /* [a-z][a-z0-9-]*, as in the note */
	const char *version; /* "1.2.3", as in the note; at most 63 bytes */
	const char *vendor;
	const char *license; /* SPDX */
	const char *doc;
	const sb_component *const *components;
	uint64_t component_count;
} sb_plugin;

#if defined(__GNUC__)
#define SB_EXPORT __attribute__((visibility("default")))
#else
#define SB_EXPORT
#endif

/* The one exported symbol. Returns static data, or NULL with err filled (say, for
 * a host that is too old). May be called more than once; does no I/O, starts no
 * thread and keeps no pointer to host. */
SB_EXPORT const sb_plugin *sb_plugin_entry_v1(const sb_host *host, sb_error *err);

#define SB_STRINGIZE_(x) #x
#define SB_STRINGIZE(x) SB_STRINGIZE_(x)

/* An ELF note that tells name, version and ABI before any code of the plugin has
 * run: owner "sbhost", type 1, two 32-bit numbers of the machine's byte order (major, minor), then
 * name and version, each ended by a NUL. Both arguments are string literals. */
#define SB_NOTE_OWNER "sbhost"
#define SB_NOTE_TYPE 1
#define SB_PLUGIN_NOTE(name_literal, version_literal)                                                                  \
	__asm__(".pushsection .note.sbhost,\"a\",%note\n"                                                              \
		".balign 4\n"                                                                                          \
		".long 92f-91f\n"                                                                                      \
		".long 94f-93f\n"                                                                                      \
		".long " SB_STRINGIZE(SB_NOTE_TYPE) "\n"                                                               \
						    "91: .asciz \"" SB_NOTE_OWNER "\"\n"                               \
						    "92: .balign 4\n"                                                  \
						    "93: .long " SB_STRINGIZE(SB_ABI_MAJOR) ", " SB_STRINGIZE(         \
							    SB_ABI_MINOR) "\n"                                         \
									  ".asciz \"" name_literal "\"\n"              \
									  ".asciz \"" version_literal "\"\n"           \
									  "94: .balign 4\n"                            \
									  ".popsection\n")

/* Writes the entry function and the note; the semicolon is the user's:
 * SB_PLUGIN_REGISTER(my_plugin, "my-plugin", "1.0.0");
 * where my_plugin is a static const sb_plugin with the same name and version. */
#define SB_PLUGIN_REGISTER(plugin, name_literal, version_literal)                                                      \
	SB_EXPORT const sb_plugin *sb_plugin_entry_v1(const sb_host *host, sb_error *err)                              \
	{                                                                                                              \
		(void)host;                                                                                            \
		(void)err;                                                                                             \
		return &(plugin);                                                                                      \
	}                                                                                                              \
	SB_PLUGIN_NOTE(name_literal, version_literal)

#ifdef __cplusplus
}
#endif

#endif /* SB_PLUGIN_H */
