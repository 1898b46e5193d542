/* The same tests for the scanner without SIMD: its own copies take the place of the library's. */
#define SBHOST_PORTABLE
#include "../../core/stream/decode_json.c"
#include "../../core/stream/decode_json_skip.c"
#include "test_decode_json.c"
#include "test_decode_json_random.c"
