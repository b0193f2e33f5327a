/* SPDX-License-Identifier: Apache-2.0 */
/* main.c -- mxq-llama: the command line, and its three commands. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <pthreadpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fail.h"
#include "model.h"
#include "mxq/pthreadpool.h"
#include "sampler.h"

static const char help[] =
    "mxq-llama runs a Llama whose linear layers are MXFP8, multiplied by libmxq.\n"
    "\n"
    "Usage: mxq-llama eval MODEL --text FILE [OPTION]...\n"
    "       mxq-llama generate MODEL --prompt TEXT [OPTION]...\n"
    "       mxq-llama bench MODEL [OPTION]...\n"
    "\n"
    "eval prints the bits that the model needs per byte of a text, in windows of 513 bytes: 512\n"
    "predictions each, no overlap; what is left at the end is ignored.  generate continues a\n"
    "prompt.  bench prints tokens per second.  MODEL is a Hugging Face folder, of BF16 or F32,\n"
    "or as mxq convert writes it; for eval and generate, its tokens must be bytes.\n"
    "\n"
    "Options:\n"
    "  --weights f32|bf16|mxfp8      of the linear layers but lm_head (default: mxfp8)\n"
    "  --activations f32|bf16|mxfp8  what they are rounded to before each of these layers\n"
    "                                (default: f32 with --weights f32, else bf16)\n"
    "  --element e4m3|e5m2           of what is quantized here (default: e4m3, or as the model)\n"
    "  --scale MODE                  rule of the scales of what is quantized here: rceil\n"
    "                                (default), floor, ceil, even or ct\n"
    "  --batch N                     tokens per forward pass, at most (default: 512)\n"
    "  --threads N                   (default: one per processor)\n"
    "  --isa NAME                    instruction set: see mxq isa (default: the best)\n"
    "  --json                        print a JSON object\n"
    "  --text FILE, --windows N      eval: the text, and how much of it (default: all)\n"
    "  --prompt TEXT, --tokens N     generate: the prompt, and how many tokens to add (default:\n"
    "                                128, or what the context leaves)\n"
    "  --temperature T, --seed S     generate: at random (default: 0, the likeliest token; 0)\n"
    "  --help                        print this\n"
    "\n"
    "Neither --batch, --threads nor --isa change a digit.  With --weights f32 or bf16 the layers\n"
    "run in plain F32, to compare with.\n"
    "\n"
    "Exit status: 0 ok, 1 bad input, 2 wrong usage.\n";

#define WINDOW 512 /* predictions of a window */

struct options {
    const char *command, *folder;
    const char *weights, *activations, *element, *scale;
    const char *isa, *text, *prompt;
    size_t threads, batch, windows, tokens;
    struct sampler sampler;
    int json;
};

/* What every command works with. */
struct run {
    struct options options;
    struct checkpoint checkpoint;
    struct numbers numbers;
    pthreadpool_t pool;
    struct mxq_parallel parallel;
};

/* ------------------------------------------- Options ----------------------------------------- */

static uint64_t integer(const char *option, const char *text, uint64_t from, uint64_t to)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || value < from || value > to)
        fail(EXIT_USAGE, "--%s = %s, must be an integer from %llu to %llu", option, text,
             (unsigned long long)from, (unsigned long long)to);
    return value;
}

/* Appends to a list, "a, b, c". */
static void append(char list[256], const char *item)
{
    const size_t used = strlen(list);
    snprintf(list + used, 256 - used, "%s%s", used ? ", " : "", item);
}

/* Returns the index of a word in a list that ends in NULL; `fallback` when the word is NULL. */
static int word(const char *option, const char *text, const char *const *words, int fallback)
{
    char list[256] = "";
    if (!text)
        return fallback;
    for (int i = 0; words[i]; i++) {
        if (!strcmp(text, words[i]))
            return i;
        append(list, words[i]);
    }
    fail(EXIT_USAGE, "--%s = %s, must be one of %s", option, text, list);
}

