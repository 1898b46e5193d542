/* Shared by schema.c, schema_json.c, schema_print.c and migration.c. */
#ifndef STATE_SCHEMA_PRIVATE_H
#define STATE_SCHEMA_PRIVATE_H

#include "state/schema.h"

#define SCHEMA_NAME_MAX 255u
#define SCHEMA_VALUE_MAX 65536u
/* Far beyond any operator, and little enough that whoever forges a checkpoint gets neither much memory (cJSON takes forty times
 * the text, for an array of zeros) nor much time (fields are compared with each other) for it. */
#define SCHEMA_FIELDS_MAX 4096u
#define SCHEMA_JSON_MAX (1u << 20)
/* What cJSON, which reads numbers as doubles, gives back exactly: 285,000 years. */
#define SCHEMA_TTL_MAX_MS (INT64_C(1) << 53)

/* code and a sentence when the schema breaks a rule. */
int32_t schema_check(const struct schema *schema, int32_t code, sb_error *err);

/* As JSON and sentences call an SB_TYPE_*: "i64". */
const char *schema_type_name(uint32_t type);

#endif
