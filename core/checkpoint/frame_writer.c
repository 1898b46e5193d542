/* See frame_writer.h. A frame of 256 KiB a time passes here, so one mutex and one condition are cheap enough. */
#include "checkpoint/frame_writer.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/slice.h"

static void encode(struct frame_encoder *encoder, struct frame_on_its_way *frame)
{
	frame->encoded = frame_encode(encoder, frame->raw, frame->packed, frame->type, frame->raw_len, frame->count,
				      frame->number);
}

/* The mutex is held, but not while a frame is written: nobody else touches the first one that waits. */
static void write_first(struct frame_writer *frames)
{
	struct frame_on_its_way *frame = &frames->frames[frames->first];
	sb_error err = ERROR_INIT;
	int32_t status;

	pthread_mutex_unlock(&frames->mutex);
	if (!frame->encoded.len)
		encode(&frames->writer, frame);
	status = snapshot_write(frames->envelope, frame->encoded, &err);
	pthread_mutex_lock(&frames->mutex);
	frames->first = (frames->first + 1) % FRAMES_IN_FLIGHT;
	frames->waiting--;
	if (status != SB_OK) {
		frames->failure = err;
		frames->waiting = 0;
	}
	pthread_cond_broadcast(&frames->changed);
}

static void *run(void *context)
{
	struct frame_writer *frames = context;

	pthread_mutex_lock(&frames->mutex);
	while (!frames->ending) {
		if (frames->waiting)
			write_first(frames);
		else
			pthread_cond_wait(&frames->changed, &frames->mutex);
	}
	pthread_mutex_unlock(&frames->mutex);
	return NULL;
}

static int32_t make_room(struct frame_writer *frames, sb_error *err)
{
	for (uint32_t i = 0; i < FRAMES_IN_FLIGHT; i++) {
		frames->frames[i].raw = malloc(FRAME_ROOM_BYTES);
		frames->frames[i].packed = malloc(FRAME_ROOM_BYTES);
		if (!frames->frames[i].raw || !frames->frames[i].packed)
			return error_no_memory(err);
	}
	return SB_OK;
}

static int32_t start(struct frame_writer *frames, enum checkpoint_codec codec, bool only_structs, sb_error *err)
{
	int sys_errno;

	TRY(frame_encoder_init(&frames->filler, codec, only_structs, err));
	TRY(frame_encoder_init(&frames->writer, codec, only_structs, err));
	TRY(make_room(frames, err));
	sys_errno = pthread_create(&frames->thread, NULL, run, frames);
	if (sys_errno)
		return error_set_errno(err, sys_errno, "cannot start the thread that writes a checkpoint's frames");
	frames->running = true;
	return SB_OK;
}

int32_t frame_writer_init(struct frame_writer *frames, enum checkpoint_codec codec, bool only_structs,
			  struct envelope_sink *envelope, sb_error *err)
{
	int32_t status;

	*frames = (struct frame_writer){.envelope = envelope};
	pthread_mutex_init(&frames->mutex, NULL);
	pthread_cond_init(&frames->changed, NULL);
	status = start(frames, codec, only_structs, err);
	if (status != SB_OK)
		frame_writer_done(frames);
	return status;
}

static void end_thread(struct frame_writer *frames)
{
	pthread_mutex_lock(&frames->mutex);
	frames->ending = true;
	pthread_cond_broadcast(&frames->changed);
	pthread_mutex_unlock(&frames->mutex);
	pthread_join(frames->thread, NULL);
}

void frame_writer_done(struct frame_writer *frames)
{
	if (!frames->envelope)
		return;
	if (frames->running)
		end_thread(frames);
	pthread_cond_destroy(&frames->changed);
	pthread_mutex_destroy(&frames->mutex);
	for (uint32_t i = 0; i < FRAMES_IN_FLIGHT; i++) {
		free(frames->frames[i].raw);
		free(frames->frames[i].packed);
	}
	frame_encoder_done(&frames->filler);
	frame_encoder_done(&frames->writer);
	*frames = (struct frame_writer){0};
}

/* Waits until no more than that many are waiting; after a failure none are. */
static int32_t wait_for(struct frame_writer *frames, uint32_t waiting, sb_error *err)
{
	while (frames->waiting > waiting)
		pthread_cond_wait(&frames->changed, &frames->mutex);
	if (frames->failure.code != SB_OK)
		*err = frames->failure;
	return frames->failure.code;
}

static bool is_behind(struct frame_writer *frames)
{
	bool behind;

	pthread_mutex_lock(&frames->mutex);
	behind = frames->waiting == FRAMES_IN_FLIGHT - 1;
	pthread_mutex_unlock(&frames->mutex);
	return behind;
}

int32_t frame_writer_put(struct frame_writer *frames, enum frame_type type, uint32_t raw_len, uint32_t count,
			 uint64_t number, sb_error *err)
{
	struct frame_on_its_way *frame = &frames->frames[frames->filling];
	int32_t status;

	frame->type = type;
	frame->raw_len = raw_len;
	frame->count = count;
	frame->number = number;
	frame->encoded = slice_of(NULL, 0);
	if (is_behind(frames))
		encode(&frames->filler, frame);
	pthread_mutex_lock(&frames->mutex);
	if (frames->failure.code == SB_OK) {
		frames->filling = (frames->filling + 1) % FRAMES_IN_FLIGHT;
		frames->waiting++;
		pthread_cond_broadcast(&frames->changed);
	}
	status = wait_for(frames, FRAMES_IN_FLIGHT - 1, err);
	pthread_mutex_unlock(&frames->mutex);
	return status;
}

int32_t frame_writer_drain(struct frame_writer *frames, sb_error *err)
{
	int32_t status;

	pthread_mutex_lock(&frames->mutex);
	status = wait_for(frames, 0, err);
	pthread_mutex_unlock(&frames->mutex);
	return status;
}
