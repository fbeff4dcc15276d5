/* SPDX-License-Identifier: MIT */
/*
 * What the renderers say, as text.
 *
 * Calls
 *   render_at()    the bytes of the place at an address, in a view
 *   check_render() compares them, shown, with a pattern of show.h
 *   add_patchlets() functions with inline forms: INLINED(CLI) and so on
 *   latch()        makes TP_VIEW_WANTED what the features and cells say now
 */
#ifndef TP_TEST_RENDER_H
#define TP_TEST_RENDER_H

#include "show.h"

#include "insn/encode.h"
#include "render/render.h"
#include "site/search.h"
#include "site/site.h"

/* Functions with inline forms. */
enum { CLI, SAVE, XEN, COUNTER, COUNTER_TWICE, SYSRET, PAUSE, FIFTEEN, RET0, INLINED_COUNT };

static uint64_t counter_address;

static const char *const inlined_names[INLINED_COUNT] = {
    "cli_", "save_", "xen_", "counter_", "twice_", "sysret_", "pause_", "fifteen_", "ret0_"};

static inline void add_patchlets(struct world *world) {
    counter_address = (uintptr_t)&world->tables->cells[KEYS_MAX - 1];
    name_functions();
    name_address(counter_address, "counter");
    for (unsigned i = 0; i < INLINED_COUNT; i++)
        name_address(INLINED(i), inlined_names[i]);
    add_inline(world, NONE, tp_patchlet_nop, tp_patchlet_nop_end);
    add_inline(world, INLINED(CLI), tp_patchlet_irq_disable, tp_patchlet_irq_disable_end);
    add_inline(world, INLINED(SAVE), tp_patchlet_save_fl, tp_patchlet_save_fl_end);
    add_inline(world, INLINED(SYSRET), tp_patchlet_usergs_sysret64, tp_patchlet_usergs_sysret64_end);
    add_inline(world, INLINED(PAUSE), tp_patchlet_pause, tp_patchlet_pause_end);
    add_inline(world, INLINED(RET0), tp_patchlet_ret0, tp_patchlet_ret0_end);
    add_patchlet(world, INLINED(XEN), CODE("\x65\xc6\x04\x25\x10\0\0\0\x01"));
    add_patchlet(world, INLINED(COUNTER), CODE_TO("\x48\x8b\x05\0\0\0\0", 3, 7, counter_address));
    add_patchlet(world, INLINED(COUNTER_TWICE),
                 CODE_TO("\x48\x8b\x05\0\0\0\0\x48\x01\xc0", 3, 7, counter_address));
    add_patchlet(world, INLINED(FIFTEEN), CODE("\x66\x66\x66\x66\x66\x66\x2e\x0f\x1f\x84\0\0\0\0\0"));
}

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
