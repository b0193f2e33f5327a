/* SPDX-License-Identifier: Apache-2.0 */
/* model.c -- loads a Llama, and runs it. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

/* Attention works on groups of rows of one head, so that a key is read once for all of them.  The
 * groups are dealt out to strands, each with memory for its scores. */
#define GROUP   8
#define STRANDS 32

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t padded_positions(const struct model *m)
{
    return panels_of(m->positions) * PANEL;
}

/* Floats of the keys, or of the values, of one head of one layer. */
static size_t keys_of_head(const struct model *m)
{
    return padded_positions(m) * m->config.head_dim;
}

static size_t values_of_head(const struct model *m)
{
    return m->positions * panels_of(m->config.head_dim) * PANEL;
}

/* ------------------------------------------- Loading ----------------------------------------- */

static void load_linear(struct linear *l, const struct checkpoint *c, size_t layer,
                        const char *name, size_t n, size_t k, const struct numbers *numbers,
                        const struct mxq_parallel *parallel)
{
    char full[128];
    snprintf(full, sizeof full, "model.layers.%zu.%s", layer, name);
    linear_load(l, c, full, n, k, numbers, parallel);
}

static float *load_vector(const struct checkpoint *c, const char *name, size_t n)
{
    const struct tensor *t = checkpoint_tensor(c, name, n, 0);
    if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_BF16)
        fail_dtype(t, "BF16 or F32");
    float *to = allocate(n, sizeof *to);
    for (size_t i = 0; i < n; i++)
        to[i] = tensor_value(t, i);
    return to;
}

static float *load_norm(const struct checkpoint *c, size_t layer, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "model.layers.%zu.%s.weight", layer, name);
    return load_vector(c, full, c->config.hidden_size);
}

static void load_layer(struct layer *to, const struct checkpoint *c, size_t i,
                       const struct numbers *numbers, const struct mxq_parallel *p)
{
    const struct config *f = &c->config;
    const size_t hidden = f->hidden_size, mlp = f->intermediate_size;
    const size_t queries = f->heads * f->head_dim, keys = f->kv_heads * f->head_dim;
    load_linear(&to->q, c, i, "self_attn.q_proj", queries, hidden, numbers, p);
    load_linear(&to->k, c, i, "self_attn.k_proj", keys, hidden, numbers, p);
    load_linear(&to->v, c, i, "self_attn.v_proj", keys, hidden, numbers, p);
    load_linear(&to->o, c, i, "self_attn.o_proj", hidden, queries, numbers, p);
    load_linear(&to->gate, c, i, "mlp.gate_proj", mlp, hidden, numbers, p);
    load_linear(&to->up, c, i, "mlp.up_proj", mlp, hidden, numbers, p);
    load_linear(&to->down, c, i, "mlp.down_proj", hidden, mlp, numbers, p);
    to->attention_norm = load_norm(c, i, "input_layernorm");
    to->mlp_norm = load_norm(c, i, "post_attention_layernorm");
}

static struct rows allocate_rows(size_t count, size_t cols)
{
    return (struct rows){allocate(count * cols, sizeof(float)), count, cols};
}

static void allocate_memory(struct model *m, size_t logit_rows)
{
    const struct config *f = &m->config;
    const size_t queries = f->heads * f->head_dim, keys = f->kv_heads * f->head_dim;
    const size_t widest = larger(larger(f->hidden_size, f->intermediate_size), queries);
    workspace_reserve(&m->work, m->batch, widest, widest);
    m->rotations = allocate(m->positions * (f->head_dim / 2), sizeof *m->rotations);
    rotations(m->rotations, m->positions, f->head_dim, f->rope_theta);
    m->keys = allocate(f->layers * f->kv_heads, keys_of_head(m) * sizeof(float));
    m->values = allocate(f->layers * f->kv_heads, values_of_head(m) * sizeof(float));
    m->scores = allocate((size_t)STRANDS * GROUP, padded_positions(m) * sizeof(float));
    m->hidden = allocate_rows(m->batch, f->hidden_size);
    m->normed = allocate_rows(m->batch, f->hidden_size);
    m->q = allocate_rows(m->batch, queries);
    m->k = allocate_rows(m->batch, keys);
    m->v = allocate_rows(m->batch, keys);
    m->attended = allocate_rows(m->batch, queries);
    m->gate = allocate_rows(m->batch, f->intermediate_size);
    m->up = allocate_rows(m->batch, f->intermediate_size);
    m->logits = allocate_rows(logit_rows, f->vocab_size);
}

