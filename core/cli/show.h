/* How the tools show entries, sizes and times; the same everywhere. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stdbool.h>

#include "base/table.h"
#include "checkpoint/reader.h"
#include "cli/object.h"
#include "state/schema.h"

/* An item with its state and its key taken apart. Slices are valid as long as the item's, and until scratch changes. */
struct shown_entry {
	const struct schema_state *state;
	sb_slice key, sub_key; /* sub_key: of raw states */
	sb_slice value;
	int64_t expiry_ms;
};

int32_t show_entry_init(const struct schema *schema, uint32_t state_id, sb_slice user_part, sb_slice value,
			int64_t expiry_ms, struct buffer *scratch, struct shown_entry *ret_entry, sb_error *err);
static inline int32_t show_item_init(const struct schema *schema, const struct checkpoint_item *item,
				     struct buffer *scratch, struct shown_entry *ret_entry, sb_error *err)
{
	return show_entry_init(schema, item->state_id, item->user_part, item->value, item->expiry_ms, scratch,
			       ret_entry, err);
}

/* Members state, key and, of raw states, sub_key. */
void show_keys(struct object *object, const struct shown_entry *entry);
/* Those, value and expiry_ms: what "state export" prints a line of. */
int32_t show_entry(struct object *object, const struct shown_entry *entry, sb_error *err);
/* "null", or the number. */
void show_expiry_ms(struct buffer *out, int64_t expiry_ms);
/* "never", or as RFC 3339. */
void show_expiry(struct buffer *out, int64_t expiry_ms);
/* Key bytes for people, a raw state's with its sub-key behind a blank. */
void show_key_text(struct buffer *out, const struct shown_entry *entry);

/* Entries as rows: aligned blocks under a heading on a terminal, elsewhere tab-separated lines without one. */
struct entry_rows {
	struct table table;
	bool aligned, has_raw, headed;
	const char *indent;
	struct buffer scratch;
};

void entry_rows_init(struct entry_rows *rows, const struct schema *schema, bool aligned, const char *indent);
void entry_rows_done(struct entry_rows *rows);
/* Full blocks go to out at once, the last one with entry_rows_end. */
int32_t entry_rows_add(struct entry_rows *rows, const struct shown_entry *entry, struct buffer *out, sb_error *err);
void entry_rows_end(struct entry_rows *rows, struct buffer *out);

/* Of a field: "i64", "chars", … */
const char *show_type_name(uint32_t type);
/* "12 B", "3.4 MiB" */
void show_size(struct buffer *out, uint64_t bytes);
/* "5s", "3m", "2h", "9d"; a time to come (another machine's clock) is "0s". */
void show_age(struct buffer *out, int64_t age_ms);

#endif
