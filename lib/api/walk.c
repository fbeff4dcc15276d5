/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include "../insn/bytes.h"
#include "../insn/encode.h"
#include "../render/alternative.h"
#include "../render/render.h"
#include "../site/search.h"
#include "../site/site.h"

/* Everything that a template depends on. */
struct shape {
    uintptr_t cell;
    uint32_t rest; /* length, kind and detail, as they stand in the record */
};

/* What sites of one shape hold, rendered once. */
struct shared {
    struct shape shape;
    bool changes; /* the forms differ */
    struct tp_word_forms forms;
};

/* Static, as a boot stack is too small. One walk at a time: textpatch/engine.h allows one caller at a time. */
enum { SHARED = 64, RUN_MAX = 32 };
static struct shared shared_forms[SHARED];
static struct tp_word_edit edits[RUN_MAX];
static struct tp_word_forms plain_forms[RUN_MAX]; /* each of the edit with the same number */
/* One NOP in a word, by its length. */
static uint64_t nop_words[TP_WORD + 1];

/* The general way: a place with all that lies in it. */
static enum tp_status walk_place(const struct tp_walk *walk, const struct tp_image *image, uint32_t place) {
    uint8_t old_bytes[TP_SITE_LENGTH_MAX], new_bytes[TP_SITE_LENGTH_MAX], old_form, new_form;
    const struct tp_site *site = &image->sites[place];
    enum tp_status status = tp_render(image, place, tp_shown_view_of(image), old_bytes, &old_form);
    if (status == TP_OK)
        status = tp_render(image, place, walk->to, new_bytes, &new_form);
    if (status != TP_OK || !tp_bytes_differ(old_bytes, new_bytes, site->length))
        return status;
    const char *key = tp_site_has_key(site) ? tp_key_name(tp_site_key(site)) : NULL;
    const struct tp_edit edit = {tp_site_address(site), old_bytes, new_bytes, site->length, key};
    return walk->edit(walk, image, place, &edit, new_form);
}

static inline struct shape shape_of(const struct tp_site *site) {
    typedef uint32_t record_word __attribute__((may_alias));
    const uint32_t changing = (uint32_t)TP_DETAIL_CHANGING << 16; /* says nothing of the forms */
    return (struct shape){tp_site_cell(site), *(const record_word *)&site->length & ~changing};
}

static inline bool is_shape(const struct shape *left, const struct shape *right) {
    return (left->cell == right->cell) & (left->rest == right->rest);
}

/* The slots of an op table lie side by side, so none takes another's place. */
static inline struct shared *shared_for(const struct shape *shape) {
    return &shared_forms[shape->cell / sizeof(uint64_t) % SHARED];
}

/* Renders what a site's shape shares. False if the general way must be gone, to tell which site is out of reach. */
static bool render_shared(const struct tp_walk *walk, const struct tp_image *image, const struct tp_site *site,
                          struct shared *shared) {
    const struct tp_key *key = tp_site_key(site);
    struct tp_template old_form, new_form;
    tp_render_template(site, key, tp_shown_view_of(image), &old_form);
    tp_render_template(site, key, walk->to, &new_form);
    /* What reaches from both ends of the text reaches between. */
    if (!tp_template_reaches(&new_form, image->text_start) || !tp_template_reaches(&new_form, image->text_end))
        return false;
    shared->shape = shape_of(site);
    shared->forms = (struct tp_word_forms){.old_form = tp_to_word(&old_form),
                                           .new_form = tp_to_word(&new_form),
                                           .own = tp_own_bytes(site->length),
                                           .length = site->length,
                                           .new_kind = new_form.form};
    shared->changes = old_form.relative != new_form.relative || old_form.bias != new_form.bias ||
                      old_form.field != new_form.field || tp_bytes_differ(old_form.bytes, new_form.bytes, site->length);
    return true;
}

/* A plain alternative's form in a view, with its padding. */
static inline uint64_t plain_word(const struct tp_image *image, const struct tp_site *site, enum tp_view view,
                                  bool chosen) {
    const struct tp_form *original = tp_site_original(site), *replacement = tp_site_replacement(site);
    const struct tp_form *form = chosen ? replacement : original;
    const uint8_t *end = chosen ? image->replacements_end : image->originals_end;
    unsigned gap = site->length - (unsigned)form->length;
    uint64_t padding = view == TP_VIEW_PRISTINE ? UINT64_C(0x9090909090909090) & tp_own_bytes(gap) : nop_words[gap];
    /* In two steps, since nothing can be shifted by 64 in one. */
    return tp_load_word(form->bytes, form->length, end) | padding << 4 * form->length << 4 * form->length;
}

