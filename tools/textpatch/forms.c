/* SPDX-License-Identifier: MIT */
#include "forms.h"

#include <string.h>

#include "../../lib/render/render.h"
#include "../../lib/site/registry.h"
#include "../../lib/site/site.h"
#include "choices.h"
#include "report.h"

/* One site under work. */
struct collection {
    const struct image *image;
    struct site_forms *out;
    struct choices choices;
    uint32_t at;
    uint32_t room;
    bool alone; /* without what lies in it */
    struct sighting *sightings; /* one a form */
};

/* For which combinations of features a form was seen: if for all, its name is without them. */
struct sighting {
    const char *plain_name;
    unsigned sets, last_set;
};

static const struct {
    uint16_t feature;
    const char *name;
} feature_names[] = {
#define NAMED(name) {TP_FEATURE_##name, #name},
#include "feature_names.h"
#undef NAMED
};

const char *name_feature(unsigned feature) {
    const char *negation = feature & TP_DETAIL_NOT ? "not " : "";
    feature &= ~(unsigned)TP_DETAIL_NOT;
    for (unsigned i = 0; i < sizeof feature_names / sizeof *feature_names; i++)
        if (feature_names[i].feature == feature)
            return format_text("%s%s", negation, feature_names[i].name);
    if (feature >= TP_FEATURE_KERNEL(0))
        return format_text("%sKERNEL(%u)", negation, feature - TP_FEATURE_KERNEL(0));
    return format_text("%sfeature %u:%u", negation, feature / 32, feature % 32);
}

bool is_outermost(const struct image *image, uint32_t at) {
    return at < image->tables.place_count && !(image->tables.sites[at].detail & TP_DETAIL_NESTED);
}

static const char *describe_site(const struct image *image, uint32_t at) {
    const struct tp_site *site = &image->tables.sites[at];
    return format_text("%s at %s", tp_kind_text(tp_site_kind(site)),
                       describe_address(image->kernel, tp_site_address(site) - image->shift));
}

/* A site as it is drawn without what lies in it, or a whole place. */
static enum tp_status render(const struct collection *work, enum tp_view view, uint8_t *bytes, uint8_t *kind) {
    const struct tp_site *site = &work->image->tables.sites[work->at];
    struct tp_template form;
    if (!work->alone)
        return tp_render(&work->image->tables, work->at, view, bytes, kind);
    tp_render_template(site, tp_site_has_key(site) ? tp_site_key(site) : NULL, view, &form);
    *kind = form.form;
    enum tp_status status = tp_check_reach(&form, site, tp_site_address(site));
    if (status == TP_OK)
        tp_place_template(&form, tp_site_address(site), bytes);
    return status;
}

static void measure(struct form *form, const struct tp_site *site) {
    form->whole = tp_insn_walk(form->bytes, site->length, form->boundaries, &form->instruction_count) == TP_OK;
    if (tp_site_kind(site) == TP_KIND_LOCK_PREFIX)
        form->boundaries[0] = 1;
}

/* A direct call or jump of a site by itself is known by its kind: others have other targets. */
static struct form *find_form(const struct site_forms *forms, const uint8_t *bytes, unsigned kind) {
    bool any_target = kind == TP_FORM_DIRECT && tp_site_kind(forms->site) != TP_KIND_ALTERNATIVE;
    for (uint32_t i = 0; i < forms->count; i++)
        if (memcmp(forms->forms[i].bytes, bytes, forms->length) == 0 || (any_target && forms->forms[i].kind == kind))
            return &forms->forms[i];
    return NULL;
}

static struct form *add_form(struct collection *work, const uint8_t *bytes, unsigned kind, const char *name) {
    struct site_forms *out = work->out;
    if (out->count == work->room) {
        work->room = work->room ? 2 * work->room : 8;
        out->forms = grow(out->forms, out->count, work->room, sizeof *out->forms);
        work->sightings = grow(work->sightings, out->count, work->room, sizeof *work->sightings);
    }
    struct form *form = &out->forms[out->count++];
    *form = (struct form){.name = name, .kind = (uint8_t)kind, .bytes = grow(bytes, out->length, out->length, 1)};
    measure(form, out->site);
    return form;
}

/* What list_values() takes where the cell holds no function that would be called. */
static bool is_stand_in(const struct image *image, const struct tp_key *key) {
    uint64_t target = key->wanted - image->shift;
    return key->kind != TP_KEY_KIND_STATIC_KEY && target == image->text_start && tp_key_read(key) != target;
}

static void note_target(const struct collection *work, const struct tp_key *key, struct form *form) {
    for (unsigned i = 0; i < work->choices.key_count && !form->has_stand_in; i++)
        form->has_stand_in = is_stand_in(work->image, work->choices.keys[i]);
    if (form->has_stand_in)
        form->target = work->image->text_start;
    else if (form->kind == TP_FORM_DIRECT && key)
        form->target = key->wanted - work->image->shift;
}

