/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c -- a bar with bytes, rate and time left on a terminal, else a line per file. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"

struct progress {
    const char *verb;
    int is_terminal;
    uint64_t total;
    _Atomic uint64_t done;
    uint64_t file_begin; /* done, when the file at work began */
    double file_start;
    double start;
    pthread_mutex_t lock; /* of the terminal and of `shown` */
    double shown;         /* when the bar was last drawn */
};

struct progress *progress_begin(const struct mxq_plan *plan, const char *verb)
{
    struct progress *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->verb = verb;
    p->is_terminal = isatty(STDERR_FILENO);
    p->total = plan->source_bytes + plan->amax_bytes;
    p->start = p->file_start = seconds_now();
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

#define BAR_WIDTH      30
#define DRAW_INTERVAL  0.1
#define CLEAR_LINE     "\r\033[K"
#define SECONDS_IN_DAY 86400

static void draw(const struct progress *p, uint64_t done, double time)
{
    char size[SIZE_TEXT], total[SIZE_TEXT], rate_text[SIZE_TEXT], bar[BAR_WIDTH + 1];
    const double share = p->total ? (double)done / (double)p->total : 1;
    const double rate = time > p->start ? (double)done / (time - p->start) : 0;
    const double seconds = rate > 0 ? (double)(p->total - done) / rate : 0;
    const int left = seconds < SECONDS_IN_DAY ? (int)seconds : SECONDS_IN_DAY;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(share * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, CLEAR_LINE "[%s] %3d %%  %s of %s  %s/s  %d:%02d left", bar, (int)(share * 100),
            format_size(size, done), format_size(total, p->total),
            format_size(rate_text, (uint64_t)rate), left / 60, left % 60);
}

void progress_advance(void *progress, uint64_t bytes)
{
    struct progress *p = progress;
    const uint64_t done = atomic_fetch_add(&p->done, bytes) + bytes;
    if (!p->is_terminal || pthread_mutex_trylock(&p->lock))
        return;
    const double time = seconds_now();
    if (time - p->shown >= DRAW_INTERVAL) {
        p->shown = time;
        draw(p, done, time);
    }
    pthread_mutex_unlock(&p->lock);
}

void progress_finish(void *progress, const struct mxq_plan_file *file)
{
    struct progress *p = progress;
    const double time = seconds_now();
    const uint64_t done = atomic_load(&p->done);
    if (!p->is_terminal) {
        char path[MXQ_IO_ESCAPED], from[SIZE_TEXT], to[SIZE_TEXT], rate[SIZE_TEXT];
        const double seconds = time > p->file_start ? time - p->file_start : 1e-9;
        const double bytes = (double)(done - p->file_begin);
        fprintf(stderr, "%s %s: %s", p->verb,
                mxq_io_escape(path, file->shard->path, MXQ_IO_PATH_LIMIT),
                format_size(from, file->shard->header.data_bytes));
        if (file->bytes) /* a survey writes nothing */
            fprintf(stderr, " -> %s", format_size(to, file->bytes));
        fprintf(stderr, ", %.2f s, %s/s\n", seconds,
                format_size(rate, (uint64_t)(bytes / seconds)));
    }
    p->file_begin = done;
    p->file_start = time;
}

void progress_end(struct progress *p)
{
    if (!p)
        return;
    if (p->is_terminal)
        fputs(CLEAR_LINE, stderr);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