void model_load(struct model *m, const struct checkpoint *c, const struct numbers *numbers,
                const struct mxq_parallel *parallel, size_t positions, size_t batch,
                size_t logit_rows)
{
    static const struct numbers f32 = {.weights = PRECISION_F32, .activations = PRECISION_F32};
    const struct config *f = &c->config;
    *m = (struct model){.config = *f, .batch = batch, .positions = positions};
    m->work.parallel = parallel;
    m->embedding = checkpoint_tensor(c, "model.embed_tokens.weight", f->vocab_size, f->hidden_size);
    if (m->embedding->dtype != DTYPE_F32 && m->embedding->dtype != DTYPE_BF16)
        fail_dtype(m->embedding, "BF16 or F32");
    linear_load(&m->head, c, f->tied ? "model.embed_tokens" : "lm_head", f->vocab_size,
                f->hidden_size, &f32, parallel);
    m->norm = load_vector(c, "model.norm.weight", f->hidden_size);
    m->layers = allocate(f->layers, sizeof *m->layers);
    for (size_t i = 0; i < f->layers; i++)
        load_layer(&m->layers[i], c, i, numbers, parallel);
    allocate_memory(m, logit_rows);
}

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->config.layers; i++) {
        struct layer *l = &m->layers[i];
        struct linear *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++)
            linear_free(all[j]);
        free(l->attention_norm);
        free(l->mlp_norm);
    }
    struct rows *rows[] = {&m->hidden,   &m->normed, &m->q,  &m->k,     &m->v,
                           &m->attended, &m->gate,   &m->up, &m->logits};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        free(rows[i]->data);
    linear_free(&m->head);
    workspace_free(&m->work);
    free(m->layers);
    free(m->norm);
    free(m->rotations);
    free(m->keys);
    free(m->values);
    free(m->scores);
}

/* --------------------------------------- The forward pass ------------------------------------ */

/* Some tokens on their way through a layer. */
struct pass {
    struct model *m;
    const uint8_t *tokens;
    size_t rows;
    size_t position; /* of the first row */
    size_t layer;
    const float *norm; /* the weights of the next norm */
};

static float *row_of(struct rows rows, size_t row)
{
    return rows.data + row * rows.stride;
}

/* Runs task(pass, row) for each row. */
static void for_each_row(struct pass *p, void (*task)(void *, size_t))
{
    const struct mxq_parallel *parallel = p->m->work.parallel;
    parallel->run(parallel->pool, p->rows, task, p);
}

static void embed_row(void *context, size_t row)
{
    const struct pass *p = context;
    const size_t n = p->m->config.hidden_size;
    for (size_t i = 0; i < n; i++)
        row_of(p->m->hidden, row)[i] = tensor_value(p->m->embedding, p->tokens[row] * n + i);
}

static void norm_row(void *context, size_t row)
{
    const struct pass *p = context;
    rms_norm(row_of(p->m->normed, row), row_of(p->m->hidden, row), p->norm,
             p->m->config.hidden_size, p->m->config.norm_eps);
}

static void swiglu_row(void *context, size_t row)
{
    const struct pass *p = context;
    swiglu(row_of(p->m->gate, row), row_of(p->m->up, row), p->m->config.intermediate_size);
}

/* Rotary embedding: element i of a head turns with element i + head_dim / 2. */
static void rotate(float *head, size_t dim, float (*const rotation)[2])
{
    const size_t half = dim / 2;
    for (size_t i = 0; i < half; i++) {
        const float a = head[i], b = head[i + half];
        head[i] = a * rotation[i][0] - b * rotation[i][1];
        head[i + half] = b * rotation[i][0] + a * rotation[i][1];
    }
}

/* Rotates a row's queries and keys, and puts its keys and values into the cache. */
static void cache_row(void *context, size_t row)
{
    const struct pass *p = context;
    const struct model *m = p->m;
    const struct config *f = &m->config;
    const size_t dim = f->head_dim, position = p->position + row;
    float(*const rotation)[2] = m->rotations + position * (dim / 2);
    for (size_t h = 0; h < f->heads; h++)
        rotate(row_of(m->q, row) + h * dim, dim, rotation);
    for (size_t h = 0; h < f->kv_heads; h++) {
        float *k = row_of(m->k, row) + h * dim, *v = row_of(m->v, row) + h * dim;
        float *keys = m->keys + (p->layer * f->kv_heads + h) * keys_of_head(m) +
                      position / PANEL * PANEL * dim + position % PANEL;
        float *values = m->values + (p->layer * f->kv_heads + h) * values_of_head(m);
        rotate(k, dim, rotation);
        for (size_t i = 0; i < dim; i++) {
            keys[i * PANEL] = k[i];
            values[(i / PANEL * m->positions + position) * PANEL + i % PANEL] = v[i];
        }
    }
}

