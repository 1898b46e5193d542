/* Frames on their way into the file, on a thread of their own: whoever fills a frame goes on with the next one while the
 * last is compressed, encoded, hashed and written. When the thread falls behind, the one who would have to wait for it
 * compresses its frame itself. So a full checkpoint uses two processors where there are two, and has the same bytes however
 * the work was shared.
 *
 * The envelope belongs to the thread from a frame_writer_put until the next frame_writer_drain has returned; the
 * writes come in the same order as without it, and after one that failed comes no other. */
#ifndef CHECKPOINT_FRAME_WRITER_H
#define CHECKPOINT_FRAME_WRITER_H

#include <pthread.h>
#include <stdbool.h>

#include "checkpoint/envelope_sink.h"
#include "checkpoint/frame.h"

#define FRAMES_IN_FLIGHT 3u

struct frame_on_its_way {
	uint8_t *raw, *packed; /* FRAME_ROOM_BYTES each */
	enum frame_type type;
	uint32_t raw_len, count;
	uint64_t number;
	sb_slice encoded; /* no bytes: the thread is to do it */
};

struct frame_writer {
	struct envelope_sink *envelope;
	struct frame_encoder filler, writer; /* one for each side */
	struct frame_on_its_way frames[FRAMES_IN_FLIGHT];
	uint32_t filling; /* index of the frame that the caller fills */
	uint32_t first, waiting; /* the frames that are handed over: the first is the one that is being written */
	bool ending;
	sb_error failure; /* the thread's first; code SB_OK: none */
	pthread_mutex_t mutex; /* over first, waiting, ending and failure */
	pthread_cond_t changed;
	pthread_t thread;
	bool running;
};

/* Starts the thread; only_structs as for frame_encoder_init. On failure there is nothing to be undone. */
int32_t frame_writer_init(struct frame_writer *frames, enum checkpoint_codec codec, bool only_structs,
			  struct envelope_sink *envelope, sb_error *err);
/* Ends the thread when it has written the frame that it is at; what is waiting behind that is dropped. Does nothing to a
 * writer of zeros. */
void frame_writer_done(struct frame_writer *frames);
/* Where the next payload is to be put: FRAME_RAW_FILL bytes. */
static inline uint8_t *frame_writer_payload(struct frame_writer *frames)
{
	return frames->frames[frames->filling].raw + FRAME_HEADER_BYTES;
}
/* Hands over what lies there; waits while too many are on their way. Fails with the first failure of any frame so far:
 * then this one is lost. */
int32_t frame_writer_put(struct frame_writer *frames, enum frame_type type, uint32_t raw_len, uint32_t count,
			 uint64_t number, sb_error *err);
/* Waits until all are written, or one has failed. */
int32_t frame_writer_drain(struct frame_writer *frames, sb_error *err);

#endif
