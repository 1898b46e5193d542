/* The same tests for the encoder without SIMD: its own copy takes the place of the library's. */
#define SBHOST_PORTABLE
#include "../../core/stream/encode.c"
#include "test_encode.c"