static const struct option long_options[] = {
    {"weights", 1, NULL, 'w'},     {"activations", 1, NULL, 'a'},
    {"element", 1, NULL, 'e'},     {"scale", 1, NULL, 's'},
    {"batch", 1, NULL, 'b'},       {"threads", 1, NULL, 't'},
    {"isa", 1, NULL, 'i'},         {"json", 0, NULL, 'j'},
    {"text", 1, NULL, 'x'},        {"windows", 1, NULL, 'n'},
    {"prompt", 1, NULL, 'p'},      {"tokens", 1, NULL, 'k'},
    {"temperature", 1, NULL, 'T'}, {"seed", 1, NULL, 'S'},
    {"help", 0, NULL, 'h'},        {NULL, 0, NULL, 0}};

static void take_temperature(struct options *o, const char *text)
{
    char *end;
    o->sampler.temperature = strtod(text, &end);
    if (end == text || *end || !(o->sampler.temperature >= 0 && o->sampler.temperature <= 100))
        fail(EXIT_USAGE, "--temperature = %s, must be a number from 0 to 100", text);
}

static void take_option(struct options *o, int option, const char *value)
{
    const char **const words[] = {
        ['w'] = &o->weights, ['a'] = &o->activations, ['e'] = &o->element, ['s'] = &o->scale,
        ['i'] = &o->isa,     ['x'] = &o->text,        ['p'] = &o->prompt,  ['z'] = NULL};
    if (option < 'z' && words[option])
        *words[option] = value;
    else if (option == 'b')
        o->batch = integer("batch", value, 1, 65536);
    else if (option == 't')
        o->threads = integer("threads", value, 1, 1024);
    else if (option == 'n')
        o->windows = integer("windows", value, 1, SIZE_MAX);
    else if (option == 'k')
        o->tokens = integer("tokens", value, 1, 1 << 30);
    else if (option == 'S')
        o->sampler.state = integer("seed", value, 0, UINT64_MAX);
    else if (option == 'T')
        take_temperature(o, value);
    else if (option == 'j')
        o->json = 1;
}

static void parse_options(struct options *o, int argc, char **argv)
{
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            exit(0);
        }
        if (option == ':')
            fail(EXIT_USAGE, "%s needs a value; see mxq-llama --help", argv[optind - 1]);
        if (option == '?')
            fail(EXIT_USAGE, "unknown option %s; see mxq-llama --help", argv[optind - 1]);
        take_option(o, option, optarg);
    }
    if (argc - optind != 2)
        fail(EXIT_USAGE, "which command, and which model? see mxq-llama --help");
    o->command = argv[optind];
    o->folder = argv[optind + 1];
}

/* Settles what to compute with, by the options and the model. */
static struct numbers settle_numbers(const struct options *o, const struct checkpoint *c)
{
    static const char *const precisions[] = {"f32", "bf16", "mxfp8", NULL};
    static const char *const elements[] = {"e4m3", "e5m2", NULL};
    static const char *const modes[] = {"default", "rceil", "floor", "ceil", "even", "ct", NULL};
    int element = MXQ_E4M3;
    for (size_t i = 0; i < c->tensor_count; i++)
        if (c->tensors[i].dtype == DTYPE_F8_E5M2)
            element = MXQ_E5M2;
    struct numbers n;
    n.weights = (enum precision)word("weights", o->weights, precisions, PRECISION_MXFP8);
    n.activations =
        (enum precision)word("activations", o->activations, precisions,
                             n.weights == PRECISION_F32 ? PRECISION_F32 : PRECISION_BF16);
    n.element = (enum mxq_element)word("element", o->element, elements, element);
    n.scale_mode = (enum mxq_scale_mode)word("scale", o->scale, modes, MXQ_SCALE_RCEIL);
    if (c->is_quantized && n.weights != PRECISION_MXFP8)
        fail(EXIT_USAGE, "--weights = %s, but %s holds quantized weights", o->weights, o->folder);
    if (c->is_quantized && (int)n.element != element)
        fail(EXIT_USAGE, "--element = %s, but %s holds %s", o->element, o->folder,
             elements[element]);
    return n;
}

static void select_isa(const char *name)
{
    mxq_enable_amx(); /* a process of our own may; a refusal only means another instruction set */
    if (!name || !mxq_set_isa(name))
        return;
    char list[256] = "";
    struct mxq_isa_info info;
    for (size_t i = 0; mxq_isa_at(i, &info); i++)
        if (info.available)
            append(list, info.name);
    fail(EXIT_USAGE, "--isa = %s, not available; here are %s", name, list);
}

