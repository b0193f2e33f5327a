/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan.c -- which tensors are quantized, and that no failed allocation goes unnoticed. */
#include "plan.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "convert.h"
#include "survey.h"
#include "verify.h"
#include "workers.h"

/* ----------------------------------------- Decisions ------------------------------------------ */

static enum mxq_decision decide(const char *name, unsigned dims, uint64_t rows, uint64_t cols,
                                enum mxq_dtype dtype, const struct mxq_convert_options *options)
{
    const struct mxq_tensor tensor = {.name = name,
                                      .dims = dims,
                                      .shape = {rows, cols, 1},
                                      .elements = rows * cols,
                                      .dtype = dtype};
    enum mxq_type type;
    return mxq_decide(&tensor, options, &type);
}

static void names_decide(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum mxq_decision decision;
    } rows[] = {
        {"model.layers.0.self_attn.q_proj.weight", MXQ_QUANTIZE},
        {"model.layers.0.mlp.gate_proj.weight", MXQ_QUANTIZE},
        {"model.layers.0.mlp.experts.3.w1.weight", MXQ_QUANTIZE},
        {"model.layers.0.mlp.shared_expert.up_proj.weight", MXQ_QUANTIZE},
        {"bert.encoder.layer.0.attention.output.dense.weight", MXQ_QUANTIZE},
        {"h.0.attn.c_attn.weight", MXQ_QUANTIZE},
        {"weight", MXQ_KEEP_OTHER},
        {"model.layers.0.self_attn.q_proj.bias", MXQ_KEEP_BIAS},
        {"model.layers.0.mlp.gate.e_score_correction_bias", MXQ_KEEP_BIAS},
        {"model.layers.0.mixer.A_log", MXQ_KEEP_OTHER},
        {"model.layers.0.mlp.experts.gate_up_proj", MXQ_KEEP_OTHER},
        {"model.layers.0.input_layernorm.weight", MXQ_KEEP_NORM},
        {"model.layers.0.self_attn.q_norm.weight", MXQ_KEEP_NORM},
        {"model.norm.weight", MXQ_KEEP_NORM},
        {"h.0.ln_1.weight", MXQ_KEEP_NORM},
        {"encoder.layer.0.output.LayerNorm.weight", MXQ_QUANTIZE}, /* a vector in real files */
        {"model.embed_tokens.weight", MXQ_KEEP_EMBEDDING},
        {"bert.embeddings.word_embeddings.weight", MXQ_KEEP_EMBEDDING},
        {"tok_embeddings.weight", MXQ_KEEP_EMBEDDING},
        {"wte.weight", MXQ_KEEP_EMBEDDING},
        {"transformer.wpe.weight", MXQ_KEEP_EMBEDDING},
        {"shared.weight", MXQ_KEEP_EMBEDDING},
        {"model.layers.0.shared.weight", MXQ_QUANTIZE},
        {"model.layers.61.eh_proj.weight", MXQ_KEEP_EMBEDDING},
        {"lm_head.weight", MXQ_KEEP_HEAD},
        {"language_model.lm_head.weight", MXQ_KEEP_HEAD},
        {"output.weight", MXQ_KEEP_HEAD},
        {"score.weight", MXQ_KEEP_HEAD},
        {"gpt_neox.embed_out.weight", MXQ_KEEP_HEAD},
        {"model.layers.0.mlp.gate.weight", MXQ_KEEP_ROUTER},
        {"model.layers.0.block_sparse_moe.gate.weight", MXQ_KEEP_ROUTER},
        {"model.layers.0.mlp.shared_expert_gate.weight", MXQ_KEEP_ROUTER},
        {"model.layers.0.mlp.router.weight", MXQ_KEEP_ROUTER},
        {"model.layers.0.mlp.router.layer.weight", MXQ_KEEP_ROUTER},
        {"..weight", MXQ_QUANTIZE},
    };
    struct mxq_convert_options options;
    assert_true(mxq_convert_options_init(&options));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const enum mxq_decision got = decide(rows[i].name, 2, 64, 64, MXQ_DTYPE_BF16, &options);
        if (got != rows[i].decision)
            fail_msg("%s: %s, expected %s", rows[i].name, mxq_decision_key(got),
                     mxq_decision_key(rows[i].decision));
    }
    mxq_convert_options_free(&options);
}

