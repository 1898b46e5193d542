/* Every rule of sb_plugin.h for descriptors, each broken once: a good descriptor is built
 * in memory, one member is spoilt, and normalize_plugin() must refuse it in words. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "support/descriptor.h"

static struct descriptor x;
static const char *no_texts[] = {NULL};
static char long_name[400];

static void reset(void)
{
	memset(long_name, 'a', sizeof(long_name) - 1);
	descriptor_init(&x);
}

static int32_t normalize(struct plugin **ret_plugin, sb_error *err)
{
	return descriptor_normalize(&x, ret_plugin, err);
}

/* Of so many bytes. */
static const char *text_of(size_t len)
{
	static char text[5000];

	memset(text, 'a', len);
	text[len] = 0;
	return text;
}

/* So many of them: n0, n1, … */
static const char *const *names_of(size_t count)
{
	static char names[4100][24];
	static const char *pointers[4101];

	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "n%zu", i);
		pointers[i] = names[i];
	}
	pointers[count] = NULL;
	return pointers;
}

TestSuite(plugin_descriptor, .init = reset, .timeout = 60);

Test(plugin_descriptor, a_good_one_is_copied_whole)
{
	struct plugin *plugin;
	const struct component *processor;
	sb_error err = ERROR_INIT;

	cr_assert_eq(normalize(&plugin, &err), SB_OK, "%s", err.message);
	processor = &plugin->components[1];
	cr_assert_eq(plugin->component_count, 2);
	cr_assert_eq(plugin->components[0].option_count, 3);
	cr_assert_eq(plugin->components[0].flags, SB_BACKEND_ORDERED);
	cr_assert_eq(processor->input_count, 3);
	cr_assert_eq(processor->state_count, 2);
	cr_assert_neq(processor->states[0].fields[1], &x.level, "the plugin's own struct");
	cr_assert_str_eq(processor->states[0].fields[1]->name, "level");
	cr_assert(processor->operator.snapshot && processor->operator.restore);
	plugin_free(plugin);
}

static void assert_refused(int line, int32_t code, const char *words)
{
	struct plugin *plugin;
	sb_error err = ERROR_INIT;

	cr_assert_eq(normalize(&plugin, &err), code, "line %d: code %d: %s", line, err.code, err.message);
	cr_assert(strstr(err.message, words), "line %d: \"%s\" is not in: %s", line, words, err.message);
	cr_assert(strstr(err.message, "/x.so"), "line %d: no file in: %s", line, err.message);
	reset();
}

#define REFUSED(spoil, words)                                                                                          \
	do {                                                                                                           \
		spoil;                                                                                                 \
		assert_refused(__LINE__, SB_ERR_INVALID, words);                                                       \
	} while (0)
#define INCOMPATIBLE(spoil, words)                                                                                     \
	do {                                                                                                           \
		spoil;                                                                                                 \
		assert_refused(__LINE__, SB_ERR_INCOMPATIBLE, words);                                                  \
	} while (0)

#define ACCEPTED(change)                                                                                               \
	do {                                                                                                           \
		struct plugin *plugin_;                                                                                \
		sb_error err_ = ERROR_INIT;                                                                            \
		change;                                                                                                \
		cr_assert_eq(normalize(&plugin_, &err_), SB_OK, "%s", err_.message);                                   \
		plugin_free(plugin_);                                                                                  \
		reset();                                                                                               \
	} while (0)

