/* Checkpoints that were changed, and signed anew: behind right checksums and a right digest lies what else a reader has to check. */
#ifndef SUPPORT_RESIGN_H
#define SUPPORT_RESIGN_H

#include <stddef.h>
#include <stdint.h>

/* Called with a snapshot's frames; changes them where they lie. */
typedef void resign_change(void *context, uint8_t *frames, size_t len);

/* Each snapshot in a checkpoint file, decoded, changed and put back in its place. What is no base64 is left as it is. */
void resign_change_frames(uint8_t *file, size_t len, resign_change *change, void *context);
/* The checksum of whatever looks like a frame, and the file's digest, anew. */
void resign_checkpoint(uint8_t *file, size_t len);
/* The digest alone. */
void resign_digest(uint8_t *file, size_t len);

#endif