static void shapes_types_and_globs_decide(void **state)
{
    (void)state;
    static const char name[] = "a.up_proj.weight";
    struct mxq_convert_options o;
    assert_true(mxq_convert_options_init(&o));
    assert_int_equal(decide(name, 1, 64, 1, MXQ_DTYPE_F32, &o), MXQ_KEEP_RANK);
    assert_int_equal(decide(name, 3, 64, 64, MXQ_DTYPE_F32, &o), MXQ_KEEP_RANK);
    assert_int_equal(decide(name, 2, 64, 48, MXQ_DTYPE_F32, &o), MXQ_KEEP_ROW_LENGTH);
    assert_int_equal(decide(name, 2, 0, 64, MXQ_DTYPE_F32, &o), MXQ_KEEP_EMPTY);
    assert_int_equal(decide(name, 2, 1, 32, MXQ_DTYPE_F64, &o), MXQ_KEEP_DTYPE);
    assert_int_equal(decide(name, 2, 1, 32, MXQ_DTYPE_I8, &o), MXQ_KEEP_DTYPE);
    assert_int_equal(decide(name, 2, 1, 32, MXQ_DTYPE_F16, &o), MXQ_QUANTIZE);
    assert_true(mxq_find_format("nvfp4", &o.format));
    assert_int_equal(decide(name, 2, 64, 48, MXQ_DTYPE_F32, &o), MXQ_QUANTIZE);
    assert_int_equal(decide(name, 2, 64, 40, MXQ_DTYPE_F32, &o), MXQ_KEEP_ROW_LENGTH);
    assert_true(mxq_find_format("fp8-channel", &o.format));
    assert_int_equal(decide(name, 2, 64, 41, MXQ_DTYPE_F32, &o), MXQ_QUANTIZE);
    assert_true(mxq_find_format("fp8-block", &o.format));
    assert_int_equal(decide(name, 2, 65, 41, MXQ_DTYPE_F32, &o), MXQ_QUANTIZE);
    assert_true(mxq_find_format("mxfp8", &o.format));
    assert_true(mxq_globs_add(&o.only, "*up_proj*"));
    assert_int_equal(decide(name, 2, 1, 32, MXQ_DTYPE_F16, &o), MXQ_QUANTIZE);
    assert_int_equal(decide("a.b.weight", 2, 1, 32, MXQ_DTYPE_F16, &o), MXQ_KEEP_ONLY);
    assert_true(mxq_globs_add(&o.skip, "a.*"));
    assert_int_equal(decide(name, 2, 1, 32, MXQ_DTYPE_F16, &o), MXQ_KEEP_SKIP);
    mxq_convert_options_free(&o);
}

static void quantized_inputs_are_recognised(void **state)
{
    (void)state;
    const struct mxq_tensor fp8 = {.name = "a.weight", .dtype = MXQ_DTYPE_F8_E4M3};
    const struct mxq_tensor scale = {.name = "a.weight_scale_inv", .dtype = MXQ_DTYPE_F32};
    const struct mxq_tensor plain = {.name = "a.weight", .dtype = MXQ_DTYPE_BF16};
    const struct mxq_tensor mask = {.name = "a.mask", .dtype = MXQ_DTYPE_BOOL};
    assert_true(mxq_is_quantized(&fp8));
    assert_true(mxq_is_quantized(&scale));
    assert_false(mxq_is_quantized(&plain));
    assert_false(mxq_is_quantized(&mask));
}

static void options_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct mxq_convert_options o, again;
    struct mxq_io_error error;
    struct mxq_text json = {0};
    assert_true(mxq_convert_options_init(&o));
    assert_true(mxq_find_format("mxfp8-e5m2", &o.format));
    o.scale_mode = MXQ_SCALE_EVEN;
    o.rounding = MXQ_STOCHASTIC;
    o.seed = MXQ_MAX_SEED;
    o.nonfinite = MXQ_NONFINITE_NAN;
    assert_true(mxq_globs_add(&o.skip, "a\"\\*\x01") && mxq_globs_add(&o.skip, "b"));
    mxq_convert_options_write(&o, &json);
    assert_int_equal(mxq_convert_options_read(&again, json.data, "9.9", "x", &error), MXQ_IO_OK);
    assert_int_equal(again.format.format.element, MXQ_E5M2);
    assert_int_equal(again.scale_mode, MXQ_SCALE_EVEN);
    assert_int_equal(again.rounding, MXQ_STOCHASTIC);
    assert_true(again.seed == MXQ_MAX_SEED);
    assert_int_equal(again.nonfinite, MXQ_NONFINITE_NAN);
    assert_int_equal(again.skip.count, 2);
    assert_string_equal(again.skip.items[0], "a\"\\*\x01");
    assert_int_equal(again.only.count, 0);
    assert_string_equal(again.version, "9.9");
    mxq_convert_options_free(&again);
