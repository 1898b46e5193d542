/* "sbhost checkpoint …": the table of its commands. */
#include <inttypes.h>

#include "base/clock.h"
#include "cli/checkpoint_tools.h"

#define DIRECTORY TOOL_OPTION(TOOL_CHECKPOINT_DIR)
#define JSON TOOL_OPTION(TOOL_JSON)

int command_checkpoint(int argc, char **argv)
{
	static const struct tool_command commands[] = {
		{"list", NULL, 0, 0, DIRECTORY | JSON | TOOL_OPTION(TOOL_VERIFY),
		 "what checkpoints there are, the newest first",
		 "SIZE counts the files in shared/ along; ENTRIES are those of the checkpoint's own file: changes, when it has "
		 "a PARENT. CHECK says \"form ok\" when head and tail make sense and parents are there, which takes no time; with "
		 "--verify \"ok\" when every byte is as it was written. What is wrong is said in one sentence.",
		 checkpoint_list_command},
		{"inspect", "[ID|latest]", 0, 1, TOOL_READS_CONTENT | TOOL_OPTION(TOOL_SAMPLES),
		 "all that one says and holds",
		 "The job and its inputs, the states with their fields, entries per state and key group, sample entries.",
		 checkpoint_inspect_command},
		{"verify", "[ID|latest]", 0, 1, DIRECTORY | JSON | TOOL_OPTION(TOOL_ALL),
		 "whether one, or all, can be restored",
		 "Reads every byte: digest, frames, entries, counts, and whatever the checkpoint builds on. Prints a line "
		 "for each. Exit status 0: good; 5: not.",
		 checkpoint_verify_command},
		{"diff", "A B", 2, 2,
		 TOOL_READS_CONTENT | TOOL_OPTION(TOOL_STATE) | TOOL_OPTION(TOOL_MEMORY) | TOOL_OPTION(TOOL_EXIT_CODE),
		 "what changed from one to another",
		 "A line for each key that was added (+), removed (-) or changed (~), with old and new fields, in the order "
		 "of states and keys; then counts. Exit status 0, unless --exit-code is given. Nothing is held in memory "
		 "but --memory; larger states are sorted in files in $TMPDIR (or /tmp) that have no name.",
		 checkpoint_diff_command},
		{"export", "ID|latest FILE", 2, 2, TOOL_READS_CONTENT | TOOL_OPTION(TOOL_COMPRESSION),
		 "pack one into a file that needs no other",
		 "The file is a full checkpoint, whatever kind ID is, and restores under any backend. An existing file is "
		 "never replaced.",
		 checkpoint_export_command},
		{"import", "FILE", 1, 1, DIRECTORY | JSON | TOOL_OPTION(TOOL_COMPRESSION),
		 "take an exported file up as the newest checkpoint",
		 "The file is verified, and gets an id above all others in the directory (which is made when it is not "
		 "there), so that the next run restores it; offsets, time and state stay. Checkpoints that are there move to "
		 "abandoned/: no run falls back to another history. Refused with status 6 while a job runs.",
		 checkpoint_import_command},
		{"prune", NULL, 0, 0, DIRECTORY | JSON | TOOL_OPTION(TOOL_KEEP) | TOOL_OPTION(TOOL_DRY_RUN),
		 "remove what is not needed any more",
		 "Keeps the newest N and all that they need, and says for each file why it stays or goes. Refused when "
		 "none of those is good, and with status 6 while a job runs.",
		 checkpoint_prune_command},
	};

	return tool_main("checkpoint", commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}

const char *checkpoint_kind_name(enum checkpoint_kind kind)
{
	return kind == CHECKPOINT_FULL ? "full" : "incremental";
}

void show_timestamp(struct object *object, const struct checkpoint_meta *meta)
{
	object_name(object, "timestamp");
	buffer_append_byte(object->out, '"');
	time_append_rfc3339(object->out, meta->timestamp_ns, 9);
	buffer_append_byte(object->out, '"');
}

void show_offsets(struct object *object, const struct checkpoint_meta *meta)
{
	object_name(object, "offsets");
	for (uint64_t i = 0; i < meta->partition_count; i++)
		buffer_printf(object->out, "%c\"%" PRIu64 "\":%" PRId64, i ? ',' : '{', i, meta->partitions[i].offset);
	buffer_append_text(object->out, meta->partition_count ? "}" : "{}");
}
