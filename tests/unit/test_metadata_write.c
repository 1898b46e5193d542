/* What a writer refuses to say about a checkpoint, since a reader would refuse to believe it (test_metadata.c): each rule alone, and nothing has been
 * written by then. */
#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "fault/checkpoint_fixture.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct fixture fixture;

static void set_up(void)
{
	fixture_init(&fixture, 12, 1, 0);
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(metadata_write, .init = set_up, .fini = tear_down);

/* In copies that a case may spoil; the strings are the fixture's. Native, so that every list has something in it. */
struct draft {
	struct checkpoint_meta meta;
	struct partition_meta partitions[2];
	struct output_meta outputs[1];
	struct file_meta files[2];
};

static void make_draft(struct draft *draft)
{
	static char snapshot[] = "backend-0", names[2][8] = {"000.sst", "CURRENT"};

	draft->meta = fixture.meta;
	memcpy(draft->partitions, fixture.meta.partitions, sizeof(draft->partitions));
	memcpy(draft->outputs, fixture.meta.outputs, sizeof(draft->outputs));
	for (unsigned i = 0; i < 2; i++)
		draft->files[i] = (struct file_meta){.snapshot = snapshot, .name = names[i], .sha256 = HASH};
	draft->meta.kind = CHECKPOINT_INCREMENTAL;
	draft->meta.partitions = draft->partitions;
	draft->meta.outputs = draft->outputs;
	draft->meta.files = draft->files;
	draft->meta.file_count = 2;
}

/* Spoils the draft in the howth way and returns what is said to that; NULL: there are no more. */
typedef const char *spoil(struct draft *draft, unsigned how);

static const char *spoil_kind(struct draft *draft, unsigned how)
{
	static char parent[] = "checkpoint-5", no_id[] = "checkpoint-x";
	struct checkpoint_meta *meta = &draft->meta;

	meta->file_count = how < 3 ? 2 : 0;
	meta->kind = how == 1 || how == 4 ? CHECKPOINT_FULL : CHECKPOINT_INCREMENTAL;
	meta->parent = how == 0 || how == 4 || how == 5 ? parent : how == 6 ? no_id : NULL;
	meta->depth = how == 5 ? CHECKPOINT_DEPTH_MAX + 1 : meta->parent || how == 2 ? 1 : 0;
	return how < 7 ? "kind, parent, depth and files of checkpoint-12 do not fit" : NULL;
}

static const char *spoil_file(struct draft *draft, unsigned how)
{
	static char far_away[] = "../far", no_snapshot[] = "operator-0", long_name[NAME_MAX + 2];

	memset(long_name, 'n', sizeof(long_name) - 1);
	switch (how) {
	case 0:
		draft->files[0].snapshot = NULL;
		return "checkpoint-12 has a file of no snapshot";
	case 1:
		draft->files[1].snapshot = no_snapshot;
		return "checkpoint-12 has a file of no snapshot";
	case 2:
		draft->files[1].name = NULL;
		return "checkpoint-12 has a file whose name is none";
	case 3:
		draft->files[1].name = far_away;
		return "checkpoint-12 has a file whose name is none";
	case 4:
		draft->files[1].name = long_name;
		return "checkpoint-12 has a file whose name is none";
	case 5:
		draft->files[0].bytes = -1;
		return "checkpoint-12 has a file of impossible size or hash";
	case 6:
		draft->files[1].name = draft->files[0].name;
		return "checkpoint-12 has files that are doubled or out of order";
	default:
		return NULL;
	}
}

static const char *spoil_job(struct draft *draft, unsigned how)
{
	struct checkpoint_meta *meta = &draft->meta;

	switch (how) {
	case 0:
		meta->id[0] = 'C';
		return "Checkpoint-12 is no checkpoint id";
	case 1:
		meta->operator_id = NULL;
		return "checkpoint-12 names no operator, or no clock";
	case 2:
		meta->ttl_clock = NULL;
		return "checkpoint-12 names no operator, or no clock";
	case 3:
		meta->key_groups = 0;
		return "2 tasks with 0 key groups";
	case 4:
		meta->key_groups = KEY_GROUPS_MAX + 1;
		return "2 tasks with 32769 key groups";
	case 5:
		meta->tasks = 0;
		return "0 tasks with 128 key groups";
	case 6:
		meta->tasks = 129;
		return "129 tasks with 128 key groups";
	default:
		return NULL;
	}
}

static const char *spoil_list(struct draft *draft, unsigned how)
{
	switch (how) {
	case 0:
		draft->meta.partition_count = CHECKPOINT_NAMES_MAX + 1;
		return "65537 inputs, more than 65536: use fewer";
	case 1:
		draft->partitions[1].name = NULL;
		return "partition 1 has no name or no finite rate";
	case 2:
		draft->partitions[1].generator_rate = HUGE_VAL;
		return "partition 1 has no name or no finite rate";
	case 3:
		draft->outputs[0].role = NULL;
		return "output 0 has no role, path or length";
	case 4:
		draft->outputs[0].path = NULL;
		return "output 0 has no role, path or length";
	case 5:
		draft->outputs[0].length = -1;
		return "output 0 has no role, path or length";
	default:
		return NULL;
	}
}

Test(metadata_write, nothing_is_said_that_a_reader_would_refuse)
{
	static spoil *const spoils[] = {spoil_kind, spoil_file, spoil_job, spoil_list};
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	struct draft draft;

	for (size_t i = 0; i < LENGTH(spoils); i++) {
		const char *says;

		make_draft(&draft);
		for (unsigned how = 0; (says = spoils[i](&draft, how)); how++) {
			cr_assert_neq(metadata_write_header(&draft.meta, CODEC_NONE, &text, &err), SB_OK, "%s", says);
			cr_assert_str_eq(err.message, says);
			cr_assert_eq(text.len, 0);
			make_draft(&draft);
		}
	}
	make_draft(&draft);
	cr_assert_eq(metadata_write_header(&draft.meta, CODEC_NONE, &text, &err), SB_OK, "%s", err.message);
}

Test(metadata_write, a_header_of_too_many_long_names_is_refused_with_the_remedy)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	const uint64_t count = CHECKPOINT_NAMES_MAX;
	AUTO(free_memory) struct partition_meta *partitions = calloc(count, sizeof(*partitions));
	char name[256] = "";
	struct draft draft;
	sb_error err = ERROR_INIT;

	memset(name, 'n', sizeof(name) - 1);
	for (uint64_t i = 0; i < count; i++)
		partitions[i].name = name;
	make_draft(&draft);
	draft.meta.partitions = partitions;
	draft.meta.partition_count = count;
	cr_assert_eq(metadata_write_header(&draft.meta, CODEC_NONE, &text, &err), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "more than 16777216: use fewer input files"), "%s", err.message);
}
