/* SPDX-License-Identifier: MIT */
/*
 * entry_steps: every way into the kernel and out again (stepped_paths.h), instruction by instruction (stepper.h), with the
 * text pristine, applied and reverted, without and with hooks. Each case looks at every frame that a handler sees, at
 * all registers that come back, and at GS in each handler, and that no instruction of the paths is left out.
 *
 *   single steps; the same through C code
 *   an NMI at each instruction, in NMIs too, which then run once more
 *   faults in #DB at each instruction
 *   both, and faults in the NMI at each instruction; the same through C code
 *   seen: an ordinary entry for #DB, and one for NMIs, has user mode's GS where the right ones have not
 *   seen: NMIs that don't copy their frame lose a return
 *   seen: an instruction that was left out, and a register that was changed
 *
 * #DF has the same entry as #MC; that and #DB can't come at will but from the kernel.
 */
#include <textpatch/textpatch.h>

#include "code_walk.h"
#include "entry_steps.h"
#include "ktap.h"
#include "native.h"
#include "ports.h"
#include "stepped_paths.h"
#include "support.h"

static const char *const form_names[] = {"pristine", "applied", "reverted"};
enum form { PRISTINE, APPLIED, REVERTED, FORMS };

static unsigned options;
static unsigned hook_calls;
static struct path_result last;

/* ---- Coverage ---- */

static unsigned count_left_out(unsigned mark, unsigned unless, bool prints) {
    unsigned count = 0;
    for (unsigned i = 0; i < place_count; i++) {
        if (places[i].marks & mark || (unless && (places[i].marks & unless) == unless))
            continue;
        if (count++ == 0 && prints)
            print_format("# first left out: %lx, marks %x\n", places[i].address, places[i].marks);
    }
    return count;
}

static void check_coverage(void) {
    EXPECT_EQUAL(count_left_out(PLACE_STEPPED, 0, true), 0);
    if (options & STEP_NMIS)
        EXPECT_EQUAL(count_left_out(PLACE_HAD_NMI, PLACE_NO_NMI | PLACE_OF_NMI, true), 0);
    if (options & STEP_FAULTS)
        EXPECT_EQUAL(count_left_out(PLACE_HAD_FAULTS, 0, true), 0);
}

/* ---- Hooks ---- */

static void count_hook(struct tp_regs *regs) {
    hook_calls++;
    check_context(regs->rip);
}

static void set_hooks(bool there) {
    EXPECT_OK(tp_static_call_update(trace_entry, there ? count_hook : NULL));
    EXPECT_OK(tp_static_call_update(trace_exit, there ? count_hook : NULL));
    exit_hook = there ? count_hook : NULL;
}

/* ---- All paths ---- */

static void print_result(const struct path *path, enum form form, const struct path_result *result) {
    const struct step_report *steps = &result->steps;
    print_format("# %s, %s: %u instructions and %u of C, %u with user mode's GS, %u NMIs, %u faults, "
                 "%u visits\n",
                 path->name, form_names[form], steps->steps, steps->steps_in_c, steps->with_user_gs,
                 steps->nmis, steps->faults, result->visits);
}

static void print_wrong(const struct path_result *result) {
    const struct step_report *steps = &result->steps;
    print_format("# ended %u, failures %u (%s, %lx), wrong GS %u, NMIs that came %u, owed %u, "
                 "wrong visits %u, wrong slots %u\n",
                 steps->ended, steps->failures, steps->first_failure ? steps->first_failure : "none",
                 steps->failed_at, steps->wrong_gs, steps->nmis_came, steps->nmi_is_owed,
                 result->wrong_visits, result->wrong_slots);
}

/* What only NMIs get to is left out without them. */
static unsigned options_of(const struct path *path) {
    return path->flags & PATH_NMI && !(path->flags & PATH_FROM_USER) ? options | STEP_NMIS : options;
}

static void step_path(const struct path *path, enum form form, bool prints) {
    last = run_path(path, options_of(path), NULL);
    if (EXPECT(is_right(&last)) && !prints)
        return;
    print_result(path, form, &last);
    if (!is_right(&last))
        print_wrong(&last);
}

static void step_paths(enum form form) {
    collect_places(form == APPLIED);
    for (unsigned hooks = 0; hooks < 2; hooks++) {
        set_hooks(hooks);
        hook_calls = 0;
        for (unsigned i = 0; i < path_count; i++)
            step_path(&paths[i], form, form == APPLIED && hooks);
        EXPECT_EQUAL(hook_calls > 0, hooks);
    }
    set_hooks(false);
    check_coverage();
}

static void in_each_form(void (*body)(enum form)) {
    if (world == WORLD_XEN_PV)
        SKIP("the native entries are not used here");
    if (backend != &native_backend)
        SKIP("Xen lets an NMI that waited for IRET come some instructions later");
    REQUIRE(start_library(&path_port));
    open_paths();
    body(PRISTINE);
    if (EXPECT_OK(tp_apply())) {
        body(APPLIED);
        if (EXPECT_OK(tp_revert()))
            body(REVERTED);
    }
    close_paths();
    EXPECT(text_is_pristine());
}

/* ---- What must be seen ---- */

static const char *const with_user_gs[] = {"syscall, lazy", "user's #UD", "kernel's #BP, paranoid, user's GS",
                                           "load_gs"};

