/* The table of rules, and what runs one of them in the child: see rules.h. */
#include "kit/rules.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "kit/bench.h"
#include "kit/subject.h"
#include "plugin/extensions.h"

#define CHECK_OF_FILE(name) .check_file = case_##name
#define CHECK_OF_BACKEND(name) .check_backend = case_##name
#define CHECK_OF_OPERATOR(name) .check_operator = case_##name

const struct rule kit_rules[] = {
#define ROW(kind_, group, name, needs_, says_)                                                                         \
	{.id = #group "." #name, .kind = RULE_##kind_, .needs = (needs_), .says = (says_), CHECK_OF_##kind_(name)},
	KIT_RULES(ROW)
#undef ROW
};

const uint64_t kit_rule_count = sizeof(kit_rules) / sizeof(kit_rules[0]);

const struct rule *rule_find(const char *id)
{
	for (uint64_t i = 0; i < kit_rule_count; i++)
		if (strcmp(kit_rules[i].id, id) == 0)
			return &kit_rules[i];
	return NULL;
}

const char *rule_does_not_apply(const struct rule *rule, const struct component_facts *component)
{
	if ((rule->needs & NEEDS_STABLE) && !(component->flags & SB_BACKEND_STABLE_ITER))
		return "its iterators are not declared stable (SB_BACKEND_STABLE_ITER)";
	if ((rule->needs & NEEDS_MANY) && component->threads == SB_THREADS_ONE_INSTANCE)
		return "it declares that one instance is all that it can have (SB_THREADS_ONE_INSTANCE)";
	if ((rule->needs & NEEDS_FILES) && !component->has_files)
		return "it does not have the extension " SB_EXT_FILES;
	if ((rule->needs & NEEDS_DELTA) && !component->has_delta)
		return "it does not have the extension " SB_EXT_DELTA;
	if ((rule->needs & NEEDS_INPLACE) && !component->has_inplace)
		return "it does not have the extension " SB_EXT_INPLACE;
	if ((rule->needs & NEEDS_SNAPSHOT) && !component->has_snapshot)
		return "it keeps nothing beside its keyed state (snapshot and restore are NULL)";
	return NULL;
}

/* --- in the child ----------------------------------------------------------------- */

static void describe_component(const struct component *component, struct component_facts *ret_facts)
{
	*ret_facts = (struct component_facts){
		.kind = component->kind,
		.flags = component->flags,
		.threads = component->threads,
	};
	snprintf(ret_facts->id, sizeof(ret_facts->id), "%s", component->id);
	if (component->kind == SB_KIND_BACKEND) {
		ret_facts->has_files = component_files(component) != NULL;
		ret_facts->has_delta = component_delta(component) != NULL;
		ret_facts->has_inplace = component_inplace(component) != NULL;
	} else if (component->kind == SB_KIND_OPERATOR) {
		ret_facts->has_snapshot = component->operator.snapshot != NULL;
	}
}

static void describe(const struct trial *trial)
{
	struct plugin_facts *facts = &trial->witness->facts;
	struct plugin *plugin = kit_load(trial);

	snprintf(facts->name, sizeof(facts->name), "%s", plugin->name);
	snprintf(facts->version, sizeof(facts->version), "%s", plugin->version);
	for (uint64_t i = 0; i < plugin->component_count && i < WITNESS_COMPONENTS; i++)
		describe_component(&plugin->components[i], &facts->components[facts->component_count++]);
	plugin_free(plugin);
}

static void run_backend(const struct trial *trial)
{
	struct subject s;

	subject_init(&s, trial, trial->seed);
	trial->rule->check_backend(&s);
	subject_check_all(&s);
	subject_done(&s);
}

static void run_operator(const struct trial *trial)
{
	struct bench b;

	bench_init(&b, trial);
	trial->rule->check_operator(&b);
	bench_done(&b);
}

void rule_run(const struct trial *trial)
{
	if (!trial->rule)
		describe(trial);
	else if (trial->rule->kind == RULE_FILE)
		trial->rule->check_file(trial);
	else if (trial->rule->kind == RULE_BACKEND)
		run_backend(trial);
	else
		run_operator(trial);
}
