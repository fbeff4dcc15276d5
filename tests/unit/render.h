/* SPDX-License-Identifier: MIT */
/*
 * What the renderers say, as text.
 *
 * Calls
 *   render_at()    the bytes of the place at an address, in a view
 *   check_render() compares them, shown, with a pattern of show.h
 *   latch()        makes TP_VIEW_WANTED what the features and cells say now
 */
#ifndef TP_TEST_RENDER_H
#define TP_TEST_RENDER_H

#include "show.h"

#include "insn/encode.h"
#include "render/render.h"
#include "site/search.h"
#include "site/site.h"

struct rendered {
    uint8_t bytes[TP_SITE_LENGTH_MAX];
    uint8_t length, form;
    enum tp_status status;
};

static inline struct rendered render_at(const struct world *world, uintptr_t address, enum tp_view view) {
    struct rendered rendered = {.length = 0};
    uint32_t place = tp_search_place(&world->image, address);
    assert_true(place < world->image.place_count);
    rendered.length = world->image.sites[place].length;
    rendered.status = tp_render(&world->image, place, view, rendered.bytes, &rendered.form);
    return rendered;
}

/* What is wanted now, as a pass would latch it. */
static inline void latch(void) { tp_latch_state(); }

static inline bool renders_as(const struct world *world, uintptr_t address, enum tp_view view,
                              const char *pattern) {
    struct rendered rendered = render_at(world, address, view);
    return rendered.status == TP_OK &&
           strcmp(show(rendered.bytes, rendered.length, address), expand(pattern, rendered.length)) == 0;
}

static inline void check_render(const struct world *world, uintptr_t address, enum tp_view view,
                                unsigned form, const char *pattern) {
    struct rendered rendered = render_at(world, address, view);
    if (rendered.status != TP_OK)
        fail_msg("%s", port_log);
    assert_string_equal(show(rendered.bytes, rendered.length, address), expand(pattern, rendered.length));
    assert_string_equal(tp_form_text(rendered.form), tp_form_text(form));
}

#endif
