/* The conformance kit on the Redis backend: on a server, and on a cluster of three. */
#include <criterion/criterion.h>

#include "conformance/profiles.h"
#include "support/redis.h"

static struct redis_server servers[REDIS_NODES];

/* The server ends before the test is skipped, which does not return. */
static enum verdict run_on_a_server(const char *rule)
{
	enum verdict verdict;

	redis_start(&servers[0]);
	verdict = conformance_run(&servers[0].profile, rule);
	redis_stop(&servers[0]);
	return verdict;
}

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(redis, name)                                                                                              \
	{                                                                                                              \
		enum verdict verdict;                                                                                  \
                                                                                                                       \
		NEED_REDIS();                                                                                          \
		verdict = run_on_a_server(#group "." #name);                                                           \
		if (verdict == VERDICT_SKIPPED)                                                                        \
			cr_skip_test("it does not apply");                                                             \
		cr_assert_neq(verdict, VERDICT_FAILED);                                                                \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_BACKEND_RULES(RULE_TEST)

static void expect(const char *rule)
{
	cr_expect_eq(conformance_run(&servers[0].profile, rule), VERDICT_PASSED, "%s", rule);
}

/* What depends on where keys lie. A batch of several key groups is not atomic there, only known to have failed: the README says so. */
Test(redis, cluster_of_three_does_the_same)
{
	NEED_REDIS();
	redis_cluster_start(servers);
	expect("values.binary_keys_and_values_come_back_exactly");
	expect("values.last_operation_of_a_batch_wins");
	expect("values.failed_batch_changes_nothing");
	expect("values.keys_of_all_sizes");
	expect("iterators.iterator_bounds_are_half_open");
	expect("iterators.several_iterators_each_show_their_moment");
	expect("pins.pins_outlive_overwrites_and_deletes");
	expect("expiry.purge_takes_only_what_is_at_or_below_the_horizon");
	expect("life.opened_anew_it_is_empty");
	expect("life.two_instances_know_nothing_of_each_other");
	expect("life.memory_is_given_back");
	expect("life.descriptors_are_closed");
	expect("checkpoints.entries_carried_to_memory_and_back_are_the_same");
	expect("random.random_operations_agree_with_the_model");
	expect("threads.instances_are_used_at_the_same_time");
	for (int i = 0; i < REDIS_NODES; i++)
		redis_stop(&servers[i]);
}
