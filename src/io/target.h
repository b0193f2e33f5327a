/* SPDX-License-Identifier: Apache-2.0 */
/* target.h -- output that appears under its name only when it is complete and on disk.
 *
 * A file:    write .<name>.mxq-<pid>-<random>.part beside it; fsync; rename; fsync its folder.
 * A folder:  make a folder of such a name beside it; write and fsync every file in it; fsync it;
 *            rename; fsync its parent.
 *
 * The rename refuses to replace anything, unless that was asked for.  A file is then replaced in
 * one step by the rename itself.  A folder changes places with the new one in one step, and is
 * removed from under the temporary name after that is on disk; on a filesystem that cannot exchange
 * names the old folder is renamed away first, and back if the second rename fails.  So at no time
 * is there neither the old nor the new one.  Only an empty folder, or one that mxq wrote, is ever
 * replaced. */
#ifndef MXQ_IO_TARGET_H
#define MXQ_IO_TARGET_H

#include <limits.h>

#include "model.h"

struct mxq_target {
    char *path; /* for messages */
    int parent; /* descriptor of the folder that holds it */
    int folder; /* descriptor of the temporary folder, or -1 */
    int is_folder;
    int replace;
    mode_t mode; /* of new files */
    char name[NAME_MAX + 1];
    char temporary[NAME_MAX + 1];
};

/* Checks the place and, for a folder, makes the temporary one.  The place must not be `source`, in
 * it, or around it. */
enum mxq_io_code mxq_target_open(struct mxq_target *target, const char *path,
                                 const struct mxq_model *source, int replace,
                                 struct mxq_io_error *error);

/* Makes the complete output appear. */
enum mxq_io_code mxq_target_publish(struct mxq_target *target, struct mxq_io_error *error);

/* Removes whatever is temporary and closes; after publishing it only closes. */
void mxq_target_close(struct mxq_target *target);

/* One file that is written: the target itself, or a file in its folder. */
struct mxq_output {
    int fd;
    const char *path;
    mode_t mode;
};

/* Creates a file of about `bytes` bytes; a disk that is too full fails here, where it can tell.  In
 * a folder, `name` is its path there, and folders on the way are made. */
enum mxq_io_code mxq_output_create(struct mxq_output *output, const struct mxq_target *target,
                                   const char *name, uint64_t bytes, struct mxq_io_error *error);

/* Writes at a place; may be called by several threads at once. */
enum mxq_io_code mxq_output_write(const struct mxq_output *output, const void *data, size_t bytes,
                                  uint64_t offset, struct mxq_io_error *error);

/* Asks the system to start writing what it holds of the file, so that the end is not far. */
void mxq_output_start_writeback(const struct mxq_output *output);

/* Sets the mode, waits until all is on disk, and closes. */
enum mxq_io_code mxq_output_finish(struct mxq_output *output, struct mxq_io_error *error);
void mxq_output_close(struct mxq_output *output);

#endif
