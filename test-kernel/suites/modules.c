/* SPDX-License-Identifier: MIT */
/*
 * modules: a module of plain C, through tools/link-module, loaded at run time: its calls of static calls are sites.
 *
 *   loaded, each of its calls leads to a trampoline, the kernel's or its own; applied, to the target; with other functions,
 *     of the kernel and of the module, none, RET0 and inlined ones, whichever registered them; its key, its alternative
 *   it stays while one of the kernel's static calls has a function of its, and goes then; the kernel's calls go on
 *   a walk from a function that it calls is reliable to the end with its table, and is not without it
 *   negative controls: calls that miss from its records go by the trampoline; files that are no whole modules are refused, and
 *     those that would have the loader write behind a section, or read behind a table
 * Where the kernel was linked without the tool there is no module, and all is skipped.
 */
#include <textpatch/textpatch.h>
#include <textpatch/unwind.h>

#include "elf_relocatable.h"
#include "loaded_module.h"
#include "platform.h"
#include "stacks.h"
#include "support.h"
#include "unwind_table.h"

/* ---- Its sites ---- */

static uint8_t byte_at(uintptr_t address) { return *(const volatile uint8_t *)address; }
static uintptr_t leads_to(uintptr_t address) { return branch_target(address + (byte_at(address) == 0x0f)); }

static void expect_linked(struct found_call *call) {
    struct tp_site_info info = find_site((uintptr_t)call->function, 0);
    call->address = info.address;
    call->opcode = byte_at(info.address + (byte_at(info.address) == 0x0f));
    EXPECT(info.image == &module.image);
    EXPECT_EQUAL(info.kind, TP_KIND_STATIC_CALL);
    EXPECT(info.cell == call->call);
    EXPECT_EQUAL(info.length, call->opcode >> 4 == 8 ? 6 : 5);
    struct tp_site_info trampoline = {.kind = 0};
    EXPECT(tp_describe_site(leads_to(info.address), &trampoline));
    EXPECT_EQUAL(trampoline.address, leads_to(info.address));
    EXPECT_EQUAL(trampoline.kind, TP_KIND_TRAMPOLINE);
    EXPECT(trampoline.cell == call->call);
    EXPECT(trampoline.image == (call->call == calls->own_call ? &module.image : &kernel_image));
}

/* Calls of one static call hold some bytes, or if NULL a call; jumps lead to its target. */
static void expect_held(const struct tp_static_call *call, const uint8_t bytes[5]) {
    for (unsigned i = 0; i < FOUND; i++) {
        if (found[i].call != call)
            continue;
        if (bytes && found[i].opcode == 0xe8)
            expect_bytes((const void *)found[i].address, bytes, 5, __func__, __LINE__);
        else
            EXPECT_EQUAL(leads_to(found[i].address), (uintptr_t)call->target);
    }
}

static void expect_values(long (*function)(long)) {
    EXPECT_EQUAL(calls->value_in_middle(5), function(5) + BEHIND);
    EXPECT_EQUAL(calls->value_last(5), function(4));
    EXPECT_EQUAL(calls->value_called(5), function(5));
    EXPECT_EQUAL(calls->value_jumped(5), function(6));
    EXPECT_EQUAL(calls->value_if_zero(5, 0), function(5));
    EXPECT_EQUAL(calls->value_if_zero(5, 1), -1);
    EXPECT_EQUAL(kernel_in_middle(5), function(5) + BEHIND);
}

static void expect_notes(long by_three) {
    long note = 50;
    EXPECT_EQUAL(calls->note_in_middle(50, 3), 50 + by_three + BEHIND);
    EXPECT_EQUAL(kernel_note_in_middle(50, 3), 50 + by_three + BEHIND);
    calls->note_last(&note, 3);
    EXPECT_EQUAL(note, 50 + by_three);
}

static const uint8_t nop[] = {0x0f, 0x1f, 0x44, 0x00, 0x00}, ret0[] = {0x2e, 0x2e, 0x2e, 0x31, 0xc0},
                     plus_seven[] = {0x2e, 0x48, 0x8d, 0x47, 0x07}, plus_five[] = {0x2e, 0x48, 0x8d, 0x47, 0x05};

long value_plus_five(long value); /* the suite inline_calls has it: the kernel registers its inline form */

static void expect_value(long (*function)(long), const uint8_t inlined[5]) {
    EXPECT_OK(tp_static_call_update(kernel_value, function));
    expect_held(&tp_static_call_kernel_value, inlined);
    expect_values(function);
}

static long zero(long value) { return value - value; }

static void move_values(void) {
    expect_values(kernel_plus_one);
    expect_value(kernel_times_ten, NULL);
    expect_value(calls->times_three, NULL);
    expect_value(calls->plus_seven, plus_seven);
    expect_value(value_plus_five, plus_five);
    EXPECT_OK(tp_static_call_update_ret0(kernel_value));
    expect_held(&tp_static_call_kernel_value, ret0);
    expect_values(zero);
    expect_value(kernel_plus_one, NULL);
}

