/* The rules of the conformance kit: what every plugin must keep, each with an id, a sentence and a check.
 *
 * A new rule is a line here, a function case_<name> in the file that the comment names, a paragraph in
 * docs/plugin-check.md and a broken plugin in tests/conformance/zoo, without which nobody would know that the
 * check can fail. A rule's id is for ever: people exclude and reproduce by it. */
#ifndef KIT_RULES_H
#define KIT_RULES_H

#include "kit/trial.h"

struct subject;
struct bench;

/* What a rule is about. FILE: the plugin before any of its instances is open; a struct trial. BACKEND: an open
 * backend; a struct subject. OPERATOR: an open operator; a struct bench. */
enum rule_kind { RULE_FILE, RULE_BACKEND, RULE_OPERATOR };

/* What a component must have declared for a rule to apply to it. */
#define NEEDS_STABLE 1u /* SB_BACKEND_STABLE_ITER */
#define NEEDS_MANY 2u /* not SB_THREADS_ONE_INSTANCE */
#define NEEDS_FILES 4u /* sb.files/1 */
#define NEEDS_DELTA 8u /* sb.delta/1 */
#define NEEDS_INPLACE 16u /* sb.inplace/1 */
#define NEEDS_SNAPSHOT 64u /* snapshot and restore, of an operator */

/* X(kind, group, name, needs, what must hold) */
#define KIT_FILE_RULES(X)                                                                                              \
	/* cases_file.c */                                                                                             \
	X(FILE, file, it_is_accepted, 0, "the host loads it and accepts what it declares")                             \
	X(FILE, file, all_that_it_needs_is_found, 0, "no library or symbol is missing")                                \
	X(FILE, file, the_entry_is_all_that_it_exports, 0, "one symbol is exported, sb_plugin_entry_v1")               \
	X(FILE, file, no_symbol_is_unique_in_the_process, 0, "no symbol is STB_GNU_UNIQUE")                            \
	X(FILE, file, its_stack_is_not_executable, 0, "no executable stack is asked for")                              \
	X(FILE, file, its_code_is_not_relocated, 0, "the code is position-independent, without text relocations")      \
	X(FILE, file, it_takes_no_static_tls, 0, "thread-local storage is allocated when it is used")                  \
	X(FILE, file, its_note_says_what_it_declares, 0, "the ELF note agrees with the descriptor")                    \
	X(FILE, file, its_entry_may_be_called_again, 0, "the entry function returns the same static data each time")   \
	X(FILE, file, its_entry_starts_nothing, 0, "the entry function opens no file and starts no thread")