Test(plugin_descriptor, plugin_members_are_checked)
{
	INCOMPATIBLE(x.plugin.struct_size = sizeof(sb_plugin) - 1, "its sb_plugin has struct_size 71");
	INCOMPATIBLE(x.plugin.struct_size = 0, "struct_size 0");
	INCOMPATIBLE(x.plugin.abi_major = 2, "ABI 2");
	REFUSED(x.plugin.abi_minor = 1, "its ELF note says 1.0");
	REFUSED(x.plugin.name = NULL, "has no name");
	REFUSED(x.plugin.version = NULL, "has no version");
	REFUSED(x.plugin.vendor = NULL, "has no vendor");
	REFUSED(x.plugin.license = NULL, "has no license");
	ACCEPTED(x.plugin.doc = NULL);
	REFUSED(x.plugin.doc = "\xc3", "is not UTF-8");
	ACCEPTED(x.plugin.doc = text_of(4096));
	REFUSED(x.plugin.doc = text_of(4097), "the doc of the plugin is longer than 4096 bytes");
	REFUSED(x.plugin.name = "Store", "is not of the form");
	REFUSED(x.plugin.name = "other", "its ELF note says \"store\"");
	REFUSED(x.plugin.version = "1.1", "its ELF note says \"1.0\"");
	REFUSED(x.plugin.component_count = 0, "no component");
	REFUSED(x.plugin.component_count = UINT64_MAX, "more than");
	REFUSED(x.plugin.components = NULL, "their array is NULL");
	REFUSED(x.components[1] = NULL, "component 1 is NULL");
	REFUSED(x.components[1] = (const sb_component *)((const char *)&x.processor + 4), "is not aligned");
}

Test(plugin_descriptor, component_members_are_checked)
{
	INCOMPATIBLE(x.backend.struct_size -= 8, "component 0 has struct_size");
	REFUSED(x.backend.id = NULL, "no id");
	REFUSED(x.backend.id = "", "is not of the form");
	REFUSED(x.backend.id = "under_score", "is not of the form");
	REFUSED(x.backend.id = "1st", "is not of the form");
	REFUSED(x.backend.id = long_name, "is not of the form");
	REFUSED(x.backend.id = "processor", "two components have the id");
	REFUSED(x.backend.title = NULL, "no title");
	ACCEPTED(x.backend.doc = NULL);
	REFUSED(x.backend.doc = "\xc3", "the doc of store-1 is not UTF-8");
	REFUSED(x.backend.kind = 0, "kind 0");
	REFUSED(x.backend.kind = SB_KIND_SINK, "kind 4 (sink)");
	REFUSED(x.backend.kind = SB_KIND_SOURCE, "kind 3 (source)");
	REFUSED(x.backend.flags = 64, "flags 0x40");
	REFUSED(x.processor.flags = SB_BACKEND_ORDERED, "flags 0x2");
	REFUSED(x.backend.threads = 2, "thread model");
	REFUSED(x.backend.ops = NULL, "operations (ops) is NULL");
	REFUSED(x.backend.input_count = 1, "cannot declare inputs");
	REFUSED(x.backend.output_count = 1, "cannot declare inputs");
	REFUSED(x.backend.state_count = 1, "cannot declare inputs");
	INCOMPATIBLE(x.backend_ops.struct_size = 16, "its sb_backend_ops has struct_size 16");
	INCOMPATIBLE(x.operator_ops.struct_size = 16, "its sb_operator_ops has struct_size 16");
}

Test(plugin_descriptor, mandatory_callbacks_are_there)
{
	REFUSED(x.backend_ops.open = NULL, "\"store-1\": mandatory callback open()");
	REFUSED(x.backend_ops.close = NULL, "close()");
	REFUSED(x.backend_ops.multi_get = NULL, "multi_get()");
	REFUSED(x.backend_ops.write_batch = NULL, "write_batch()");
	REFUSED(x.backend_ops.iter_open = NULL, "iter_open()");
	REFUSED(x.backend_ops.iter_next = NULL, "iter_next()");
	REFUSED(x.backend_ops.iter_close = NULL, "iter_close()");
	REFUSED(x.operator_ops.open = NULL, "\"processor\": mandatory callback open()");
	REFUSED(x.operator_ops.close = NULL, "close()");
	REFUSED(x.operator_ops.process = NULL, "process()");
	REFUSED(x.operator_ops.snapshot = NULL, "restore() without snapshot()");
	REFUSED(x.operator_ops.restore = NULL, "snapshot() without restore()");
	ACCEPTED(x.operator_ops.snapshot = NULL; x.operator_ops.restore = NULL);
}