/* ------------------------------------------- Output ------------------------------------------ */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Prints and frees an object, with what it was computed with. */
static void print_json(const struct run *r, json_t *object)
{
    static const char *const precisions[] = {"f32", "bf16", "mxfp8"};
    json_t *run = json_pack("{s:s, s:s, s:s, s:i}", "weights", precisions[r->numbers.weights],
                            "activations", precisions[r->numbers.activations], "isa", mxq_isa(),
                            "threads", (int)pthreadpool_get_threads_count(r->pool));
    if (!object || !run || json_object_update(object, run) ||
        json_dumpf(object, stdout, JSON_REAL_PRECISION(17)))
        fail(EXIT_INPUT, "cannot write JSON");
    putchar('\n');
    json_decref(run);
    json_decref(object);
}

/* ------------------------------------------ Commands ----------------------------------------- */

static void load(struct model *m, const struct run *r, size_t positions, size_t logit_rows)
{
    const size_t batch = r->options.batch < positions ? r->options.batch : positions;
    model_load(m, &r->checkpoint, &r->numbers, &r->parallel, positions, batch,
               logit_rows < batch ? logit_rows : batch);
}

static void require_bytes(const struct run *r)
{
    if (r->checkpoint.config.vocab_size != 256)
        fail(EXIT_INPUT, "%s: its tokens are not bytes: vocab_size = %zu, expected 256",
             r->options.folder, r->checkpoint.config.vocab_size);
}

/* Returns the bits that the last WINDOW bytes of a window need. */
static double window_bits(struct model *m, const uint8_t *window)
{
    double bits = 0;
    for (size_t first = 0; first < WINDOW; first += m->batch) {
        const size_t count = WINDOW - first < m->batch ? WINDOW - first : m->batch;
        const float *logits = model_forward(m, window + first, count, first, count);
        for (size_t i = 0; i < count; i++)
            bits += surprise(logits + i * m->config.vocab_size, m->config.vocab_size,
                             window[first + i + 1]);
    }
    return bits;
}

static void eval(const struct run *r)
{
    const struct options *o = &r->options;
    if (!o->text)
        fail(EXIT_USAGE, "eval needs --text FILE");
    require_bytes(r);
    const struct mapping text = map_file(o->text);
    if (text.bytes < WINDOW + 1)
        fail(EXIT_INPUT, "%s: too short: %zu bytes, a window has %d", o->text, text.bytes,
             WINDOW + 1);
    if (r->checkpoint.config.context < WINDOW)
        fail(EXIT_INPUT, "%s: context too short: max_position_embeddings = %zu, a window has %d",
             o->folder, r->checkpoint.config.context, WINDOW);
    size_t windows = text.bytes / (WINDOW + 1);
    windows = o->windows && o->windows < windows ? o->windows : windows;
    struct model m;
    load(&m, r, WINDOW, WINDOW);
    const double begin = seconds_now();
    double bits = 0;
    for (size_t i = 0; i < windows; i++)
        bits += window_bits(&m, text.data + i * (WINDOW + 1));
    const double seconds = seconds_now() - begin, mean = bits / (double)(windows * WINDOW);
    if (o->json)
        print_json(r, json_pack("{s:f, s:I, s:I, s:f}", "bits_per_byte", mean, "windows",
                                (json_int_t)windows, "predictions", (json_int_t)(windows * WINDOW),
                                "seconds", seconds));
    else
        printf("%.5f bits per byte, %zu predictions in %zu windows of %d bytes, %.1f s\n", mean,
               windows * WINDOW, windows, WINDOW + 1, seconds);
    model_free(&m);
    unmap_file(text);
}

/* Runs a prompt in as many passes as it takes; returns the logits behind it. */
static const float *prefill(struct model *m, const uint8_t *tokens, size_t count)
{
    const float *logits = NULL;
    for (size_t first = 0; first < count; first += m->batch)
        logits = model_forward(m, tokens + first,
                               count - first < m->batch ? count - first : m->batch, first, 1);
    return logits;
}