#define KIT_BACKEND_RULES(X)                                                                                           \
	/* cases_abi.c */                                                                                              \
	X(BACKEND, abi, a_newer_host_is_fine, 0, "structs may be longer than the plugin knows")                        \
	X(BACKEND, abi, a_host_that_offers_nothing_is_enough, 0,                                                       \
	  "host services may do nothing, and extensions be missing")                                                   \
	X(BACKEND, abi, unknown_extensions_are_absent, 0, "extension() returns NULL for what it does not know")        \
	/* cases_options.c */                                                                                          \
	X(BACKEND, options, values_within_limits_open_or_are_refused, 0,                                               \
	  "each value that its declaration allows opens, or is refused in a sentence")                                 \
	/* cases_values.c */                                                                                           \
	X(BACKEND, values, empty_calls_are_fine, 0, "calls with nothing in them succeed")                              \
	X(BACKEND, values, absent_keys_are_not_found, 0, "a key without an entry is an answer, not an error")          \
	X(BACKEND, values, duplicates_in_a_batch_of_keys_are_all_answered, 0,                                          \
	  "each of several equal keys is answered")                                                                    \
	X(BACKEND, values, last_operation_of_a_batch_wins, 0, "of several operations on a key the last one counts")    \
	X(BACKEND, values, deleting_what_is_absent_is_fine, 0, "deleting what is not there succeeds")                  \
	X(BACKEND, values, failed_batch_changes_nothing, 0, "a batch is applied whole or not at all")                  \
	X(BACKEND, values, binary_keys_and_values_come_back_exactly, 0, "all bytes are kept, zeros and 0xFF included") \
	X(BACKEND, values, keys_of_all_sizes, 0, "keys have 4 bytes to 1 MiB")                                         \
	X(BACKEND, values, values_of_all_sizes, 0, "values have 0 bytes to 64 MiB + 4 KiB")                            \
	X(BACKEND, values, arguments_may_be_reused_after_the_call, 0, "what is kept of an argument is copied")         \
	/* cases_iterators.c */                                                                                        \
	X(BACKEND, iterators, iterator_bounds_are_half_open, 0, "lower is within an iterator's range, upper is not")   \
	X(BACKEND, iterators, iterator_over_nothing_ends_at_once, 0, "an iterator over an empty range ends")           \
	X(BACKEND, iterators, iterator_may_be_closed_half_way, 0, "an iterator may be closed at any time")             \
	X(BACKEND, iterators, iterator_shows_the_moment_it_was_opened, 0,                                              \
	  "each entry comes once, as it was at iter_open")                                                             \
	X(BACKEND, iterators, several_iterators_each_show_their_moment, 0, "several iterators may be open")            \
	/* cases_pins.c */                                                                                             \
	X(BACKEND, pins, pins_outlive_overwrites_and_deletes, 0, "a pin's bytes stay until unpin")                     \
	X(BACKEND, pins, pins_are_released_in_any_order, 0, "pins are released one by one, in any order")              \
	X(BACKEND, pins, pins_of_large_values_outlive_overwrites, 0, "large values are pinned like small ones")        \
	/* cases_expiry.c */                                                                                           \
	X(BACKEND, expiry, expiry_comes_back_to_the_millisecond, 0, "an entry's expiry is kept exactly")               \
	X(BACKEND, expiry, overwriting_replaces_the_expiry, 0, "a write replaces the expiry, too")                     \
	X(BACKEND, expiry, nothing_is_purged_above_the_horizon, 0, "only the horizon permits purging, no clock")       \
	X(BACKEND, expiry, purge_takes_only_what_is_at_or_below_the_horizon, 0,                                        \
	  "upkeep purges what it may, and counts it")                                                                  \
	X(BACKEND, expiry, purged_key_can_be_written_anew, 0, "a purged key is like one that never was")               \
	/* cases_life.c */                                                                                             \
	X(BACKEND, life, opened_anew_it_is_empty, 0, "an instance on an empty directory is empty")                     \
	X(BACKEND, life, two_instances_know_nothing_of_each_other, NEEDS_MANY, "instances are independent")            \
	X(BACKEND, life, figures_have_names_and_fit_the_room, 0, "stats keeps to the room it is given")                \
	X(BACKEND, life, the_process_is_left_alone, 0,                                                                 \
	  "directory, locale, umask and signals stay, and no process is started")                                      \
	X(BACKEND, life, nothing_is_printed, 0, "the standard streams are the host's")                                 \
	X(BACKEND, life, memory_is_given_back, 0, "close frees everything")                                            \
	X(BACKEND, life, descriptors_are_closed, 0, "close closes what was opened")                                    \
	X(BACKEND, life, threads_end, 0, "close ends the threads that were started")                                   \
	X(BACKEND, life, an_open_that_fails_leaves_nothing, 0, "a failed open has given back what it took")            \
	/* cases_inplace.c */                                                                                          \
	X(BACKEND, inplace, changes_in_place_are_what_is_read, NEEDS_INPLACE,                                          \
	  "entries are made, changed and deleted where they lie")                                                      \
	X(BACKEND, inplace, others_see_what_was_before_changes_in_place, NEEDS_INPLACE,                                \
	  "iterators and pins keep what they showed before a change in place")                                         \
	X(BACKEND, inplace, other_keys_may_be_used_while_places_are_out, NEEDS_INPLACE,                                \
	  "places stay where they are while other keys are read and written")                                          \
	/* cases_checkpoints.c */                                                                                      \
	X(BACKEND, checkpoints, entries_restored_into_itself_are_the_same, NEEDS_MANY,                                 \
	  "what an iterator returns, written to an empty instance, is the same state")                                 \
	X(BACKEND, checkpoints, entries_carried_to_memory_and_back_are_the_same, NEEDS_MANY,                           \
	  "state survives a stay in another backend")                                                                  \
	X(BACKEND, checkpoints, files_hold_what_was_there, NEEDS_MANY | NEEDS_FILES,                                   \
	  "an instance opens on the files of a checkpoint with their moment's state")                                  \
	X(BACKEND, checkpoints, immutable_files_never_change, NEEDS_MANY | NEEDS_FILES,                                \
	  "what is_immutable vouches for is never changed")                                                            \
	X(BACKEND, checkpoints, damaged_files_are_survived, NEEDS_MANY | NEEDS_FILES,                                  \
	  "cut, empty, flipped and missing files crash nothing")                                                       \
	X(BACKEND, checkpoints, changes_lead_from_a_mark_to_the_moment, NEEDS_DELTA,                                   \
	  "the changes since a mark give the state at changes_open")                                                   \
	X(BACKEND, checkpoints, a_mark_that_never_was_is_not_found, NEEDS_DELTA,                                       \
	  "changes_open names a mark that it does not know")                                                           \
	/* cases_random.c */                                                                                           \
	X(BACKEND, random, random_operations_agree_with_the_model, 0,                                                  \
	  "any sequence of operations does what a sorted map does")                                                    \
	/* cases_threads.c */                                                                                          \
	X(BACKEND, threads, calls_may_come_from_different_threads, 0, "an instance is bound to no thread")             \
	X(BACKEND, threads, instances_are_used_at_the_same_time, NEEDS_MANY, "instances are called at the same time")  \
	X(BACKEND, threads, iterators_are_read_by_other_threads_during_writes, NEEDS_STABLE,                           \
	  "stable iterators are read on another thread while writes go on")