static void move_notes(void) {
    expect_notes(0);
    EXPECT_BYTES(found[VALUE_CALLS].address, nop[0], nop[1], nop[2], nop[3], nop[4]);
    if (found[VALUE_CALLS + 1].opcode == 0xe9)
        EXPECT_BYTES(found[VALUE_CALLS + 1].address, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc);
    EXPECT_OK(tp_static_call_update(kernel_note, calls->twice));
    expect_held(&tp_static_call_kernel_note, NULL);
    expect_notes(6);
    EXPECT_OK(tp_static_call_update(kernel_note, kernel_more));
    expect_held(&tp_static_call_kernel_note, NULL);
    expect_notes(3);
    EXPECT_OK(tp_static_call_update(kernel_note, NULL));
    expect_notes(0);
}

static void add_and_look(void) {
    REQUIRE(start_applied());
    REQUIRE(load_into(0));
    list_calls();
    EXPECT_EQUAL(calls->alternative(), 1);
    REQUIRE_OK(tp_image_add(&module.image));
    for (unsigned i = 0; i < FOUND; i++)
        expect_linked(&found[i]);
    expect_values(kernel_plus_one); /* by the trampolines yet */
    expect_notes(0);
    REQUIRE_OK(tp_apply());
    move_values();
    move_notes();
    expect_own();
    EXPECT_OK(tp_key_update(calls->own_call, (uintptr_t)calls->plus_seven));
    expect_held(calls->own_call, plus_seven);
    EXPECT_EQUAL(count_differences(NULL), 0);
    EXPECT_OK(tp_image_remove(&module.image));
}

static void follows_targets(void) {
    REQUIRE_MODULE();
    add_and_look();
    end_module();
}

/* ---- It stays as long as it is needed ---- */

static void need_module(void) {
    REQUIRE(start_applied());
    REQUIRE(add_module(0));
    EXPECT_OK(tp_static_call_update(kernel_value, calls->plus_seven));
    EXPECT_STATUS(tp_image_remove(&module.image), TP_ERR_IMAGE_IN_USE);
    EXPECT_EQUAL(kernel_in_middle(5), 12 + BEHIND);
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_plus_one));
    EXPECT_STATUS(tp_image_remove(&kernel_image), TP_ERR_IMAGE_IN_USE); /* its calls' keys are there */
    EXPECT_OK(tp_image_remove(&module.image));
    EXPECT_EQUAL(kernel_in_middle(5), 6 + BEHIND);
}

static void stays_if_needed(void) {
    REQUIRE_MODULE();
    need_module();
    end_module();
}

/* ---- Walks ---- */

static struct walk {
    unsigned frames, in_module;
    uint8_t end;
    bool reliable;
} walk;

ONE_COPY static long walk_from_here(long value) {
    struct tp_unwind frame;
    walk = (struct walk){.frames = 1};
    tp_unwind_here(&frame, find_kernel_stack, NULL);
    while (tp_unwind_next(&frame)) {
        uintptr_t place = tp_unwind_place(&frame);
        walk.frames++;
        walk.in_module += place >= module.image.text_start && place < module.image.text_end;
    }
    walk.end = frame.end;
    walk.reliable = frame.reliable;
    return value;
}

static void expect_whole_walk(void) {
    EXPECT_EQUAL(calls->value_in_middle(5), 5 + BEHIND);
    EXPECT_EQUAL(walk.in_module, 1);
    EXPECT_EQUAL(walk.end, TP_UNWIND_OUTERMOST);
    EXPECT(walk.reliable);
    EXPECT(walk.frames >= 5);
}

static void walk_through_module(void) {
    REQUIRE(start_applied());
    REQUIRE(add_module(0));
    REQUIRE(module.has_table);
    EXPECT_EQUAL(module.table.text_start, module.image.text_start);
    EXPECT_OK(tp_static_call_update(kernel_value, walk_from_here));
    REQUIRE_OK(tp_unwind_add(&module.table));
    expect_whole_walk();
    EXPECT_OK(tp_unwind_remove(&module.table));
    EXPECT_EQUAL(calls->value_in_middle(5), 5 + BEHIND); /* the control */
    EXPECT(!walk.reliable || walk.end == TP_UNWIND_LOST);
    EXPECT_OK(tp_unwind_add(&module.table));
    expect_whole_walk();
    EXPECT_OK(tp_unwind_remove(&module.table));
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_plus_one));
    remove_module();
}

static void walks_through(void) {
    REQUIRE_MODULE();
    REQUIRE_TABLE();
    walk_through_module();
    forget_table();
    end_module();
}

/* ---- Controls ---- */

