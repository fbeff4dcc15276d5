/* SPDX-License-Identifier: MIT */
/*
 * The pass while every CPU runs: docs/protocol.md, whose numbers these are.
 *
 *   1.  check       every edit of every image against the text; classes; any error ends here, nothing has been changed
 *   2.  map         what will be written, as aliases
 *   3.  new images  that nobody runs yet, by the boot writer
 *   4.  expect      int3 bytes: the handler is told
 *   5.  set         the cells
 *   6.1 int3        on the first byte of each site of the class trap
 *   6.2 sync
 *   6.3 tail        of these
 *   6.4 sync
 *   7.  first       bytes of these; sites of the class store, whole
 *   8.  sync
 *   8.1 settle      no int3 is expected any more, records forget theirs
 *   9.  stopped     sites of the class rendezvous
 *   10. end         aliases are given back, the state is noted
 *
 *   A step that a silent or busy CPU ends can be repeated: sync again, or stop again. Until then the text is what the
 *   handler knows how to deal with. Text that does not take what is written is noticed where the first of it is written,
 *   and all is undone; if it is noticed later, the pass goes on to its end and says so.
 */
#include "../api/pass.h"

#include "../commit/breakpoint.h"
#include "../commit/live.h"
#include "../port.h"
#include "../report.h"
#include "../root.h"
#include "../site/site.h"

/* How often stopping is tried while some CPU is found inside a site. */
enum { STOPS_MAX = 10000 };

static struct pass {
    struct tp_walk walk;
    struct tp_live live;
    unsigned next; /* of steps[] */
    bool stuck;
    bool wrote_new_images;
} pass;

static enum tp_status live_edit(const struct tp_walk *walk, const struct tp_image *image, uint32_t place,
                                const struct tp_edit *edit, uint8_t new_form) {
    (void)new_form;
    return tp_live_edit(walk->argument, &image->sites[place], edit);
}

static enum tp_status live_run(const struct tp_walk *walk, const struct tp_run *run) {
    return tp_live_run(walk->argument, run);
}

static enum tp_status walk_live(const struct tp_image *image, enum tp_live_step step) {
    pass.live.step = step;
    pass.live.to_alias = (uintptr_t)image->alias - image->edit_start;
    pass.walk.edit = live_edit;
    pass.walk.run = live_run;
    pass.walk.argument = &pass.live;
    return tp_walk_image(&pass.walk, image);
}

/* All images that have something to write. */
static enum tp_status walk_mapped(enum tp_live_step step) {
    enum tp_status status = TP_OK;
    for (const struct tp_image *image = tp_registry.images; image && status == TP_OK; image = image->next)
        if (image->alias)
            status = walk_live(image, step);
    return status;
}

static bool is_live(const struct tp_image *image) {
    return !image->fresh && tp_takes_part(&pass.walk, image);
}

static bool is_new(const struct tp_image *image) {
    return image->fresh && tp_takes_part(&pass.walk, image);
}

static enum tp_status check_image(struct tp_image *image) {
    if (is_new(image))
        return tp_boot_check(&pass.walk, image);
    if (!is_live(image))
        return TP_OK;
    pass.live.start = UINTPTR_MAX;
    pass.live.end = 0;
    enum tp_status status = walk_live(image, TP_LIVE_CHECK);
    image->edit_start = pass.live.start;
    image->edit_end = pass.live.end;
    return status;
}

static enum tp_status check(void) {
    enum tp_status status = TP_OK;
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        image->edit_start = image->edit_end = 0;
    for (struct tp_image *image = tp_registry.images; image && status == TP_OK; image = image->next)
        status = check_image(image);
    if (status == TP_OK && pass.live.counts[TP_CLASS_RENDEZVOUS] && !tp_port()->stop_cpus)
        return tp_fail(&(struct tp_error){.status = TP_ERR_PORT_HOOK_MISSING, .hook = "stop_cpus"});
    return status;
}

