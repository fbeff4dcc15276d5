/* SPDX-License-Identifier: MIT */
#include "../site/registry.h"

#include "../site/search.h"
#include "../site/site.h"

struct tp_registry tp_registry;

const struct tp_state *tp_state_of(enum tp_view view) {
    return view == TP_VIEW_APPLIED ? &tp_registry.applied : &tp_registry.latched;
}

void tp_latch_state(void) {
    tp_registry.latched = tp_registry.wanted;
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        for (uint32_t i = 0; i < image->key_count; i++) {
            image->keys[i].wanted = tp_key_read(&image->keys[i]);
            image->keys[i].noted = 0;
        }
}

void tp_latch_applied(void) {
    tp_registry.latched = tp_registry.applied;
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        for (uint32_t i = 0; i < image->key_count; i++) {
            if (!image->applied) /* no text shows it */
                image->keys[i].applied = tp_key_read(&image->keys[i]);
            image->keys[i].wanted = image->keys[i].applied;
            image->keys[i].noted = 0;
        }
}

void tp_commit_state(void) {
    tp_registry.applied = tp_registry.latched;
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        for (uint32_t i = 0; i < image->key_count; i++)
            image->keys[i].applied = image->keys[i].wanted;
}

struct tp_key *tp_find_key(uintptr_t cell) {
    for (struct tp_image *image = tp_registry.images; image; image = image->next) {
        struct tp_key *key = tp_search_keys(image, cell);
        if (key)
            return key;
    }
    return NULL;
}

struct tp_key *tp_site_key(const struct tp_site *site) {
    return tp_find_key(tp_site_cell(site));
}

const struct tp_inline *tp_find_inline(uintptr_t function) {
    for (struct tp_image *image = tp_registry.images; image; image = image->next) {
        const struct tp_inline *found = tp_search_inlines(image, function);
        if (found)
            return found;
    }
    return NULL;
}