#define KIT_OPERATOR_RULES(X)                                                                                          \
	/* cases_operator.c */                                                                                         \
	X(OPERATOR, operator, valid_events_are_processed, 0, "events that the declaration allows are processed")       \
	X(OPERATOR, operator, batches_may_be_split_anywhere, 0,                                                        \
	  "the same events in other batches give the same state and records")                                          \
	X(OPERATOR, operator, the_same_events_give_the_same_result, 0, "a replay gives the same state and records")    \
	X(OPERATOR, operator, operators_know_nothing_of_each_other, NEEDS_MANY, "instances are independent")           \
	X(OPERATOR, operator, calls_name_what_is_declared, 0, "host calls name states and events that exist")          \
	X(OPERATOR, operator, records_fit_their_fields, 0, "an emitted value fits its field")                          \
	X(OPERATOR, operator, a_snapshot_brings_everything_back, NEEDS_SNAPSHOT,                                       \
	  "a job that is stopped and restored gives what it would have given")                                         \
	X(OPERATOR, operator, a_writer_that_fails_fails_the_snapshot, NEEDS_SNAPSHOT,                                  \
	  "a failed write fails the snapshot")                                                                         \
	X(OPERATOR, operator, damaged_snapshots_are_survived, NEEDS_SNAPSHOT,                                          \
	  "cut, empty and flipped snapshots crash nothing")                                                            \
	X(OPERATOR, operator, parts_may_be_none_or_several, NEEDS_SNAPSHOT,                                            \
	  "restore takes none, one or several parts")                                                                  \
	X(OPERATOR, operator, an_operator_knows_no_other_extensions, 0,                                                \
	  "extension() returns NULL for what it does not know")                                                        \
	X(OPERATOR, operator, a_newer_host_is_fine_for_operators, 0, "structs may be longer than the plugin knows")    \
	X(OPERATOR, operator, an_operator_gives_memory_back, 0, "close frees everything")                              \
	X(OPERATOR, operator, an_operator_closes_descriptors, 0, "close closes what was opened")                       \
	X(OPERATOR, operator, an_operator_ends_threads, 0, "close ends the threads that were started")                 \
	X(OPERATOR, operator, an_operator_leaves_the_process_alone, 0,                                                 \
	  "directory, locale, umask and signals stay, and no process is started")                                      \
	X(OPERATOR, operator, an_operator_prints_nothing, 0, "the standard streams are the host's")

#define KIT_RULES(X) KIT_FILE_RULES(X) KIT_BACKEND_RULES(X) KIT_OPERATOR_RULES(X)

#define SUBJECT_OF_FILE const struct trial
#define SUBJECT_OF_BACKEND struct subject
#define SUBJECT_OF_OPERATOR struct bench
#define DECLARE_CASE(kind, group, name, needs, says) void case_##name(SUBJECT_OF_##kind *subject);
KIT_RULES(DECLARE_CASE)
#undef DECLARE_CASE

struct rule {
	const char *id; /* "pins.pins_are_released_in_any_order" */
	enum rule_kind kind;
	uint32_t needs; /* NEEDS_* */
	const char *says;
	void (*check_file)(const struct trial *trial);
	void (*check_backend)(struct subject *subject);
	void (*check_operator)(struct bench *bench);
};

extern const struct rule kit_rules[];
extern const uint64_t kit_rule_count;

/* NULL when there is none. */
const struct rule *rule_find(const char *id);
/* NULL when the rule applies to the component, else a sentence that says why not. */
const char *rule_does_not_apply(const struct rule *rule, const struct component_facts *component);

/* In the child: loads, opens, checks. With trial->rule NULL it fills the witness's facts. */
void rule_run(const struct trial *trial);

#endif