static void unmap(void) {
    for (struct tp_image *image = tp_registry.images; image; image = image->next) {
        if (image->alias)
            tp_port()->unmap_text(image->alias, image->edit_end - image->edit_start);
        image->alias = NULL;
    }
}

static enum tp_status map_image(struct tp_image *image) {
    if (image->edit_start >= image->edit_end)
        return TP_OK;
    image->alias = tp_port()->map_text(image->edit_start, image->edit_end - image->edit_start);
    return image->alias ? TP_OK
                        : tp_fail(&(struct tp_error){
                              .status = TP_ERR_MAP_FAILED, .image = image->name, .site = image->edit_start});
}

static enum tp_status map(void) {
    enum tp_status status = TP_OK;
    for (struct tp_image *image = tp_registry.images; image && status == TP_OK; image = image->next)
        status = map_image(image);
    if (status != TP_OK)
        unmap();
    return status;
}

static void undo_new_images(void) {
    for (const struct tp_image *image = tp_registry.images; image; image = image->next)
        if (is_new(image))
            tp_boot_undo(&pass.walk, image);
}

static enum tp_status write_new_images(void) {
    enum tp_status status = TP_OK;
    for (const struct tp_image *image = tp_registry.images; image && status == TP_OK; image = image->next) {
        if (!is_new(image))
            continue;
        pass.wrote_new_images = true;
        status = tp_boot_write(&pass.walk, image);
    }
    if (status != TP_OK) {
        undo_new_images();
        unmap();
    }
    return status;
}

static enum tp_status expect(void) {
    tp_trace_step(TP_STEP_BEGIN);
    tp_expect_breakpoints();
    return TP_OK;
}

static enum tp_status set(void) {
    tp_set_cells();
    tp_trace_step(TP_STEP_SET);
    return TP_OK;
}

static bool any_trap(void) {
    return pass.live.counts[TP_CLASS_TRAP] != 0;
}

/* In this order: who is late with an int3 finds another number before the record forgets it. */
static void settle_all(void) {
    tp_expect_no_breakpoints();
    (void)!walk_mapped(TP_LIVE_FORGET); /* finds what it found before: it can't fail */
}

/* The text is as before; what others report meanwhile is not what ended the pass. A CPU that is silent is passed over. */
static enum tp_status undo_rest(const struct tp_error *ended_by) {
    const struct tp_error error = *ended_by;
    tp_reset_cells();
    (void)!tp_sync_cpus();
    settle_all();
    undo_new_images();
    unmap();
    tp_keep_error(&error);
    return error.status;
}

static enum tp_status undo(const struct tp_error *ended_by) {
    const struct tp_error error = *ended_by;
    (void)!walk_mapped(TP_LIVE_RESTORE);
    return undo_rest(&error);
}

static enum tp_status write_int3s(void) {
    enum tp_status status = any_trap() ? walk_mapped(TP_LIVE_INT3) : TP_OK;
    return status == TP_OK ? TP_OK : undo(tp_last_error());
}

static enum tp_status sync_if(bool needed, enum tp_step step) {
    enum tp_status status = needed ? tp_sync_cpus() : TP_OK;
    if (needed && status == TP_OK)
        tp_trace_step(step);
    return status;
}

static enum tp_status sync_int3s(void) {
    return sync_if(any_trap(), TP_STEP_SYNC_INT3);
}

static enum tp_status write_tails(void) {
    return any_trap() ? walk_mapped(TP_LIVE_TAIL) : TP_OK;
}

static enum tp_status sync_tails(void) {
    return sync_if(any_trap() && !tp_registry.options.without_middle_sync, TP_STEP_SYNC_TAIL);
}

static bool any_first(void) {
    return any_trap() || pass.live.counts[TP_CLASS_STORE] != 0;
}

static enum tp_status write_firsts(void) {
    enum tp_status status = any_first() ? walk_mapped(TP_LIVE_FIRST) : TP_OK;
    bool can_go_back = !any_trap() && !pass.live.one_way;
    if (status != TP_OK || pass.live.error.status == TP_OK || !can_go_back)
        return status;
    (void)tp_fail(&pass.live.error);
    return undo(&pass.live.error);
}