#define SCALES "\"scale\":\"rceil\",\"round\":\"nearest-even\","
#define REST   "\"nonfinite\":\"nan\",\"skip\":[],\"only\":[]}"
    static const char *const good[] = {"{\"format\":\"mxfp8\"," SCALES REST,
                                       "{\"format\":\"mxfp8\",\"profile\":\"ocp\"," REST};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(mxq_convert_options_read(&again, good[i], "1", "x", &error), MXQ_IO_OK);
        mxq_convert_options_free(&again);
    }
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"format\":\"mxfp8\"}",
        "{\"format\":\"mxfp9\"," SCALES REST,
        "{\"format\":\"nvfp4\"," SCALES REST,
        "{\"format\":\"mxfp8\"," SCALES "\"seed\":1," REST,
        "{\"format\":\"mxfp8\",\"profile\":\"ggml\"," REST,
        "{\"format\":\"mxfp8\",\"profile\":\"ocp\"," SCALES REST,
        "{\"format\":\"mxfp8\"," SCALES "\"nonfinite\":\"nan\",\"skip\":[1],\"only\":[]}",
        "{\"format\":\"mxfp8\"," SCALES "\"more\":1," REST,
        "{\"format\":\"mxfp8\",\"scale\":\"rceil\",\"round\":\"stochastic\",\"seed\":-1," REST};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(mxq_convert_options_read(&again, bad[i], "1", "x", &error),
                         MXQ_IO_NOT_CONVERTED);
    mxq_convert_options_free(&o);
    mxq_text_free(&json);
}

/* ------------------------------------ Memory that runs out ------------------------------------ */

/* The linker sends every allocation of the file layer here (-Wl,--wrap). */
static long allocations_left = -1; /* -1: no limit */

static int may_allocate(void)
{
    return allocations_left < 0 || allocations_left-- > 0;
}

#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (allocations_left == 0)                                                                 \
            return NULL;                                                                           \
        return may_allocate() ? __real_##name arguments : NULL;                                    \
    }
WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))

static const char *source_path; /* a model folder */
static const char *format_name; /* what it is converted to; NULL: what a survey chooses */
static const char *only;        /* which tensors are quantized; NULL: all */
static struct mxq_workers workers = {NULL, 1};

static enum mxq_io_code choose_all(struct mxq_convert_options *options,
                                   const struct mxq_model *model, struct mxq_io_error *error)
{
    static const struct mxq_monitor monitor = {0};
    struct mxq_survey survey;
    assert_true(mxq_find_formats("mxfp4,nvfp4,mxfp6-e2m3", &options->candidates));
    options->min_sqnr = 20.42;
    enum mxq_io_code code = mxq_survey_begin(&survey, model, options, error);
    if (code)
        return code;
    code = mxq_survey_run(&survey, model, options, &workers, &monitor, error);
    if (!code)
        code = mxq_survey_choose(&survey, options, error);
    mxq_survey_end(&survey);
    return code;
}

static enum mxq_io_code convert_all(const char *output, struct mxq_io_error *error)
{
    static const struct mxq_monitor monitor = {0};
    struct mxq_convert_options options;
    struct mxq_model model;
    struct mxq_plan plan;
    struct mxq_target target;
    if (!mxq_convert_options_init(&options))
        return mxq_io_fail_memory(error, NULL);
    if (format_name)
        assert_true(mxq_find_format(format_name, &options.format));
    if (only && !mxq_globs_add(&options.only, only)) {
        mxq_convert_options_free(&options);
        return mxq_io_fail_memory(error, NULL);
    }
    enum mxq_io_code code = mxq_model_open(&model, source_path, error);
    if (!code) {
        if (!format_name)
            code = choose_all(&options, &model, error);
        if (!code)
            code = mxq_plan_make(&plan, &model, &options, error);
        if (!code) {
            code = mxq_target_open(&target, output, &model, 0, error);
            if (!code)
                code = mxq_convert(&model, &plan, &options, &target, &workers, &monitor, error);
            if (!code || target.parent >= 0)
                mxq_target_close(&target);
            mxq_plan_free(&plan);
        }
        mxq_model_close(&model);
    }
    mxq_convert_options_free(&options);
    return code;
}

