/* The schema of a job's states: what each is called, how its values look, when they expire.
 *
 * Made from an operator's declaration or from a checkpoint's header, and owned, so that
 * values can be printed, compared and exported without the plugin. Ids are what
 * composed keys carry; a restored job keeps the ids of its checkpoint. */
#ifndef STATE_SCHEMA_H
#define STATE_SCHEMA_H

#include "base/buffer.h"
#include "plugin/plugin.h"
#include "sb_plugin.h"

#define SCHEMA_STATES_MAX 1024u

struct schema_field {
	char *name;
	uint32_t type; /* SB_TYPE_* */
	uint32_t offset, size;
	char **names; /* ENUM: name_count of them */
	uint64_t name_count;
	uint8_t *default_value; /* size bytes, or NULL for zeros */
};

struct schema_state {
	char *name;
	uint32_t id; /* 0 .. SCHEMA_STATES_MAX - 1 */
	uint32_t kind; /* SB_STATE_* */
	uint32_t value_size;
	int64_t ttl_ms; /* > 0, or 0 for none: resolved */
	struct schema_field *fields;
	uint64_t field_count;
};

struct schema {
	struct schema_state *states; /* in the operator's order */
	uint64_t count;
};

/* job_ttl_ms stands in for SB_TTL_JOB. Ids are the indexes. */
int32_t schema_from_component(const struct component *component, int64_t job_ttl_ms, struct schema *ret_schema,
			      sb_error *err);
/* A JSON array of objects: name, id, kind, ttl_ms, value_size, fields [name, type, offset, size, names, default
 * (hex)]. */
void schema_to_json(const struct schema *schema, struct buffer *out);
int32_t schema_from_json(sb_slice json, struct schema *ret_schema, sb_error *err);
void schema_done(struct schema *schema);

const struct schema_state *schema_find_id(const struct schema *schema, uint32_t id);
const struct schema_state *schema_find_name(const struct schema *schema, const char *name);

/* Appends the value as a JSON object of its fields (STRUCT), or as a JSON string of escaped bytes (RAW). TIME prints
 * as RFC 3339. */
int32_t schema_value_to_json(const struct schema_state *state, sb_slice value, struct buffer *out, sb_error *err);

#endif
