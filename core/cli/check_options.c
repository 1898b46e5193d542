/* See check_options.h. The rules are getopt_long's: a long option may be cut short as long as it stays the only one, its value
 * follows "=" or is the next word, and behind "--" there are only words. */
#include "cli/check_options.h"

#include <stdbool.h>
#include <string.h>

#include "base/nearest.h"
#include "base/slice.h"
#include "cli/command.h"

static const struct argp_option own_options[] = {
	{"help", 0, NULL, 0, NULL, 0},
	{"usage", 0, NULL, 0, NULL, 0},
	{0},
};

struct search {
	const char *text;
	size_t len; /* of the name in it */
	const struct argp_option *found;
	bool exact, ambiguous;
	struct nearest near;
};

static bool is_end(const struct argp_option *option)
{
	return !option->name && !option->key && !option->doc;
}

static void search_table(struct search *search, const struct argp_option *table)
{
	for (; !is_end(table); table++) {
		if (!table->name)
			continue;
		nearest_offer(&search->near, table->name);
		if (strncmp(table->name, search->text, search->len) != 0)
			continue;
		if (table->name[search->len] == 0) {
			search->found = table;
			search->exact = true;
		} else if (!search->exact) {
			search->ambiguous = search->found != NULL;
			search->found = table;
		}
	}
}

static int unknown(const char *name, const struct search *search)
{
	if (search->near.name)
		return cli_complain(EXIT_USAGE, "%s: there is no option --%.*s; did you mean --%s? See %s --help", name,
				    (int)search->len, search->text, search->near.name, name);
	return cli_complain(EXIT_USAGE, "%s: there is no option --%.*s; see %s --help", name, (int)search->len,
			    search->text, name);
}

/* *ret_takes_next: the next word is this option's value. */
static int check_long(const char *name, const struct argp_option *table, const char *text, bool *ret_takes_next)
{
	struct search search = {.text = text, .len = strcspn(text, "=")};
	const bool has_value = text[search.len] == '=';

	search.near.wanted = slice_of(text, search.len);
	search_table(&search, table);
	search_table(&search, own_options);
	if (!search.found)
		return unknown(name, &search);
	if (search.ambiguous && !search.exact)
		return cli_complain(EXIT_USAGE, "%s: --%.*s could be several options; see %s --help", name,
				    (int)search.len, text, name);
	if (has_value && !search.found->arg)
		return cli_complain(EXIT_USAGE, "%s: --%s takes no value; see %s --help", name, search.found->name,
				    name);
	*ret_takes_next = search.found->arg && !(search.found->flags & OPTION_ARG_OPTIONAL) && !has_value;
	return EXIT_DONE;
}

int check_options(const char *name, const struct argp_option *table, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bool takes_next = false;
		int status;

		if (strcmp(argv[i], "--") == 0)
			break;
		if (argv[i][0] != '-' || argv[i][1] == 0 || strcmp(argv[i], "-?") == 0)
			continue;
		if (argv[i][1] != '-')
			return cli_complain(
				EXIT_USAGE,
				"%s: there is no option %s (a word that begins with - goes behind --); see %s "
				"--help",
				name, argv[i], name);
		status = check_long(name, table, argv[i] + 2, &takes_next);
		if (status != EXIT_DONE)
			return status;
		if (takes_next && ++i == argc)
			return cli_complain(EXIT_USAGE, "%s: %s lacks its value; see %s --help", name, argv[i - 1],
					    name);
	}
	return EXIT_DONE;
}