static enum mxq_io_code verify_all(const char *output, struct mxq_io_error *error)
{
    static const struct mxq_monitor monitor = {0};
    struct mxq_model source, converted;
    struct mxq_verification v;
    enum mxq_io_code code = mxq_model_open(&source, source_path, error);
    if (code)
        return code;
    code = mxq_model_open(&converted, output, error);
    if (!code) {
        code = mxq_verification_begin(&v, &source, &converted, error);
        if (!code) {
            code = mxq_verification_run(&v, &source, &converted, &workers, &monitor, error);
            if (!code)
                assert_int_equal(v.differences, 0);
            mxq_verification_end(&v);
        }
        mxq_model_close(&converted);
    }
    mxq_model_close(&source);
    return code;
}

/* Lets the first allocation fail, then the second, and so on, until all is well. */
static void fail_each_allocation(enum mxq_io_code (*run)(const char *output,
                                                         struct mxq_io_error *error),
                                 const char *output)
{
    long n = 0;
    for (;; n++) {
        struct mxq_io_error error;
        allocations_left = n;
        const enum mxq_io_code code = run(output, &error);
        const int ran_out = allocations_left == 0;
        allocations_left = -1;
        if (!code && !ran_out)
            break;
        if (code && code != MXQ_IO_NO_MEMORY)
            fail_msg("allocation %ld: %s: %s", n, mxq_io_code_name(code), error.message);
        if (code && run == convert_all)
            assert_int_not_equal(access(output, F_OK), 0);
        if (!code) /* the last one that was allowed was the last one there is */
            break;
    }
    assert_true(n > 100);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const char *const formats[] = {"mxfp8", "nvfp4", "fp8-block", NULL};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char folder[] = "/tmp/mxq-test-XXXXXX";
        char output[64], command[128];
        format_name = formats[i];
        only = i ? "*.layers.[01].self_attn.*" : NULL; /* it takes long enough */
        assert_non_null(mkdtemp(folder));
        snprintf(output, sizeof output, "%s/out", folder);
        fail_each_allocation(convert_all, output);
        fail_each_allocation(verify_all, output);
        snprintf(command, sizeof command, "ls -A %s | grep -vx out; rm -r %s", folder, folder);
        assert_int_equal(system(command), 0);
    }
}

/* --------------------------------- Threads, races, surprises ---------------------------------- */

/* A source and a target in a folder of their own, ready to convert. */
struct job {
    char folder[32];
    char source[64];
    char output[64];
    struct mxq_convert_options options;
    struct mxq_model model;
    struct mxq_plan plan;
    struct mxq_target target;
    struct mxq_io_error error;
};

/* Copies the model's file, or the whole folder, and opens the target. */
static void begin_job(struct job *job, int is_folder)
{
    char command[256];
    memset(job, 0, sizeof *job);
    strcpy(job->folder, "/tmp/mxq-test-XXXXXX");
    assert_non_null(mkdtemp(job->folder));
    snprintf(job->source, sizeof job->source, "%s/source", job->folder);
    snprintf(job->output, sizeof job->output, "%s/out", job->folder);
    snprintf(command, sizeof command, "cp -r %s%s %s", source_path,
             is_folder ? "" : "/model.safetensors", job->source);
    assert_int_equal(system(command), 0);
    assert_true(mxq_convert_options_init(&job->options));
    assert_int_equal(mxq_model_open(&job->model, job->source, &job->error), MXQ_IO_OK);
    assert_int_equal(mxq_plan_make(&job->plan, &job->model, &job->options, &job->error), MXQ_IO_OK);
    assert_int_equal(mxq_target_open(&job->target, job->output, &job->model, 0, &job->error),
                     MXQ_IO_OK);
}

static enum mxq_io_code run_job(struct job *job, const struct mxq_monitor *monitor)
{
    return mxq_convert(&job->model, &job->plan, &job->options, &job->target, &workers, monitor,
                       &job->error);
}

/* Ends it, and expects these entries in its folder, sorted. */
static void end_job(struct job *job, const char *entries)
{
    char command[256];
    mxq_target_close(&job->target);
    mxq_plan_free(&job->plan);
    mxq_model_close(&job->model);
    mxq_convert_options_free(&job->options);
    snprintf(command, sizeof command, "test \"$(ls -A %s | tr '\\n' ' ')\" = '%s '", job->folder,
             entries);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "rm -r %s", job->folder);
    assert_int_equal(system(command), 0);
}

static struct workers seven_threads = {.threads = 7, .seed = 1};