static enum tp_status sync_last(void) {
    return sync_if(any_first() || pass.wrote_new_images, TP_STEP_SYNC_LAST);
}

static enum tp_status settle(void) {
    settle_all();
    return TP_OK;
}

static bool failed_stopped(void) {
    return !any_first() && pass.live.error.status != TP_OK;
}

/* The port calls it. */
TP_ROOT void tp_live_write_stopped(void *unused) {
    (void)unused;
    (void)!walk_mapped(TP_LIVE_STOPPED); /* what it has to say is in pass.live.error */
    if (failed_stopped())
        (void)!walk_mapped(TP_LIVE_RESTORE);
}

/* A CPU that sleeps or spins in a site that stays is no reason to wait. */
static enum tp_stop stop_and_write(unsigned *silent) {
    enum { PAUSES = 100 };
    enum tp_stop stop = TP_STOP_BUSY;
    for (unsigned tries = 0; tries < STOPS_MAX; tries++) {
        stop = tp_port()->stop_cpus(tp_outside_changing, tp_live_write_stopped, NULL, silent);
        if (stop != TP_STOP_BUSY)
            break;
        for (unsigned i = 0; i < PAUSES; i++)
            __builtin_ia32_pause();
    }
    return stop;
}

static enum tp_status write_stopped(void) {
    if (!pass.live.counts[TP_CLASS_RENDEZVOUS])
        return TP_OK;
    unsigned silent = 0;
    (void)!walk_mapped(TP_LIVE_MARK);
    enum tp_stop stop = stop_and_write(&silent);
    if (stop == TP_STOP_SILENT)
        return tp_fail(&(struct tp_error){.status = TP_ERR_CPU_SILENT, .value = silent});
    if (stop == TP_STOP_BUSY)
        return tp_fail_with(TP_ERR_CPU_BUSY);
    if (failed_stopped()) {
        (void)tp_fail(&pass.live.error);
        return undo_rest(&pass.live.error); /* the text was restored while all stood still */
    }
    (void)!walk_mapped(TP_LIVE_FORGET);
    return TP_OK;
}

static enum tp_status end(void) {
    unmap();
    tp_note_shown(&pass.walk);
    tp_trace_step(TP_STEP_END);
    return pass.live.error.status == TP_OK ? TP_OK : tp_fail(&pass.live.error);
}

/* No table of functions: it would have to be relocated in kernels that are linked as PIE. */
enum { STEPS = 14 };

static enum tp_status do_step(unsigned step) {
    switch (step) {
    case 0: return check();            /* 1 */
    case 1: return map();              /* 2 */
    case 2: return write_new_images(); /* 3 */
    case 3: return expect();           /* 4 */
    case 4: return set();              /* 5 */
    case 5: return write_int3s();      /* 6.1 */
    case 6: return sync_int3s();       /* 6.2; partner: what each CPU executes in the port's sync_cpus */
    case 7: return write_tails();      /* 6.3 */
    case 8: return sync_tails();       /* 6.4; likewise */
    case 9: return write_firsts();     /* 7 */
    case 10: return sync_last();       /* 8; likewise */
    case 11: return settle();          /* 8.1 */
    case 12: return write_stopped();   /* 9; partner: what each CPU executes before stop_cpus lets it go */
    default: return end();             /* 10 */
    }
}

TP_ROOT enum tp_status tp_live_resume(void) {
    enum tp_status status = TP_OK;
    while (pass.next < STEPS && status == TP_OK) {
        status = do_step(pass.next);
        pass.next += status == TP_OK;
    }
    pass.stuck = status == TP_ERR_CPU_SILENT || status == TP_ERR_CPU_BUSY;
    return status;
}

enum tp_status tp_live_pass(const struct tp_walk *walk) {
    pass = (struct pass){.walk = *walk};
    return tp_live_resume();
}

bool tp_live_is_stuck(void) {
    return pass.stuck;
}
