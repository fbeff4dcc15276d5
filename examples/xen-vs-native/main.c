/* SPDX-License-Identifier: MIT */
/*
 * One kernel, two worlds. This ELF boots natively and as a PV guest of Xen; the same sites become what is
 * right in each. The output of both is made to be laid side by side: same lines, same order.
 */
#include <limits.h>

#include <textpatch/engine.h>

#include "effects.h"
#include "own_ops.h"
#include "platform.h"
#include "show.h"
#include "sites.h"
#include "workload.h"

static struct tp_image kernel;

static struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text, .log = print_message};

static void print_cpu(void) {
    static const struct {
        uint16_t feature;
        const char *name;
    } features[] = {
        {TP_FEATURE_SSE2, "sse2"},       {TP_FEATURE_POPCNT, "popcnt"}, {TP_FEATURE_AVX2, "avx2"},
        {TP_FEATURE_ERMS, "erms"},       {TP_FEATURE_FSRM, "fsrm"},     {TP_FEATURE_FSGSBASE, "fsgsbase"},
        {TP_FEATURE_INVPCID, "invpcid"}, {TP_FEATURE_SMAP, "smap"},     {TP_FEATURE_SERIALIZE, "serialize"},
        {TP_FEATURE_XEN_PV, "xen_pv"},
    };
    struct {
        uint32_t b, d, c;
        char end;
    } vendor = {.end = 0};
    uint32_t leaf = 0;
    __asm__ volatile("cpuid" : "+a"(leaf), "=b"(vendor.b), "=c"(vendor.c), "=d"(vendor.d));
    print_label("cpu");
    print_format("%s:", (const char *)&vendor);
    for (unsigned i = 0; i < sizeof features / sizeof *features; i++)
        if (tp_feature_test(features[i].feature))
            print_format(" %s", features[i].name);
    print_format("\n");
}

static bool count_edit(const struct tp_edit_info *edit, void *count) {
    (void)edit;
    ++*(unsigned *)count;
    return true;
}

/* What a plan says is not done yet: the text stays as it is. */
static void show_plan(const char *label, bool expect_edits) {
    unsigned edits = 0;
    uint64_t hash = hash_text();
    enum tp_status status = tp_plan(count_edit, &edits);
    print_label(label);
    print_format("%3u %-*s", edits, VALUE_WIDTH - 4, edits == 1 ? "edit" : "edits");
    end_line(status == TP_OK && (edits > 0) == expect_edits && hash_text() == hash, label);
}

static void show_hash(const char *label, bool as_it_should_be) {
    print_label(label);
    print_format("%016lx%*s", hash_text(), VALUE_WIDTH - 16, "");
    end_line(as_it_should_be, label);
}

void kernel_main(const char *command_line) {
    (void)command_line;
    uint64_t pristine, patched;

    choose_ops();
    protect_text();
    pristine = hash_text();
    print_heading("1. The machine, and the ops before the library has run: each call goes through the table");
    print_world();
    print_label("text may be written");
    print_value(text_is_writable((uintptr_t)text_start) ? "yes" : "no: it is patched through an alias");
    end_line(!text_is_writable((uintptr_t)text_start), "text is read-only");
    show_effects();
    run_workload(false);

    print_heading("2. The library");
    show_start(&port, &kernel);
    print_cpu();
    show_hash("text, as linked", hash_text() == pristine);
    show_plan("tp_plan, a dry run", true);
    show_status("tp_apply", tp_apply());
    patched = hash_text();
    show_hash("text, patched", patched != pristine);
    show_plan("tp_plan, again", false);
    show_status("tp_audit", tp_audit(NULL, NULL));

    print_heading("3. The sites");
    print_sites(UINT_MAX);

    print_heading("4. The same ops at patched sites");
    show_effects();

    print_heading("5. Every op, counted");
    run_workload(true);
    print_workload();

    print_heading(world == WORLD_XEN_PV ? "6. Negative control: native bytes in one site under Xen"
                                        : "6. Negative control: Xen's bytes in one site without Xen");
    show_negative_control();

    print_heading("7. There and back");
    show_status("tp_revert", tp_revert());
    show_hash("text, reverted", hash_text() == pristine);
    show_status("tp_apply", tp_apply());
    show_hash("text, patched again", hash_text() == patched);
    show_status("tp_audit", tp_audit(NULL, NULL));
    end_demo();
}