Test(plugin_descriptor, option_declarations_are_consistent)
{
	INCOMPATIBLE(x.size.struct_size -= 8, "option 0 has struct_size");
	REFUSED(x.options[2] = NULL, "option 2 is NULL");
	REFUSED(x.backend.options = NULL, "their array is NULL");
	REFUSED(x.size.name = NULL, "no name");
	REFUSED(x.size.name = "da-sh", "is not of the form");
	REFUSED(x.size.name = "ratio", "two options have the name \"ratio\"");
	REFUSED(x.size.type = 0, "type 0");
	REFUSED(x.size.type = 8, "type 8");
	REFUSED(x.size.flags = 2, "flags 0x2");
	ACCEPTED(x.size.doc = NULL);
	REFUSED(x.size.doc = "\xff", "the doc of size is not UTF-8");
	REFUSED(x.size.unit = "\xff", "the unit of size is not UTF-8");
	REFUSED(x.size.default_text = "\xff", "the default_text of size is not UTF-8");
	REFUSED(x.size.default_text = "many", "the default of option \"size\" is not a size");
	REFUSED(x.size.default_text = "9KiB", "the default of option \"size\" is out of range: 1 to 8KiB");
	REFUSED(x.size.min = 9000, "lower limit");
	REFUSED(x.ratio.default_text = "2", "out of range: 0 to 1");
	REFUSED(x.ratio.min_f64 = 2, "lower limit");
	REFUSED(x.ratio.max_f64 = __builtin_nan(""), "lower limit");
	REFUSED(x.choice.choices = NULL, "without choices");
	REFUSED(x.choice.choices = no_texts, "without choices");
	REFUSED(x.choice.default_text = "middle", "is none of low, high");
	REFUSED(x.texts[1] = "low", "the choice \"low\" twice");
	REFUSED(x.texts[1] = "", "empty choice");
	REFUSED(x.texts[1] = "\xff", "the choices of choice is not UTF-8");
	ACCEPTED(x.choice.choices = names_of(4096); x.choice.default_text = "n4095");
	REFUSED(x.choice.choices = names_of(4097), "option \"choice\" has more than 4096 choices");
	ACCEPTED(x.size.default_text = NULL; x.size.unit = NULL);
	ACCEPTED(x.size.min = 0; x.size.max = 0; x.size.default_text = "1TiB");
}

Test(plugin_descriptor, fields_have_one_key_and_at_most_one_event_time)
{
	INCOMPATIBLE(x.key.struct_size -= 8, "input field 0 has struct_size");
	INCOMPATIBLE(x.out_sum.struct_size -= 8, "output field 1 has struct_size");
	REFUSED(x.key.flags = 0, "0 input fields are SB_FIELD_KEY");
	REFUSED(x.amount.type = SB_TYPE_I64; x.amount.flags = SB_FIELD_KEY, "2 input fields are SB_FIELD_KEY");
	REFUSED(x.processor.input_count = 0, "0 input fields are SB_FIELD_KEY");
	REFUSED(x.key.type = SB_TYPE_F64, "must be of type STRING or I64");
	REFUSED(x.key.flags |= SB_FIELD_OPTIONAL, "cannot be optional");
	REFUSED(x.amount.flags = SB_FIELD_EVENT_TIME, "must be of type TIME");
	REFUSED(x.amount.type = SB_TYPE_TIME;
		x.amount.flags = SB_FIELD_EVENT_TIME, "2 input fields are SB_FIELD_EVENT_TIME");
	REFUSED(x.amount.name = NULL, "no name");
	REFUSED(x.amount.name = "a-b", "is not of the form");
	REFUSED(x.amount.name = "time", "two input fields have the name \"time\"");
	ACCEPTED(x.amount.doc = NULL; x.out_sum.doc = NULL);
	REFUSED(x.amount.type = SB_TYPE_INT, "which events cannot have");
	REFUSED(x.amount.type = 0, "which events cannot have");
	REFUSED(x.amount.flags = 8, "flags 0x8");
	REFUSED(x.out_key.flags = SB_FIELD_KEY, "flags 0x1");
	REFUSED(x.out_key.name = "sum", "two output fields");
	REFUSED(x.out_key.name = "a-b", "output field name \"a-b\" is not of the form");
	REFUSED(x.out_sum.decimals = 18, "more than 17");
	ACCEPTED(x.key.type = SB_TYPE_I64);
	ACCEPTED(x.processor.output_count = 0; x.processor.outputs = NULL);
	ACCEPTED(x.time.flags = 0);
}