/* Alternatives that are no more than a few bytes, as most are: nothing is rendered. Whether the forms differ. */
static bool make_plain(const struct tp_walk *walk, const struct tp_image *image, const struct tp_site *site,
                       struct tp_word_forms *forms) {
    enum tp_view shown = tp_shown_view_of(image);
    bool chosen = tp_alternative_is_chosen(site, walk->to);
    uint64_t old_word = plain_word(image, site, shown, tp_alternative_is_chosen(site, shown));
    uint64_t new_word = plain_word(image, site, walk->to, chosen);
    *forms = (struct tp_word_forms){.old_form = {.bytes = old_word},
                                    .new_form = {.bytes = new_word},
                                    .own = tp_own_bytes(site->length),
                                    .length = site->length,
                                    .new_kind = chosen ? TP_FORM_REPLACEMENT : TP_FORM_ORIGINAL};
    return old_word != new_word;
}

static bool is_plain(const struct tp_site *site) {
    return tp_site_kind(site) == TP_KIND_ALTERNATIVE &&
           (site->detail & (TP_DETAIL_PLAIN | TP_DETAIL_COMPOSED)) == TP_DETAIL_PLAIN;
}

/* Branches have a target, and trampolines a key, each of their own. */
static bool is_shared(const struct tp_site *site) {
    return tp_site_kind(site) == TP_KIND_OP || tp_site_kind(site) == TP_KIND_STATIC_CALL;
}

static bool fits_word(const struct tp_image *image, const struct tp_site *site) {
    return site->length <= TP_WORD && image->text_end - tp_site_address(site) >= TP_WORD;
}

static enum tp_status give_run(const struct tp_walk *walk, struct tp_run *run) {
    enum tp_status status = run->count ? walk->run(walk, run) : TP_OK;
    run->count = 0;
    return status;
}

static inline void put_edit(struct tp_run *run, const struct tp_site *site, uint32_t place,
                            struct tp_word_forms *forms, bool changes) {
    edits[run->count] = (struct tp_word_edit){tp_site_address(site), forms, place};
    run->count += changes;
}

/* An op call or a static call. What has been put so far may refer to the forms whose place is taken here. */
static enum tp_status walk_shared(const struct tp_walk *walk, const struct tp_image *image, uint32_t place,
                                  struct tp_run *run) {
    const struct tp_site *site = &image->sites[place];
    const struct shape shape = shape_of(site);
    struct shared *shared = shared_for(&shape);
    if (!is_shape(&shared->shape, &shape)) {
        enum tp_status status = give_run(walk, run);
        if (status != TP_OK)
            return status;
        if (!render_shared(walk, image, site, shared))
            return walk_place(walk, image, place);
    }
    put_edit(run, site, place, &shared->forms, shared->changes);
    return TP_OK;
}

/* Any site: puts its edit at the end of the run, or gives it at once if it is no word. */
static enum tp_status walk_site(const struct tp_walk *walk, const struct tp_image *image, uint32_t place,
                                struct tp_run *run) {
    const struct tp_site *site = &image->sites[place];
    struct tp_word_forms *forms = &plain_forms[run->count];
    if (site->detail & TP_DETAIL_NESTED)
        return TP_OK;
    if (!fits_word(image, site))
        return walk_place(walk, image, place);
    if (is_shared(site))
        return walk_shared(walk, image, place, run);
    if (!is_plain(site))
        return walk_place(walk, image, place);
    put_edit(run, site, place, forms, make_plain(walk, image, site, forms));
    return TP_OK;
}

/*
 * Text that is in no cache comes from memory while earlier sites are worked on. No __builtin_prefetch: GCC 12 takes a
 * function that does nothing else for one without effects, and leaves it out.
 */
static inline void fetch_ahead(const struct tp_site *sites, uint32_t place, uint32_t count) {
    enum { AHEAD = 48 };
    if (place + AHEAD < count)
        __asm__ volatile("prefetcht1 %0" : : "m"(*(const uint8_t *)tp_site_address(&sites[place + AHEAD])));
}

/*
 * Puts the edits of those sites of [first, end) whose shape has been rendered, which is nearly all of them, and lists
 * the other sites; returns their number. Kinds come in no order that a CPU could foresee, so it counts instead of
 * branching: what is stored behind a list's end means nothing.
 */
static uint32_t put_known(const struct tp_image *image, uint32_t first, uint32_t end, struct tp_run *run,
                          uint32_t *others) {
    const struct tp_site *const sites = image->sites;
    const uint32_t count = image->place_count;
    uint32_t listed = 0;
    for (uint32_t place = first; place < end; place++) {
        fetch_ahead(sites, place, count);
        const struct tp_site *site = &sites[place];
        const struct shape shape = shape_of(site);
        struct shared *shared = shared_for(&shape);
        bool known = is_shape(&shared->shape, &shape);
        put_edit(run, site, place, &shared->forms, shared->changes & known);
        others[listed] = place;
        listed += !known;
    }
    return listed;
}

