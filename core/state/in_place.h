/* Struct states over a backend that hands out its own memory (sb.inplace/1).
 *
 * There is nothing to keep at hand: the backend is the cache. begin gathers the keys of a batch, each of them once, and asks for
 * all of them with one find; what the operator gets is the value where it lies. upsert asks for what may not be
 * changed there yet (a new key, or an old value that a checkpoint still has to read), and end tells
 * the backend what was changed, with one finish. So a value is read and written once, in the memory where it stays.
 *
 * A batch that fails leaves half-changed values behind, and nobody looks at them: the failure is kept, the run ends, and
 * the next one restores a checkpoint.
 *
 * Raw states go through the working set as over any other backend; their keys differ from all of these by the state's
 * id, which is what the extension asks of calls between find and finish. */
#ifndef STATE_IN_PLACE_H
#define STATE_IN_PLACE_H

#include "base/buffer.h"
#include "sb_plugin.h"

struct keyed_state;

struct in_place {
	const sb_inplace_ops *ops; /* NULL: not in use */
	/* A key and a place for each different key of the batch at hand and each struct state, in that order. */
	sb_slice *keys;
	sb_place *places;
	sb_place **places_of; /* of each event: the first of its key's, which are those of all that bear it */
	uint64_t count; /* of keys and places */
	uint64_t events_cap, rows_cap;
	struct buffer key_bytes;
	uint32_t *firsts; /* of each different key: the first event that bears it */
	struct twins *twins; /* scratch, to find events of one key */
	uint32_t *slots; /* the same */
};

void in_place_done(struct in_place *in_place);
int32_t in_place_begin(struct keyed_state *ks, sb_error *err);
int32_t in_place_end(struct keyed_state *ks, sb_error *err);

#endif