Test(plugin_descriptor, states_are_named_and_timed)
{
	INCOMPATIBLE(x.profile.struct_size -= 8, "state 0 has struct_size");
	REFUSED(x.profile.name = NULL, "no name");
	REFUSED(x.profile.name = "Profile", "is not of the form");
	REFUSED(x.profile.name = "raw-bytes_1", "two states have the name");
	REFUSED(x.profile.kind = 3, "unknown kind 3");
	REFUSED(x.profile.flags = 1, "flags 0x1");
	REFUSED(x.profile.ttl_ms = -2, "ttl_ms -2");
	REFUSED(x.profile.value_size = 0, "value_size 0");
	REFUSED(x.profile.value_size = 65537, "value_size 65537");
	REFUSED(x.profile.field_count = 0, "declares no fields");
	REFUSED(x.profile.fields = NULL, "their array is NULL");
	REFUSED(x.raw.value_size = 8, "raw state");
	REFUSED(x.raw.field_count = 1, "raw state");
	REFUSED(x.processor.state_count = 1025, "more than 1024");
	ACCEPTED(x.profile.ttl_ms = 1);
	ACCEPTED(x.profile.doc = NULL; x.count.doc = NULL);
	ACCEPTED(x.processor.state_count = 0);
}

Test(plugin_descriptor, schemas_fit_their_structs)
{
	static const struct {
		uint32_t type;
		uint32_t legal; /* bit n: size n */
	} sizes[] = {
		{SB_TYPE_BOOL, 1 << 1},
		{SB_TYPE_I64, 1 << 8},
		{SB_TYPE_F64, 1 << 8},
		{SB_TYPE_TIME, 1 << 8},
		{SB_TYPE_INT, 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8},
		{SB_TYPE_UINT, 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8},
		{SB_TYPE_FLOAT, 1 << 4 | 1 << 8},
		{SB_TYPE_CHARS, 0x1fe},
		{SB_TYPE_BYTES, 0x1fe},
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (uint32_t size = 0; size <= 8; size++) {
			x.count.type = sizes[i].type;
			x.count.size = size;
			if (sizes[i].legal & (1u << size))
				ACCEPTED((void)0);
			else
				REFUSED((void)0, "which does not go with its type");
		}
	INCOMPATIBLE(x.level.struct_size -= 8, "schema field 1 has struct_size");
	REFUSED(x.count.type = SB_TYPE_STRING, "which a struct cannot hold");
	REFUSED(x.count.type = 12, "which a struct cannot hold");
	REFUSED(x.count.name = NULL, "no name");
	REFUSED(x.count.name = "9lives", "is not of the form");
	REFUSED(x.count.name = "level", "two fields of state \"profile\"");
	REFUSED(x.count.offset = 9, "ends at byte 17");
	REFUSED(x.count.offset = UINT32_MAX, "ends at byte");
	REFUSED(x.label.size = UINT32_MAX, "ends at byte");
	REFUSED(x.count.offset = 4, "\"count\" and \"level\" of state \"profile\" overlap");
}

Test(plugin_descriptor, enums_have_names_for_their_values)
{
	REFUSED(x.level.names = NULL, "has no names");
	REFUSED(x.level.names = no_texts, "has no names");
	REFUSED(x.texts[1] = "\xff"; x.backend.option_count = 0, "the names of level is not UTF-8");
	ACCEPTED(x.level.names = names_of(4096));
	REFUSED(x.level.names = names_of(4097), "has more than 4096 names");
	ACCEPTED(x.level.names = names_of(256); x.level.size = 1);
	REFUSED(x.level.names = names_of(257); x.level.size = 1, "has more than 256 names");
	REFUSED(x.level.size = 8, "does not go with its type");
	REFUSED(x.texts[1] = "low"; x.backend.option_count = 0, "the name \"low\" twice");
	REFUSED(x.level_default[0] = 2, "default of enum field \"level\"");
	REFUSED(x.level_default[3] = 1, "default of enum field \"level\"");
	ACCEPTED(x.level_default[0] = 1);
	ACCEPTED(x.level.default_value = NULL);
}

Test(plugin_descriptor, a_later_minor_may_use_what_we_do_not_know)
{
#define NEWER x.plugin.abi_minor = x.note.abi_minor = 3
	ACCEPTED(NEWER; x.backend.flags = 64);
	ACCEPTED(NEWER; x.key.flags |= 64);
	ACCEPTED(NEWER; x.backend.kind = SB_KIND_SOURCE; x.backend.ops = &x.plugin);
	INCOMPATIBLE(NEWER; x.size.type = 8, "type 8");
	INCOMPATIBLE(NEWER; x.count.type = 12, "which a struct cannot hold");
	INCOMPATIBLE(NEWER; x.profile.kind = 3, "unknown kind 3");
	INCOMPATIBLE(NEWER; x.backend.threads = 9, "thread model");
}

/* --- description ---------------------------------------------------------------- */

Test(plugin_descriptor, the_text_tells_all_of_it)
{
	static const char *const lines[] = {
		"store 1.0\n",
		"  file     /x.so\n",
		"  abi      1.0\n",
		"\nbackend store-1: t\n",
		"    size    size    4KiB     1 to 8KiB  -     d\n",
		"    choice  choice  low      low|high   -     d\n",
		"\noperator processor: t\n",
		"    user_id  string  key         d\n",
		"    time     time    event time  d\n",
		"  state profile: struct of 16 bytes, as set by --ttl\n",
		"      8       4      level  enum   low|high  d\n",
		"  state raw-bytes_1: raw bytes, never expires\n",
	};
	struct plugin *plugin;
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	cr_assert_eq(normalize(&plugin, &err), SB_OK, "%s", err.message);
	plugin_describe_text(plugin, &out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert(strstr(buffer_text(&out), lines[i]), "\"%s\" is not in:\n%s", lines[i], (char *)out.data);
	buffer_done(&out);
	plugin_free(plugin);
}

static void assert_described(const char *line, const char *part)
{
	struct buffer text = BUFFER_INIT, json = BUFFER_INIT;
	struct plugin *plugin;
	sb_error err = ERROR_INIT;

	cr_assert_eq(normalize(&plugin, &err), SB_OK, "%s", err.message);
	plugin_describe_text(plugin, &text);
	plugin_describe_json(plugin, &json);
	cr_assert(strstr(buffer_text(&text), line), "\"%s\" is not in:\n%s", line, (char *)text.data);
	cr_assert(strstr(buffer_text(&json), part), "%s is not in:\n%s", part, (char *)json.data);
	buffer_done(&text);
	buffer_done(&json);
	plugin_free(plugin);
	reset();
}

#define DESCRIBED(change, line, part)                                                                                  \
	do {                                                                                                           \
		change;                                                                                                \
		assert_described(line, part);                                                                          \
	} while (0)

Test(plugin_descriptor, each_trait_has_its_words_and_its_member)
{
	DESCRIBED(x.size.default_text = NULL, "size    -        1 to 8KiB", "\"default\":\tnull");
	DESCRIBED(x.size.unit = "bytes", " bytes  d\n", "\"unit\":\t\"bytes\"");
	DESCRIBED(x.size.unit = "", "8KiB  -     d\n", "\"unit\":\t\"\"");
	DESCRIBED(x.time.flags |= SB_FIELD_OPTIONAL, "event time, optional  d\n", "\"optional\":\ttrue");
	DESCRIBED(x.profile.ttl_ms = 5000, "expires 5000 ms after the last write", "\"ttl_ms\":\t5000");
	DESCRIBED(x.profile.ttl_ms = SB_TTL_NONE, "bytes, never expires", "\"ttl\":\t\"none\"");
	DESCRIBED(x.raw.ttl_ms = SB_TTL_JOB, "raw bytes, as set by --ttl", "\"kind\":\t\"raw\"");
	DESCRIBED(x.processor.doc = NULL, "processor: t\n  has state", "\"doc\":\t\"\"");
	DESCRIBED(x.backend.threads = SB_THREADS_ONE_INSTANCE, "--parallelism 1\n", "\"one_instance\":\ttrue");
	DESCRIBED(x.backend.flags = SB_BACKEND_IN_MEMORY, "in no order\n  keeps all", "\"in_memory\":\ttrue");
	DESCRIBED(x.backend.flags = SB_BACKEND_STABLE_ITER, "stable while it", "\"stable_iterators\":\ttrue");
	DESCRIBED(x.operator_ops.snapshot = NULL;
		  x.operator_ops.restore = NULL, "processor: t\n  d\n  input", "\"snapshot\":\tfalse");
	DESCRIBED(x.out_sum.decimals = 2, "sum      f64     optional  d\n", "\"decimals\":\t2");
	DESCRIBED(x.out_sum.decimals = -1, "sum      f64     optional  d\n", "\"optional\":\ttrue,");
	DESCRIBED(NEWER; x.backend.kind = SB_KIND_SOURCE, "cannot be used by this", "\"kind\":\t\"source\"");
	DESCRIBED(x.plugin.vendor = "\033[1m\177v\n", "vendor    [1m v\n", "\"vendor\":\t\"\\u001b[1m");
}

Test(plugin_descriptor, a_type_of_a_later_minor_has_no_name)
{
	cr_assert_str_eq(option_type_name(SB_OPTION_CHOICE), "choice");
	cr_assert_str_eq(option_type_name(SB_OPTION_CHOICE + 1), "?");
	cr_assert_str_eq(value_type_name(SB_TYPE_BYTES), "bytes");
	cr_assert_str_eq(value_type_name(SB_TYPE_BYTES + 1), "?");
}

Test(plugin_descriptor, the_json_is_exact_and_valid)
{
	static const char *const parts[] = {
		"\"id\":\t\"store-1\"",
		"\"min\":\t-9223372036854775808",
		"\"max\":\t9223372036854775807",
		"\"choices\":\t[\"low\", \"high\"]",
		"\"default\":\tnull",
		"\"secret\":\ttrue",
		"\"ttl\":\t\"job\"",
		"\"value_size\":\t16",
		"\"event_time\":\ttrue",
	};
	struct plugin *plugin;
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	x.size = (sb_option){.struct_size = sizeof(sb_option),
			     .type = SB_OPTION_I64,
			     .name = "size",
			     .doc = "\"q\"\n",
			     .min = INT64_MIN,
			     .max = INT64_MAX,
			     .flags = SB_OPTION_SECRET,
			     .default_text = "424242"};
	cr_assert_eq(normalize(&plugin, &err), SB_OK, "%s", err.message);
	plugin_describe_json(plugin, &out);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		cr_assert(strstr(buffer_text(&out), parts[i]), "%s is not in:\n%s", parts[i], (char *)out.data);
	cr_assert_null(strstr((char *)out.data, "424242"), "the default of a secret option");
	buffer_clear(&out);
	plugin_describe_text(plugin, &out);
	cr_assert_null(strstr(buffer_text(&out), "424242"), "the default of a secret option");
	buffer_done(&out);
	plugin_free(plugin);
}