/* Without its records of calls, which are the last, the module's calls are the trampoline's. */
static void leave_out_calls(void) {
    REQUIRE(start_applied());
    REQUIRE(load_into(0));
    list_calls();
    struct tp_image *image = &module.image;
    while (image->site_count && (image->sites[image->site_count - 1].kind & 0xf) == TP_KIND_STATIC_CALL)
        image->site_count--;
    REQUIRE_OK(tp_image_add(image));
    REQUIRE_OK(tp_apply());
    struct tp_site_info info;
    EXPECT(!tp_describe_site((uintptr_t)calls->value_jumped + 4, &info));
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_times_ten));
    EXPECT_BYTES((uintptr_t)calls->value_jumped + 4, 0xe9);
    EXPECT_EQUAL(leads_to((uintptr_t)calls->value_jumped + 4), (uintptr_t)tp_static_call(kernel_value));
    expect_values(kernel_times_ten);
    EXPECT_OK(tp_static_call_update(kernel_value, kernel_plus_one));
    remove_module();
}

static void goes_by_trampoline(void) {
    REQUIRE_MODULE();
    leave_out_calls();
    end_module();
}

static void refuses_others(void) {
    REQUIRE_MODULE();
    size_t size = (size_t)(module_file_end - module_file);
    static const struct export too_few[] = {EXPORT(kernel_plus_one), EXPORTS_END};
    EXPECT(!load_module(&module, module_file, size, too_few, &module_rooms[0]));
    EXPECT_TEXT(module.fault, "nobody has the symbol");
    EXPECT(module.culprit[0] == 't');
    EXPECT(!load_module(&module, module_file, 1000, module_exports, &module_rooms[0]));
    EXPECT_TEXT(module.fault, "its section headers are not in the file");
    EXPECT(!load_module(&module, text_start, 4096, module_exports, &module_rooms[0]));
    EXPECT_TEXT(module.fault, "it is no module");
    module.image = (struct tp_image){.name = NULL};
}

/* ---- Files with a change ---- */

/* As much as the room in the kernel: modules.asm. */
static uint8_t changed[1 << 16] __attribute__((aligned(8)));

static struct elf_section *changed_section(unsigned index) {
    return (struct elf_section *)(void *)(changed + ((const struct elf_header *)(void *)changed)->sections) + index;
}

static bool load_changed(void) {
    return load_module(&module, changed, (size_t)(module_file_end - module_file), module_exports, &module_rooms[0]);
}

/* A whole one, which is loaded, so that addresses of its sections are known. */
static bool begin_change(void) {
    size_t size = (size_t)(module_file_end - module_file);
    if (!EXPECT(size <= sizeof changed))
        return false;
    for (size_t i = 0; i < size; i++)
        changed[i] = module_file[i];
    return EXPECT(load_changed());
}

/* Of 8 bytes, and the last that a section has. */
static struct elf_relocation *find_last_wide(void) {
    for (unsigned i = 0; i < ((const struct elf_header *)(void *)changed)->section_count; i++) {
        const struct elf_section *table = changed_section(i);
        struct elf_relocation *all = (void *)(changed + table->offset);
        if (table->type != SECTION_RELA || !module.addresses[table->info])
            continue;
        for (uint64_t at = 0; at < table->size / sizeof *all; at++)
            if (all[at].type == R_64 && all[at].offset + 8 == changed_section(table->info)->size)
                return &all[at];
    }
    return NULL;
}

static struct elf_section *find_loaded(const void *address) {
    for (unsigned i = 0; i < MODULE_SECTIONS; i++)
        if (module.addresses[i] == (uintptr_t)address)
            return changed_section(i);
    return NULL;
}

static void change_relocation(void) {
    struct elf_relocation *relocation = find_last_wide();
    REQUIRE(relocation);
    for (unsigned more = 1; more <= 8; more++) {
        relocation->offset++;
        EXPECT(!load_changed());
        EXPECT_TEXT(module.fault, "a relocation is outside of its section");
    }
    relocation->offset -= 8;
    EXPECT(load_changed());
}

/* Its last bytes have no relocation. */
static void change_table(void) {
    struct elf_section *sites = find_loaded(module.image.sites);
    REQUIRE(sites);
    sites->size--;
    EXPECT(!load_changed());
    EXPECT_TEXT(module.fault, "a table ends amid an entry");
    EXPECT_TEXT(module.culprit, ".textpatch.sites");
    sites->size++;
    EXPECT(load_changed());
}

static void refuses_changed(void) {
    REQUIRE_MODULE();
    if (begin_change()) {
        change_relocation();
        change_table();
    }
    end_module();
}

KTAP_SUITE(modules, {"its calls are sites", follows_targets}, {"it stays while it is needed", stays_if_needed},
           {"walks through it", walks_through}, {"negative control: without records", goes_by_trampoline},
           {"files that are no modules", refuses_others},
           {"relocations and tables that end too late", refuses_changed});
