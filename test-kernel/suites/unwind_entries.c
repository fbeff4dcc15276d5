/* SPDX-License-Identifier: MIT */
/*
 * unwind_entries: walks at each instruction of every way into the kernel and out again (stepped_paths.h), with the text
 * pristine, applied and reverted: from the registers, from the handler of #DB, and from NMIs that come there, so through
 * all interrupt stacks. What they find is what the shadow (shadow.h) has kept. Native world.
 *
 *   at each instruction of the entries; the same through C code
 *   in an NMI at each instruction, in NMIs' entries too; the same through C code
 *   negative control: with a table that takes all entries for functions, walks in entries are wrong
 *   negative control: with one that looks #BP's frame up where it returns to, walks in #BP's entry are wrong
 */
#include <textpatch/textpatch.h>

#include "backend.h"
#include "ktap.h"
#include "stepped_paths.h"
#include "support.h"
#include "unwind_table.h"

static unsigned options;
static struct shadow_report sum;

/* ---- Paths ---- */

/* The handler of these resumes a frame by an NMI, which no shadow sees. */
static bool is_shadowed(const struct path *path) {
    return path->answer != answer_by_nmi;
}

/* An iret to user mode that fails is mended. An NMI that comes at another one's last two instructions goes on in its
 * place. */
static unsigned count_taken_over(const struct path *path) {
    if (path->flags & PATH_NMI)
        return path->flags & PATH_FROM_USER ? 0 : 2;
    return path->answer == answer_by_bad_stack;
}

/* Once without NMIs: what is left out without them is another suite's matter. */
static void walk_path(const struct path *path) {
    bool nests = path->flags & PATH_NMI;
    struct path_result result = run_path(path, options | (nests ? STEP_NMIS : 0), NULL);
    if (!EXPECT(is_right(&result)))
        print_format("# %s: %s at %lx\n", path->name, result.steps.first_failure, result.steps.failed_at);
    if (!EXPECT_EQUAL(result.walks.wrong, 0)) {
        print_format("# %s\n", path->name);
        print_shadow_fault(&result.walks);
    }
    EXPECT(result.walks.walks > 0);
    EXPECT_EQUAL(result.walks.left_out, count_taken_over(path));
    EXPECT_EQUAL(result.walks.for_iret, 0);
    add_shadow_report(&sum, &result.walks);
}

static void walk_paths(bool applied) {
    collect_places(applied);
    for (unsigned i = 0; i < path_count; i++)
        if (is_shadowed(&paths[i]))
            walk_path(&paths[i]);
}

static void walk_forms(void) {
    REQUIRE(start_library(&path_port));
    open_paths();
    walk_paths(false);
    if (EXPECT_OK(tp_apply())) {
        walk_paths(true);
        if (EXPECT_OK(tp_revert()))
            walk_paths(false);
    }
    close_paths();
    EXPECT(text_is_pristine());
}

static void walk_with(unsigned how) {
    if (world == WORLD_XEN_PV)
        SKIP("the native entries are not used here");
    if (backend != &native_backend)
        SKIP("Xen lets an NMI that waited for IRET come some instructions later");
    REQUIRE_TABLE();
    options = how | STEP_WALKS;
    sum = (struct shadow_report){.walks = 0};
    walk_forms();
    forget_table();
    print_format("# %lu walks, %lu frames, %u deep; %lu through what was interrupted, %lu from user mode; %lu records that "
                 "a handler took over from\n",
                 sum.walks, sum.frames, sum.deepest, sum.in_handlers, sum.from_user, sum.left_out);
    EXPECT(sum.in_handlers > 0);
    EXPECT(sum.from_user > 0);
}

/* ---- Wrong tables ---- */

/* Walks from one path's steps by a table whose entries were changed: how many are wrong. */
static uint64_t count_wrong(const char *name, unsigned (*change)(struct tp_orc_entry *entry)) {
    struct tp_unwind_table changed;
    struct tp_orc_entry *entries = copy_table(&changed);
    unsigned changes = 0;
    if (!EXPECT(entries))
        return 0;
    for (uint32_t i = 0; i < changed.count; i++)
        changes += change(&entries[i]);
    EXPECT(changes > 0);
    if (!EXPECT_OK(tp_unwind_add(&changed)))
        return 0;
    struct path_result result = run_path(find_path(name), STEP_WALKS, NULL);
    EXPECT_OK(tp_unwind_remove(&changed));
    EXPECT(is_right(&result));
    print_format("# %s, by a wrong table: %lu of %lu walks are wrong\n", name, result.walks.wrong, result.walks.walks);
    return result.walks.wrong;
}

static unsigned take_for_function(struct tp_orc_entry *entry) {
    if ((entry->type & TP_ORC_TYPE) != TP_ORC_WORDS)
        return 0;
    *entry = (struct tp_orc_entry){.sp_offset = 8, .registers = TP_ORC_BASE_SP, .type = TP_ORC_CALL};
    return 1;
}

static unsigned forget_trap(struct tp_orc_entry *entry) {
    unsigned traps = (entry->type & TP_ORC_TRAP) != 0;
    entry->type &= (uint8_t)~TP_ORC_TRAP;
    return traps;
}

static void see_wrong_tables(void) {
    if (world == WORLD_XEN_PV)
        SKIP("the native entries are not used here");
    if (backend != &native_backend)
        SKIP("Xen lets an NMI that waited for IRET come some instructions later");
    REQUIRE_TABLE();
    forget_table();
    REQUIRE(start_library(&path_port));
    open_paths();
    collect_places(false);
    EXPECT(count_wrong("kernel's #UD", take_for_function) > 0);
    EXPECT(count_wrong("kernel's #PF", take_for_function) > 0);
    EXPECT_EQUAL(count_wrong("kernel's #UD", forget_trap), 0);
    EXPECT(count_wrong("kernel's #BP, gap", forget_trap) > 0);
    close_paths();
}

static void walk_plainly(void) { walk_with(0); }
static void walk_into_c(void) { walk_with(STEP_INTO_C); }
static void walk_in_nmis(void) { walk_with(STEP_NMIS); }
static void walk_in_nmis_into_c(void) { walk_with(STEP_NMIS | STEP_INTO_C); }

KTAP_SUITE(unwind_entries, {"at each instruction", walk_plainly}, {"at each instruction, through C code", walk_into_c},
           {"in an NMI at each instruction", walk_in_nmis},
           {"in an NMI at each instruction, through C code", walk_in_nmis_into_c},
           {"wrong tables are seen", see_wrong_tables});