/* For ThreadSanitizer, too, which cannot look into a pool that it was not built with. */
static void threads_convert_and_verify(void **state)
{
    (void)state;
    const struct mxq_parallel parallel = workers_parallel(&seven_threads);
    const struct mxq_monitor monitor = {0};
    struct job job;
    workers = (struct mxq_workers){&parallel, 7};
    begin_job(&job, 1);
    assert_int_equal(run_job(&job, &monitor), MXQ_IO_OK);
    assert_int_equal(verify_all(job.output, &job.error), MXQ_IO_OK);
    end_job(&job, "out source");
    workers = (struct mxq_workers){NULL, 1};
}

/* Every chunk from the fourth on fails, the one that `context` points to last. */
static enum mxq_io_code fail_late(void *context, const struct mxq_chunk *chunk, void *scratch,
                                  struct mxq_io_error *error)
{
    const uint64_t *last = context;
    (void)scratch;
    if (chunk->index < 3)
        return MXQ_IO_OK;
    if (chunk->index == *last)
        usleep(100000);
    return mxq_io_fail(error, MXQ_IO_NONFINITE, (struct mxq_io_place){NULL, chunk->index, NULL},
                       "chunk");
}

static void the_first_failure_is_returned(void **state)
{
    (void)state;
    const struct mxq_parallel parallel = workers_parallel(&seven_threads);
    const struct mxq_workers seven = {&parallel, 7};
    const struct mxq_monitor monitor = {0};
    struct job job;
    begin_job(&job, 0);
    for (uint64_t last = 3; last < 5; last++) {
        const struct mxq_sweep sweep = {
            .file = &job.plan.files[0], .visit = fail_late, .context = &last};
        const enum mxq_io_code code = mxq_sweep(&sweep, &seven, &monitor, &job.error);
        assert_int_equal(code, MXQ_IO_NONFINITE);
        assert_int_equal(job.error.at, 3);
    }
    end_job(&job, "source");
}

/* What appears while the conversion runs is not replaced. */
static void nothing_is_replaced_unasked(void **state)
{
    (void)state;
    const struct mxq_monitor monitor = {0};
    for (int is_folder = 0; is_folder < 2; is_folder++) {
        struct job job;
        char command[128];
        begin_job(&job, is_folder);
        snprintf(command, sizeof command, "echo precious > %s", job.output);
        assert_int_equal(system(command), 0);
        assert_int_equal(run_job(&job, &monitor), MXQ_IO_EXISTS);
        snprintf(command, sizeof command, "grep -q precious %s", job.output);
        assert_int_equal(system(command), 0);
        end_job(&job, "out source");
    }
    struct job job;
    begin_job(&job, 0);
    char path[512];
    snprintf(path, sizeof path, "%s/%s", job.folder, job.target.temporary);
    assert_int_equal(close(open(path, O_CREAT | O_EXCL, 0600)), 0);
    assert_int_equal(run_job(&job, &monitor), MXQ_IO_SYSTEM);
    end_job(&job, "source");
}

static void touch(void *context, uint64_t bytes)
{
    const struct job *job = context;
    static const struct timespec times[2] = {{1, 0}, {1, 0}};
    (void)bytes;
    assert_int_equal(utimensat(AT_FDCWD, job->source, times, 0), 0);
}

static void a_source_that_changes_is_noticed(void **state)
{
    (void)state;
    const struct mxq_monitor quiet = {0};
    struct job job;
    begin_job(&job, 0);
    const struct mxq_monitor monitor = {.advance = touch, .context = &job};
    assert_int_equal(run_job(&job, &monitor), MXQ_IO_INPUT_CHANGED);
    end_job(&job, "source");
    begin_job(&job, 0);
    touch(&job, 0);
    assert_int_equal(run_job(&job, &quiet), MXQ_IO_INPUT_CHANGED);
    end_job(&job, "source");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_decide),
        cmocka_unit_test(shapes_types_and_globs_decide),
        cmocka_unit_test(quantized_inputs_are_recognised),
        cmocka_unit_test(options_are_read_as_they_are_written),
        cmocka_unit_test(every_failed_allocation_is_reported),
        cmocka_unit_test(threads_convert_and_verify),
        cmocka_unit_test(the_first_failure_is_returned),
        cmocka_unit_test(nothing_is_replaced_unasked),
        cmocka_unit_test(a_source_that_changes_is_noticed),
    };
    if (argc != 2)
        return 2;
    source_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
