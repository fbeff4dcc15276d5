/* SPDX-License-Identifier: MIT */
/*
 * Images that come and go, and pages.
 *
 *   16  an image is removed, and its memory used for something else; a #BP handler was looking at it
 *   28  a site on two pages, with a port that maps no more than it is asked for
 */
#include "bugs.h"

#include <sys/mman.h>

static struct made made;

void bug_16(void) {
    begin(&by_trap);
    make_image(&made, 0);
    code *run = make_op(&made, 61);
    must(tp_image_add(&made.image));
    must(tp_apply());
    require(run() == 1, "16: the image's site does not work");
    unsigned long syncs = silicon_seen.syncs;
    must(tp_image_remove(&made.image));
    require(silicon_seen.syncs == syncs + 1, "16: a handler may still be looking at the image");
    uint8_t *alias = silicon_alias(made.text, 128);
    memset(alias, 0x90, 128);
    must_answer(TP_ERR_UNKNOWN_KEY, tp_key_update(made_cell(&made), (uintptr_t)value_2));
    for (unsigned i = 0; i < 128; i++)
        require(alias[i] == 0x90, "16: what is not the image's any more was written to");
    make_image(&made, 0);
    run = make_op(&made, 125);
    must(tp_image_add(&made.image));
    must(tp_apply());
    must(tp_key_update(made_cell(&made), (uintptr_t)value_2));
    require(run() == 2, "16: the next image's site does not work");
    end();
}

/* ---- 28 ---- */

/* A second mapping of just these pages, with one behind them that can't be touched. */
static void *map_pages(uintptr_t address, size_t length) {
    uintptr_t first = address / MADE_PAGE * MADE_PAGE;
    size_t size = (address + length - first + MADE_PAGE - 1) / MADE_PAGE * MADE_PAGE;
    uint8_t *area = mmap(NULL, size + MADE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED ||
        mremap(silicon_alias(first, size), 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, area) == MAP_FAILED)
        die("28: no second alias");
    return area + (address - first);
}

static void unmap_pages(void *alias, size_t length) {
    uintptr_t first = (uintptr_t)alias / MADE_PAGE * MADE_PAGE;
    munmap((void *)first, ((uintptr_t)alias + length - first + MADE_PAGE - 1) / MADE_PAGE * MADE_PAGE + MADE_PAGE);
}

void bug_28(void) {
    bug_port.map_text = map_pages;
    bug_port.unmap_text = unmap_pages;
    for (unsigned before = 1; before < 6; before++) {
        begin(&by_trap);
        make_image(&made, 0);
        code *run = make_op(&made, MADE_PAGE - 4 - before);
        must(tp_image_add(&made.image));
        must(tp_apply());
        must(tp_key_update(made_cell(&made), (uintptr_t)value_2));
        require(run() == 2, "28: the site on two pages is not what it should be");
        must(tp_key_update(made_cell(&made), (uintptr_t)value_1));
        end();
    }
}
