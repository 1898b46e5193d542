/* The plugin as a file, and its entry function: what can be told before any instance of it is open. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kit/process.h"
#include "kit/subject.h"

typedef const sb_plugin *(*entry_fn)(const sb_host *host, sb_error *err);

void case_it_is_accepted(const struct trial *trial)
{
	plugin_free(kit_load(trial));
}

static struct plugin_linkage linkage_of(const struct trial *trial)
{
	struct plugin_linkage linkage;
	sb_error err = ERROR_INIT;

	if (plugin_examine_linkage(trial->io, trial->plugin, &linkage, &err) != SB_OK)
		trial_skip(trial, "it cannot be examined: %s", err.message);
	return linkage;
}

void case_the_entry_is_all_that_it_exports(const struct trial *trial)
{
	const struct plugin_linkage linkage = linkage_of(trial);

	if (linkage.export_count)
		trial_fail(trial, "it exports %s and %llu more: another plugin's calls could end up in them",
			   linkage.first_export, (unsigned long long)linkage.export_count - 1);
}

void case_no_symbol_is_unique_in_the_process(const struct trial *trial)
{
	const struct plugin_linkage linkage = linkage_of(trial);

	if (linkage.unique_count)
		trial_fail(trial, "%s and %llu more are STB_GNU_UNIQUE: all plugins would share the first one's",
			   linkage.first_unique, (unsigned long long)linkage.unique_count - 1);
}

void case_its_stack_is_not_executable(const struct trial *trial)
{
	if (linkage_of(trial).executable_stack)
		trial_fail(trial, "it asks for an executable stack, which makes all stacks of the process executable");
}

void case_its_code_is_not_relocated(const struct trial *trial)
{
	if (linkage_of(trial).text_relocations)
		trial_fail(trial, "it has text relocations: its code is not position-independent");
}

void case_it_takes_no_static_tls(const struct trial *trial)
{
	if (linkage_of(trial).static_tls)
		trial_warn(trial,
			   "it has static thread-local storage: with many plugins dlopen may fail for want of it");
}

/* What is no plugin has failed it_is_accepted: once is enough. */
static void *open_library(const struct trial *trial, struct plugin_note *ret_note)
{
	sb_error err = ERROR_INIT;
	void *library;
	unsigned slot;

	if (plugin_vet(trial->io, trial->plugin, ret_note, &err) != SB_OK)
		trial_skip(trial, "it cannot be loaded: %s", err.message);
	slot = witness_enter(trial->witness, "its constructors");
	library = dlopen(trial->plugin, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	witness_leave(trial->witness, slot);
	return library;
}

void case_all_that_it_needs_is_found(const struct trial *trial)
{
	struct plugin_note note;

	if (!open_library(trial, &note))
		trial_fail(trial, "%s", dlerror());
}

static entry_fn find_entry(const struct trial *trial, struct plugin_note *ret_note)
{
	void *library = open_library(trial, ret_note);
	void *symbol = library ? dlsym(library, "sb_plugin_entry_v1") : NULL;
	entry_fn entry;

	if (!symbol)
		trial_skip(trial, "it cannot be loaded: %s", dlerror());
	memcpy(&entry, &symbol, sizeof(entry));
	return entry;
}

static const sb_plugin *call_entry(const struct trial *trial, entry_fn entry, const sb_host *host)
{
	const unsigned slot = witness_enter(trial->witness, "sb_plugin_entry_v1");
	sb_error err = ERROR_INIT;
	const sb_plugin *given = entry(host, &err);

	witness_leave(trial->witness, slot);
	if (!given)
		trial_fail(trial, "sb_plugin_entry_v1() returned NULL: %s", err.message);
	return given;
}

void case_its_note_says_what_it_declares(const struct trial *trial)
{
	const sb_plugin *given;
	struct plugin_note note;
	entry_fn entry = find_entry(trial, &note);
	sb_host host;

	plugin_env_init_host(&host);
	given = call_entry(trial, entry, &host);
	if (!given->name || strcmp(given->name, note.name) != 0 || !given->version ||
	    strcmp(given->version, note.version) != 0)
		trial_fail(trial, "its note says %s %s, its descriptor %s %s", note.name, note.version,
			   given->name ? given->name : "(no name)", given->version ? given->version : "(no version)");
	if (given->abi_major != note.abi_major || given->abi_minor != note.abi_minor)
		trial_fail(trial, "its note says ABI %u.%u, its descriptor %u.%u", note.abi_major, note.abi_minor,
			   given->abi_major, given->abi_minor);
}

void case_its_entry_may_be_called_again(const struct trial *trial)
{
	struct plugin_note note;
	entry_fn entry = find_entry(trial, &note);
	const sb_plugin *first, *second;
	/* Gone after the call, as the header says: what keeps it will be found out. */
	sb_host *host = malloc(sizeof(*host));

	if (!host)
		trial_fail(trial, "out of memory");
	plugin_env_init_host(host);
	first = call_entry(trial, entry, host);
	memset(host, 0xDB, sizeof(*host));
	free(host);
	host = calloc(1, sizeof(*host));
	if (!host)
		trial_fail(trial, "out of memory");
	plugin_env_init_host(host);
	second = call_entry(trial, entry, host);
	free(host);
	if (second != first)
		trial_fail(trial, "the second call of sb_plugin_entry_v1() returned another descriptor");
}

void case_its_entry_starts_nothing(const struct trial *trial)
{
	struct plugin_note note;
	entry_fn entry = find_entry(trial, &note);
	struct process_state before, after;
	sb_host host;

	plugin_env_init_host(&host);
	process_look(trial, &before);
	call_entry(trial, entry, &host);
	process_look(trial, &after);
	if (after.threads > before.threads)
		trial_fail(trial, "sb_plugin_entry_v1() started a thread");
	if (after.descriptors > before.descriptors)
		trial_fail(trial, "sb_plugin_entry_v1() opened a file");
}