/* As many handlers have the wrong GS as found user mode's when the entries were right. */
static void see_wrong_gs(unsigned how, const void *debug_entry, const void *nmi_entry) {
    for (unsigned i = 0; i < sizeof with_user_gs / sizeof *with_user_gs; i++) {
        const struct path *path = find_path(with_user_gs[i]);
        struct path_result right = run_path(path, how, NULL), wrong;
        EXPECT(is_right(&right));
        if (debug_entry)
            set_exception_entry(VECTOR_DEBUG, debug_entry);
        wrong = run_path(path, how, nmi_entry);
        reset_exception_entry(VECTOR_DEBUG);
        EXPECT(!is_right(&wrong));
        EXPECT(wrong.steps.wrong_gs > 0);
        bool no_nmi_at_end = nmi_entry && right.steps.ends_with_user_gs;
        EXPECT_EQUAL(wrong.steps.wrong_gs + no_nmi_at_end, right.steps.with_user_gs);
        EXPECT_EQUAL(wrong.steps.steps, right.steps.steps);
        print_format("# %s: wrong GS %u times in %u steps\n", path->name, wrong.steps.wrong_gs,
                     wrong.steps.steps);
    }
}

static void see_ordinary_debug(enum form form) {
    collect_places(form == APPLIED);
    see_wrong_gs(0, ordinary_debug, NULL);
}

static void see_ordinary_nmi(enum form form) {
    collect_places(form == APPLIED);
    see_wrong_gs(STEP_NMIS, NULL, ordinary_nmi);
}

/*
 * An NMI whose handler takes a #BP, whose IRET lets the next NMI come. The first to find another's frame where its own is
 * puts that back, and goes on where the other one would have.
 */
static struct {
    const struct tp_regs *frame;
    struct tp_regs copy;
    bool is_inside;
    unsigned runs, lost;
} nested;

static void take_over(struct tp_regs *regs) {
    nested.lost += regs == nested.frame && regs->rsp != nested.copy.rsp;
    *regs = nested.copy;
    nested.is_inside = false;
}

static void nest(struct tp_regs *regs) {
    nested.frame = regs;
    nested.copy = *regs;
    nested.is_inside = true;
    raise_breakpoint();
    send_native_nmi(0);
    for (volatile unsigned patience = 0; patience < 1000; patience++)
        pause_briefly();
    nested.is_inside = false;
}

static void nest_once(struct tp_regs *regs) {
    nested.runs++;
    if (nested.is_inside)
        take_over(regs);
    else if (nested.runs == 1)
        nest(regs);
}

static void count_lost_returns(const void *entry, unsigned lost) {
    void (*before)(struct tp_regs *) = path_nmi_handler;
    path_nmi_handler = nest_once;
    nested.runs = nested.lost = 0;
    if (entry)
        set_exception_entry(VECTOR_NMI, entry);
    send_native_nmi(0);
    for (volatile unsigned patience = 0; patience < 1000; patience++)
        pause_briefly();
    reset_exception_entry(VECTOR_NMI);
    path_nmi_handler = before;
    EXPECT_EQUAL(nested.runs, 2);
    EXPECT_EQUAL(nested.lost, lost);
}

static void see_lost_return(enum form form) {
    (void)form;
    count_lost_returns(NULL, 0);
    count_lost_returns(paranoid_nmi, 1);
}

static void see_rest(enum form form) {
    struct path_result result;
    collect_places(form == APPLIED);
    result = run_path(find_path("syscall, lazy"), 0, NULL);
    EXPECT(is_right(&result));
    EXPECT(count_left_out(PLACE_STEPPED, 0, false) > 0);
    result = run_path(find_path("syscall, lazy"), STEP_NMIS, lost_nmi);
    EXPECT(!is_right(&result));
    EXPECT_EQUAL(result.steps.nmis_came, 0);
    EXPECT_EQUAL(result.steps.failures, result.steps.nmis);
    careless = true;
    result = run_path(find_path("user's #UD"), 0, NULL);
    careless = false;
    EXPECT_EQUAL(result.wrong_slots, 1);
    EXPECT_EQUAL(result.steps.failures, 0);
}

#define STEPS(name, how)                                                                                     \
    static void name(void) {                                                                                 \
        options = how;                                                                                       \
        in_each_form(step_paths);                                                                            \
    }
STEPS(steps, 0)
STEPS(steps_into_c, STEP_INTO_C)
STEPS(has_nmis, STEP_NMIS)
STEPS(has_faults, STEP_FAULTS)
STEPS(has_both, STEP_NMIS | STEP_FAULTS)
STEPS(has_both_in_c, STEP_NMIS | STEP_FAULTS | STEP_INTO_C)

static void sees_ordinary_debug(void) { in_each_form(see_ordinary_debug); }
static void sees_ordinary_nmi(void) { in_each_form(see_ordinary_nmi); }
static void sees_lost_return(void) { in_each_form(see_lost_return); }
static void sees_rest(void) { in_each_form(see_rest); }

KTAP_SUITE(entry_steps, {"single steps", steps}, {"single steps through C code", steps_into_c},
           {"an NMI at each instruction", has_nmis}, {"faults at each instruction", has_faults},
           {"NMIs and faults", has_both}, {"NMIs and faults through C code", has_both_in_c},
           {"an ordinary entry for #DB is seen", sees_ordinary_debug},
           {"an ordinary entry for NMIs is seen", sees_ordinary_nmi},
           {"an NMI that loses its return is seen", sees_lost_return},
           {"what is left out, lost or changed is seen", sees_rest});
