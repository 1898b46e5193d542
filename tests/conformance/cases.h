/* The cases of the conformance suite, each a behaviour that every backend must show. A new one is
 * a line here and a function case_<name>. */
#ifndef CONFORMANCE_CASES_H
#define CONFORMANCE_CASES_H

#include "conformance/subject.h"

#define CONFORMANCE_CASES(X)                                                                                           \
	/* cases_values.c */                                                                                           \
	X(empty_calls_are_fine)                                                                                        \
	X(absent_keys_are_not_found)                                                                                   \
	X(duplicates_in_a_batch_of_keys_are_all_answered)                                                              \
	X(last_operation_of_a_batch_wins)                                                                              \
	X(deleting_what_is_absent_is_fine)                                                                             \
	X(failed_batch_changes_nothing)                                                                                \
	X(binary_keys_and_values_come_back_exactly)                                                                    \
	X(keys_of_all_sizes)                                                                                           \
	X(values_of_all_sizes)                                                                                         \
	X(arguments_may_be_reused_after_the_call)                                                                      \
	/* cases_iterators.c */                                                                                        \
	X(iterator_bounds_are_half_open)                                                                               \
	X(iterator_over_nothing_ends_at_once)                                                                          \
	X(iterator_may_be_closed_half_way)                                                                             \
	X(iterator_shows_the_moment_it_was_opened)                                                                     \
	X(several_iterators_each_show_their_moment)                                                                    \
	/* cases_pins.c */                                                                                             \
	X(pins_outlive_overwrites_and_deletes)                                                                         \
	X(pins_are_released_in_any_order)                                                                              \
	X(pins_of_large_values_outlive_overwrites)                                                                     \
	/* cases_expiry.c */                                                                                           \
	X(expiry_comes_back_to_the_millisecond)                                                                        \
	X(overwriting_replaces_the_expiry)                                                                             \
	X(nothing_is_purged_above_the_horizon)                                                                         \
	X(purge_takes_only_what_is_at_or_below_the_horizon)                                                            \
	X(purged_key_can_be_written_anew)                                                                              \
	/* cases_life.c */                                                                                             \
	X(opened_anew_it_is_empty)                                                                                     \
	X(two_instances_know_nothing_of_each_other)                                                                    \
	X(figures_have_names_and_fit_the_room)                                                                         \
	/* cases_random.c */                                                                                           \
	X(random_operations_agree_with_the_model)                                                                      \
	/* cases_threads.c */                                                                                          \
	X(calls_may_come_from_different_threads)                                                                       \
	X(instances_are_used_at_the_same_time)                                                                         \
	X(iterators_are_read_by_other_threads_during_writes)

#define DECLARE_CASE(name) void case_##name(struct subject *s);
CONFORMANCE_CASES(DECLARE_CASE)
#undef DECLARE_CASE

/* cases_random.c: a storm of writes, reads, iterators and upkeep, and what it keeps from one
 * step to the next. */
struct storm;
struct storm *storm_new(struct subject *s, size_t key_count, size_t value_bytes_max);
void storm_run(struct storm *storm, unsigned steps);
/* One batch of writes, nothing else. */
void storm_write(struct storm *storm);
/* One batch of reads, checked. */
void storm_read(struct storm *storm);
/* Releases what is held. */
void storm_free(struct storm *storm);

#endif
