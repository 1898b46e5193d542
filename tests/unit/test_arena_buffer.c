/* Arenas and buffers. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "support/rng.h"

Test(arena, memory_is_aligned_and_each_piece_its_own)
{
	struct arena arena = ARENA_INIT;
	struct rng rng;
	struct {
		uint8_t *at;
		size_t size;
	} pieces[500];

	rng_init(&rng, rng_test_seed(1));
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < 500; i++) {
			pieces[i].size = 1 + rng_below(&rng, i % 50 ? 300 : 100000);
			pieces[i].at = arena_alloc(&arena, pieces[i].size);
			cr_assert_not_null(pieces[i].at);
			cr_assert_eq((uintptr_t)pieces[i].at % 16, 0);
			memset(pieces[i].at, (int)i, pieces[i].size);
		}
		for (size_t i = 0; i < 500; i++)
			for (size_t k = 0; k < pieces[i].size; k++)
				cr_assert_eq(pieces[i].at[k], (uint8_t)i);
		arena_reset(&arena);
	}
	arena_done(&arena);
}

Test(arena, nothing_is_never_taken_for_out_of_memory)
{
	struct arena arena = ARENA_INIT;
	void *first = arena_alloc(&arena, 0);

	cr_assert_not_null(first);
	cr_assert_neq(arena_alloc(&arena, 0), first);
	arena_done(&arena);
}

Test(arena, size_that_cannot_be_is_refused)
{
	struct arena arena = ARENA_INIT;

	cr_assert_null(arena_alloc(&arena, SIZE_MAX));
	cr_assert_null(arena_alloc(&arena, SIZE_MAX / 2 + 1));
	cr_assert_not_null(arena_alloc(&arena, 1));
	arena_done(&arena);
}

Test(arena, reset_keeps_a_chunk_and_no_giant)
{
	struct arena arena = ARENA_INIT;
	void *first;

	arena_reset(&arena);
	first = arena_alloc(&arena, 10);
	arena_reset(&arena);
	cr_assert_eq(arena_alloc(&arena, 10), first);
	arena_alloc(&arena, 10 << 20);
	arena_reset(&arena);
	cr_assert_null(arena.chunks);
	cr_assert_not_null(arena_alloc(&arena, 10));
	arena_done(&arena);
	arena_done(&arena);
}

Test(buffer, holds_what_was_appended)
{
	struct buffer b = BUFFER_INIT;
	struct buffer empty = BUFFER_INIT;

	buffer_append_text(&b, "one");
	buffer_append_byte(&b, ' ');
	buffer_append(&b, "two", 3);
	buffer_append(&b, NULL, 0);
	buffer_append_slice(&b, slice_of_text(" three"));
	buffer_append_slice(&b, slice_of(NULL, 0));
	buffer_printf(&b, " %d%%", 4);
	cr_assert_str_eq(buffer_text(&b), "one two three 4%");
	cr_assert_eq(b.len, strlen("one two three 4%"), "the NUL is not counted");
	cr_assert_str_eq(buffer_text(&empty), "");
	cr_assert_eq(empty.len, 0);
	buffer_done(&b);
	buffer_done(&b);
	buffer_done(&empty);
}

Test(buffer, grows_byte_by_byte_and_at_once)
{
	struct buffer b = BUFFER_INIT;
	static uint8_t large[1 << 20];

	for (int i = 0; i < 100000; i++)
		buffer_append_byte(&b, (uint8_t)i);
	for (int i = 0; i < 100000; i++)
		cr_assert_eq(b.data[i], (uint8_t)i);
	buffer_append(&b, large, sizeof(large));
	cr_assert_eq(b.len, 100000 + sizeof(large));
	cr_assert_leq(b.cap, 4 * b.len);
	buffer_done(&b);
}

Test(buffer, clear_forgets_content_and_failure_and_keeps_the_memory)
{
	struct buffer b = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	uint8_t *data;

	buffer_append_text(&b, "x");
	data = b.data;
	cr_assert_null(buffer_reserve(&b, SIZE_MAX / 2));
	cr_assert(b.failed);
	buffer_clear(&b);
	cr_assert_eq(buffer_check(&b, &err), SB_OK);
	cr_assert_eq(b.len, 0);
	buffer_append_text(&b, "y");
	cr_assert_eq(b.data, data);
	buffer_done(&b);
}

Test(buffer, failure_sticks_until_it_is_checked)
{
	struct buffer b = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	buffer_append_text(&b, "before");
	cr_assert_null(buffer_reserve(&b, SIZE_MAX));
	buffer_append_text(&b, "after");
	buffer_printf(&b, "%d", 1);
	buffer_append_byte(&b, 'x');
	cr_assert_eq(b.len, 6);
	cr_assert_null(buffer_text(&b));
	cr_assert_eq(buffer_check(&b, &err), SB_ERR_NO_MEMORY);
	cr_assert_str_eq(err.message, "out of memory");
	buffer_done(&b);
}
