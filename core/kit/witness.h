/* What a child process leaves behind for its parent, in memory that both see: its verdict, and, whatever becomes
 * of it, which callbacks of the plugin were under way. A child that is killed by a signal can no longer tell; here it need not.
 *
 * Texts are pointers to literals of this program: the child is a fork of the parent, so they mean the same in both. */
#ifndef KIT_WITNESS_H
#define KIT_WITNESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

#define WITNESS_CALLS 32 /* threads that are inside of the plugin at one time */
#define WITNESS_SENTENCE_BYTES 1200
#define WITNESS_TRACE_BYTES 16384
#define WITNESS_COMPONENTS 16

/* VERDICT_NONE: the child has not come to one. */
enum verdict { VERDICT_NONE, VERDICT_PASSED, VERDICT_FAILED, VERDICT_WARNED, VERDICT_SKIPPED };

/* What the parent needs to know of a component to choose the rules; it never loads the plugin itself. */
struct component_facts {
	uint32_t kind, flags, threads;
	bool has_files, has_delta, has_inplace, has_snapshot;
	char id[64];
};

struct plugin_facts {
	char name[128], version[64];
	uint64_t component_count;
	struct component_facts components[WITNESS_COMPONENTS];
};

struct witness {
	_Atomic(const char *) calls[WITNESS_CALLS];
	_Atomic uint32_t verdict; /* enum verdict; the first one counts */
	_Atomic bool written; /* the sentence is whole */
	char sentence[WITNESS_SENTENCE_BYTES];
	struct plugin_facts facts;
	/* Of random operations: how far they came, and what they did when they were asked to say. */
	uint32_t round, step;
	uint32_t trace_len;
	char trace[WITNESS_TRACE_BYTES];
};

/* NULL when memory is out. */
struct witness *witness_new(void);
void witness_free(struct witness *witness);
void witness_clear(struct witness *witness);

/* Around each call into the plugin. The slot is for witness_leave. */
unsigned witness_enter(struct witness *witness, const char *callback);
void witness_leave(struct witness *witness, unsigned slot);

/* True when this verdict is the one that counts. */
bool witness_judge(struct witness *witness, enum verdict verdict, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void witness_trace(struct witness *witness, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "iter_next", "multi_get or iter_next", or "no callback of it". */
void witness_append_calls(const struct witness *witness, struct buffer *out);

/* CALL(witness, ops, callback, arguments...): calls ops->callback and notes it. CALL_VOID for those that return nothing. */
#define CALL(witness, ops, callback, ...)                                                                              \
	({                                                                                                             \
		const unsigned slot_ = witness_enter((witness), #callback);                                            \
		const int32_t status_ = (ops)->callback(__VA_ARGS__);                                                  \
		witness_leave((witness), slot_);                                                                       \
		status_;                                                                                               \
	})
#define CALL_VOID(witness, ops, callback, ...)                                                                         \
	do {                                                                                                           \
		const unsigned slot_ = witness_enter((witness), #callback);                                            \
		(ops)->callback(__VA_ARGS__);                                                                          \
		witness_leave((witness), slot_);                                                                       \
	} while (0)

#endif