static void generate(const struct run *r)
{
    const struct options *o = &r->options;
    if (!o->prompt || !*o->prompt)
        fail(EXIT_USAGE, "generate needs --prompt TEXT");
    require_bytes(r);
    const size_t prompt = strlen(o->prompt), context = r->checkpoint.config.context;
    const size_t left = prompt < context ? context - prompt : 0;
    const size_t tokens = o->tokens ? o->tokens : left < 128 ? left : 128;
    if (!left || tokens > left)
        fail(EXIT_USAGE, "prompt and tokens exceed the context: %zu + %zu bytes, %zu in all",
             prompt, tokens, context);
    struct model m;
    struct sampler sampler = o->sampler;
    uint8_t *text = allocate(prompt + tokens, 1);
    memcpy(text, o->prompt, prompt);
    load(&m, r, prompt + tokens, 1);
    if (!o->json)
        fwrite(text, 1, prompt, stdout);
    const float *logits = prefill(&m, text, prompt);
    json_t *added = json_array();
    for (size_t i = prompt; i < prompt + tokens; i++) {
        text[i] = (uint8_t)sampler_next(&sampler, logits, m.config.vocab_size);
        json_array_append_new(added, json_integer(text[i]));
        if (!o->json) {
            fputc(text[i], stdout);
            fflush(stdout);
        }
        if (i + 1 < prompt + tokens)
            logits = model_forward(&m, text + i, 1, i, 1);
    }
    if (o->json)
        print_json(r, json_pack("{s:O}", "tokens", added));
    else
        putchar('\n');
    json_decref(added);
    model_free(&m);
    free(text);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define RUNS 5

/* Seconds for `count` tokens from a position, in passes of `batch`: the median of some runs. */
static double measure(struct model *m, const uint8_t *tokens, size_t count, size_t position,
                      size_t batch)
{
    double seconds[1 + RUNS]; /* the first run warms up */
    for (size_t run = 0; run < 1 + RUNS; run++) {
        const double begin = seconds_now();
        for (size_t i = 0; i < count; i += batch)
            (void)model_forward(m, tokens + i, count - i < batch ? count - i : batch, position + i,
                                1);
        seconds[run] = seconds_now() - begin;
    }
    qsort(seconds + 1, RUNS, sizeof *seconds, ascending);
    return seconds[1 + RUNS / 2];
}

static void bench(const struct run *r)
{
    const size_t context = r->checkpoint.config.context;
    const size_t prompt = context < 512 ? context : 512, decoded = (prompt + 7) / 8;
    uint8_t *tokens = allocate(prompt, 1);
    for (size_t i = 0; i < prompt; i++)
        tokens[i] = (uint8_t)(i % r->checkpoint.config.vocab_size);
    struct model m;
    load(&m, r, prompt, 1);
    const double fast = (double)prompt / measure(&m, tokens, prompt, 0, m.batch);
    const double slow = (double)decoded / measure(&m, tokens, decoded, prompt - decoded, 1);
    if (r->options.json)
        print_json(r, json_pack("{s:f, s:I, s:f, s:I}", "prefill_tokens_per_second", fast,
                                "prefill_tokens", (json_int_t)prompt, "decode_tokens_per_second",
                                slow, "decode_tokens", (json_int_t)decoded));
    else
        printf("prefill %8.0f tokens per second, %zu tokens in passes of %zu\n"
               "decode  %8.0f tokens per second, %zu tokens behind %zu\n",
               fast, prompt, m.batch, slow, decoded, prompt - decoded);
    model_free(&m);
    free(tokens);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const struct run *);
    } commands[] = {{"eval", eval}, {"generate", generate}, {"bench", bench}};
    size_t command = 0;
    struct run r = {.options = {.batch = 512}};
    parse_options(&r.options, argc, argv);
    while (strcmp(commands[command].name, r.options.command))
        if (++command == sizeof commands / sizeof *commands)
            fail(EXIT_USAGE, "unknown command %s; see mxq-llama --help", r.options.command);
    select_isa(r.options.isa);
    checkpoint_open(&r.checkpoint, r.options.folder);
    r.numbers = settle_numbers(&r.options, &r.checkpoint);
    r.pool = pthreadpool_create(r.options.threads);
    if (!r.pool)
        fail(EXIT_INPUT, "cannot start threads");
    r.parallel = mxq_pthreadpool(r.pool);
    commands[command].run(&r);
    pthreadpool_destroy(r.pool);
    checkpoint_close(&r.checkpoint);
    if (fflush(stdout) || ferror(stdout))
        fail(EXIT_INPUT, "standard output: cannot write");
    return 0;
}
