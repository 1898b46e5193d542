/* Shared by schema.c, schema_json.c, schema_print.c and migration.c. */
#ifndef STATE_SCHEMA_PRIVATE_H
#define STATE_SCHEMA_PRIVATE_H

#include "state/schema.h"

#define SCHEMA_NAME_MAX 255u
#define SCHEMA_VALUE_MAX 65536u
/* What cJSON, which reads numbers as doubles, gives back exactly: 285,000 years. */
#define SCHEMA_TTL_MAX_MS (INT64_C(1) << 53)

/* code and a sentence when the schema breaks a rule. */
int32_t schema_check(const struct schema *schema, int32_t code, sb_error *err);

/* As JSON and sentences call an SB_TYPE_*: "i64". */
const char *schema_type_name(uint32_t type);

#endif