static enum tp_status walk_block(const struct tp_walk *walk, const struct tp_image *image, uint32_t first,
                                 uint32_t end) {
    struct tp_run run = {.image = image, .edits = edits};
    uint32_t others[RUN_MAX], count = put_known(image, first, end, &run, others);
    for (uint32_t i = 0; i < count; i++) {
        enum tp_status status = walk_site(walk, image, others[i], &run);
        if (status != TP_OK)
            return status;
    }
    return give_run(walk, &run);
}

/* Sites too near to the text's end to be words: they are the last. */
static enum tp_status walk_last(const struct tp_walk *walk, const struct tp_image *image, uint32_t first) {
    struct tp_run none = {.image = image, .edits = edits};
    enum tp_status status = TP_OK;
    for (uint32_t place = first; place < image->place_count && status == TP_OK; place++)
        status = walk_site(walk, image, place, &none);
    return status;
}

static enum tp_status walk_all(const struct tp_walk *walk, const struct tp_image *image) {
    uint32_t words = tp_search_sites(image, 0, image->place_count, image->text_end - TP_WORD + 1);
    for (uint32_t first = 0, end; first < words; first = end) {
        end = words - first < RUN_MAX ? words : first + RUN_MAX;
        enum tp_status status = walk_block(walk, image, first, end);
        if (status != TP_OK)
            return status;
    }
    return walk_last(walk, image, words);
}

/* The sites of a key may lie anywhere: their records and their text are on their way while earlier ones are worked on. */
static inline void fetch_entries_ahead(const struct tp_image *image, uint32_t at, uint32_t end) {
    enum { RECORDS_AHEAD = 24, TEXT_AHEAD = 12 };
    if (at + RECORDS_AHEAD >= end)
        return;
    const uint8_t *text = (const uint8_t *)tp_site_address(&image->sites[image->index[at + TEXT_AHEAD]]);
    __asm__ volatile("prefetcht0 %0" : : "m"(image->sites[image->index[at + RECORDS_AHEAD]]));
    __asm__ volatile("prefetcht0 %0" : : "m"(*text));
    __asm__ volatile("prefetcht0 %0" : : "m"(text[TP_WORD]));
}

/* Entries [first, end) of the index whose detail has a flag, if one is given. */
static enum tp_status walk_entries(const struct tp_walk *walk, const struct tp_image *image, uint32_t first,
                                   uint32_t end, unsigned flag) {
    struct tp_run run = {.image = image, .edits = edits};
    for (uint32_t i = first; i < end; i++) {
        uint32_t place = image->index[i];
        fetch_entries_ahead(image, i, end);
        if (place >= image->place_count || (image->sites[place].detail & flag) != flag)
            continue;
        enum tp_status status = walk_site(walk, image, place, &run);
        if (status == TP_OK && run.count == RUN_MAX)
            status = give_run(walk, &run);
        if (status != TP_OK)
            return status;
    }
    return give_run(walk, &run);
}

static enum tp_status walk_group(const struct tp_walk *walk, const struct tp_image *image, const struct tp_key *key) {
    uint32_t first, end;
    tp_search_group(image, key, &first, &end);
    return walk_entries(walk, image, first, end, 0);
}

/* The sites of keys that change, and composed alternatives, which may hold some. */
static enum tp_status walk_keys(const struct tp_walk *walk, const struct tp_image *image) {
    enum tp_status status = walk_entries(walk, image, 0, image->group_start, TP_DETAIL_COMPOSED);
    for (const struct tp_image *owner = tp_registry.images; owner; owner = owner->next) {
        const struct tp_key *const end = owner->keys + owner->key_count;
        for (const struct tp_key *key = owner->keys; key < end && status == TP_OK; key++)
            if (key->wanted != key->applied)
                status = walk_group(walk, image, key);
    }
    return status;
}

static void prepare(void) {
    for (unsigned i = 0; i < SHARED; i++)
        shared_forms[i].shape = (struct shape){0, 0};
    for (unsigned length = 1; length <= TP_WORD; length++) {
        uint8_t bytes[TP_WORD];
        tp_fill_nops(bytes, length, TP_NOP_LONGEST_MIN);
        nop_words[length] = tp_load_word(bytes, length, bytes + TP_WORD);
    }
}

enum tp_status tp_walk_image(const struct tp_walk *walk, const struct tp_image *image) {
    prepare();
    return walk->keyed ? walk_keys(walk, image) : walk_all(walk, image);
}