/* softmax(q k^T / sqrt(head_dim)) v for rows first .. first + count - 1 of one head. */
static void attend(const struct pass *p, size_t head, size_t first, size_t count, float *scores)
{
    const struct model *m = p->m;
    const struct config *f = &m->config;
    const size_t dim = f->head_dim, kv_head = head / (f->heads / f->kv_heads);
    const float *keys = m->keys + (p->layer * f->kv_heads + kv_head) * keys_of_head(m);
    const float *values = m->values + (p->layer * f->kv_heads + kv_head) * values_of_head(m);
    const size_t end = p->position + first + count; /* positions that the last row sees */
    const struct rows q = {row_of(m->q, first) + head * dim, count, m->q.stride};
    struct rows s = {scores, count, padded_positions(m)};
    struct rows y = {row_of(m->attended, first) + head * dim, count, m->attended.stride};
    for (size_t i = 0; i < panels_of(end); i++) {
        multiply_panel(s, PANEL, q, dim, keys + i * PANEL * dim, 0);
        s.data += PANEL;
    }
    s.data = scores;
    for (size_t r = 0; r < count; r++) {
        const size_t seen = p->position + first + r + 1;
        softmax(row_of(s, r), seen, (float)(1 / sqrt((double)dim)));
        /* What a row does not see has weight 0, and adding 0 changes no sum. */
        memset(row_of(s, r) + seen, 0, (end - seen) * sizeof(float));
    }
    for (size_t i = 0; i < dim; i += PANEL) {
        multiply_panel(y, smaller(dim - i, PANEL), s, end, values + i * m->positions, 0);
        y.data += PANEL;
    }
}

static void attend_strand(void *context, size_t strand)
{
    const struct pass *p = context;
    const size_t groups = (p->rows + GROUP - 1) / GROUP;
    float *scores = p->m->scores + strand * GROUP * padded_positions(p->m);
    for (size_t i = strand; i < p->m->config.heads * groups; i += STRANDS) {
        const size_t first = i % groups * GROUP;
        attend(p, i / groups, first, smaller(p->rows - first, GROUP), scores);
    }
}

static void run_layer(struct pass *p, const struct layer *l)
{
    const struct model *m = p->m;
    const struct mxq_parallel *parallel = m->work.parallel;
    p->norm = l->attention_norm;
    for_each_row(p, norm_row);
    linear_apply(&l->q, m->q, m->normed, 0, &m->work);
    linear_apply(&l->k, m->k, m->normed, 0, &m->work);
    linear_apply(&l->v, m->v, m->normed, 0, &m->work);
    for_each_row(p, cache_row);
    parallel->run(parallel->pool, STRANDS, attend_strand, p);
    linear_apply(&l->o, m->hidden, m->attended, 1, &m->work);
    p->norm = l->mlp_norm;
    for_each_row(p, norm_row);
    linear_apply(&l->gate, m->gate, m->normed, 0, &m->work);
    linear_apply(&l->up, m->up, m->normed, 0, &m->work);
    for_each_row(p, swiglu_row);
    linear_apply(&l->down, m->hidden, m->gate, 1, &m->work);
}

const float *model_forward(struct model *m, const uint8_t *tokens, size_t count, size_t position,
                           size_t logit_rows)
{
    struct pass p = {.m = m, .tokens = tokens, .rows = count, .position = position};
    struct rows *batch[] = {&m->hidden, &m->normed,   &m->q,    &m->k,
                            &m->v,      &m->attended, &m->gate, &m->up};
    for (size_t i = 0; i < sizeof batch / sizeof *batch; i++)
        batch[i]->count = count;
    for_each_row(&p, embed_row);
    for (; p.layer < m->config.layers; p.layer++)
        run_layer(&p, &m->layers[p.layer]);
    p.norm = m->norm;
    for_each_row(&p, norm_row);
    m->logits.count = logit_rows;
    const struct rows last = {row_of(m->normed, count - logit_rows), logit_rows, m->normed.stride};
    if (logit_rows)
        linear_apply(&m->head, m->logits, last, 0, &m->work);
    return m->logits.data;
}