const char *name_choice(const struct image *image, const struct tp_site *site, const struct choices *choices,
                        unsigned set, const struct tp_key *key, unsigned kind) {
    const char *name = tp_form_text(kind), *condition = describe_features(choices, set);
    bool composed = tp_site_kind(site) == TP_KIND_ALTERNATIVE;
    if (key && key->kind == TP_KEY_KIND_STATIC_KEY && composed)
        name = format_text("%s with %s %s", name, tp_key_name(key), key->wanted ? "enabled" : "disabled");
    else if (key && key->kind != TP_KEY_KIND_STATIC_KEY && (kind == TP_FORM_INLINE || kind == TP_FORM_NOP) &&
             key->wanted)
        name = format_text("%s %s", name, name_address(image->kernel, key->wanted - image->shift));
    else if (key && composed && key->wanted)
        name = format_text("%s with %s = %s", name, tp_key_name(key),
                           is_stand_in(image, key) ? "any function"
                                                   : name_address(image->kernel, key->wanted - image->shift));
    return condition ? format_text("%s, %s", name, condition) : name;
}

static const char *name_form(const struct collection *work, unsigned kind, const struct tp_key *key, unsigned set) {
    return name_choice(work->image, work->out->site, &work->choices, set, key, kind);
}

static void note_sighting(struct collection *work, const struct form *form, const struct tp_key *key, unsigned set) {
    struct sighting *sighting = &work->sightings[form - work->out->forms];
    if (!sighting->plain_name)
        sighting->plain_name = name_choice(work->image, work->out->site, &(struct choices){.keys = NULL}, 0, key, form->kind);
    else if (sighting->last_set == set)
        return;
    sighting->sets++;
    sighting->last_set = set;
}

static void add_state(struct collection *work, const struct tp_key *key, unsigned set) {
    uint8_t bytes[TP_SITE_LENGTH_MAX], kind;
    if (render(work, TP_VIEW_WANTED, bytes, &kind) != TP_OK) {
        const struct tp_error *error = tp_last_error();
        complain("%s: %s: %s (distance %ld)", describe_site(work->image, work->at), tp_status_text(error->status),
                 name_form(work, TP_FORM_DIRECT, key, set), (long)error->distance);
        return;
    }
    struct form *form = find_form(work->out, bytes, kind);
    if (!form) {
        form = add_form(work, bytes, kind, name_form(work, kind, key, set));
        note_target(work, key, form);
    }
    note_sighting(work, form, key, set);
}

/* The first form is what the linker left: "original", whatever there is. */
static void simplify_names(struct collection *work) {
    for (uint32_t i = 1; i < work->out->count; i++)
        if (work->sightings[i].sets == 1u << work->choices.feature_count)
            work->out->forms[i].name = work->sightings[i].plain_name;
}

static void vary_keys(struct collection *work, unsigned set) {
    const struct choices *choices = &work->choices;
    choose_defaults(work->image, choices);
    add_state(work, choices->key_count ? choices->keys[0] : NULL, set);
    for (unsigned i = 0; i < choices->key_count; i++) {
        unsigned count;
        const uint64_t *values = list_values(work->image, choices, choices->keys[i], &count);
        for (unsigned n = 1; n < count; n++) {
            choose_value(choices->keys[i], values[n]);
            add_state(work, choices->keys[i], set);
        }
        choose_value(choices->keys[i], values[0]);
    }
}

static struct site_forms collect(const struct image *image, uint32_t at, bool alone) {
    const struct tp_site *site = &image->tables.sites[at];
    struct site_forms out = {.site = site, .address = tp_site_address(site) - image->shift, .length = site->length};
    struct collection work = {.image = image, .out = &out, .at = at, .alone = alone};
    uint8_t bytes[TP_SITE_LENGTH_MAX], kind;
    work.choices = find_choices(image, at, !alone);
    if (render(&work, TP_VIEW_PRISTINE, bytes, &kind) == TP_OK)
        add_form(&work, bytes, kind, "original");
    else
        complain("%s: %s", describe_site(image, at), tp_status_text(tp_last_error()->status));
    for (unsigned set = 0; set < 1u << work.choices.feature_count; set++) {
        choose_features(&work.choices, set);
        vary_keys(&work, set);
    }
    simplify_names(&work);
    return out;
}

struct site_forms collect_forms(const struct image *image, uint32_t at) {
    struct site_forms *forms = &image->forms[at];
    if (!forms->site)
        *forms = collect(image, at, false);
    return *forms;
}

struct site_forms collect_own_forms(const struct image *image, uint32_t at) {
    return collect(image, at, tp_site_kind(&image->tables.sites[at]) != TP_KIND_ALTERNATIVE);
}
