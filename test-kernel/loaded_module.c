/* SPDX-License-Identifier: MIT */
#include "loaded_module.h"

#include "platform.h"
#include "support.h"

/* ---- What the kernel gives to it ---- */

long kernel_plus_one(long value) { return value + 1; }
void kernel_more(long *to, long by) { *to += by; }
TP_DEFINE_STATIC_CALL(kernel_value, kernel_plus_one);
TP_DEFINE_STATIC_CALL_NULL(kernel_note, kernel_more);

const struct export module_exports[] = {
    EXPORT(kernel_plus_one), EXPORT_STATIC_CALL(kernel_value), EXPORT_STATIC_CALL(kernel_note), EXPORTS_END};

long kernel_times_ten(long value) { return value * 10; }

ONE_COPY long kernel_in_middle(long value) { return tp_static_call(kernel_value)(value) + BEHIND; }
ONE_COPY long kernel_note_in_middle(long start, long by) {
    long note = start;
    tp_static_call(kernel_note)(&note, by);
    return note + BEHIND;
}

/* ---- It ---- */

struct module_room module_rooms[2] __attribute__((section(".data.module_rooms")));
struct module module;
const struct module_calls *calls;
struct found_call found[FOUND];

/* The room is filled after the link, behind the compiler's back. */
bool there_is_a_module(void) {
    const volatile uint8_t *file = module_file;
    return file[0] == 0x7f && file[1] == 'E' && file[2] == 'L' && file[3] == 'F';
}

bool load_into(unsigned room) {
    size_t size = (size_t)(module_file_end - module_file);
    if (!EXPECT(load_module(&module, module_file, size, module_exports, &module_rooms[room]))) {
        print_format("# %s: %s\n", module.fault, module.culprit);
        return false;
    }
    calls = find_in_module(&module, "module_calls");
    return EXPECT(calls != NULL);
}

bool add_module(unsigned room) {
    if (!load_into(room))
        return false;
    return EXPECT_OK(tp_image_add(&module.image)) && EXPECT_OK(tp_apply());
}

void remove_module(void) {
    EXPECT_OK(tp_image_remove(&module.image));
    unload_module(&module);
}

void end_module(void) {
    unload_module(&module);
    unprotect_text();
    tp_static_call_kernel_value.target = (void (*)(void))kernel_plus_one;
    tp_static_call_kernel_note.target = tp_nop_function;
}

/* ---- What it has ---- */

void list_calls(void) {
    const void *const functions[FOUND] = {
        (const void *)calls->value_in_middle, (const void *)calls->value_last,    (const void *)calls->value_called,
        (const void *)calls->value_jumped,    (const void *)calls->value_if_zero, (const void *)calls->note_in_middle,
        (const void *)calls->note_last,       (const void *)calls->own_in_middle};
    for (unsigned i = 0; i < FOUND; i++) {
        const struct tp_static_call *call = i < VALUE_CALLS ? &tp_static_call_kernel_value : &tp_static_call_kernel_note;
        found[i] = (struct found_call){.function = functions[i], .call = i + 1 == FOUND ? calls->own_call : call};
    }
}

void expect_own(void) {
    EXPECT_EQUAL(calls->own_in_middle(5), 15 + BEHIND);
    EXPECT_OK(tp_key_update(calls->own_call, (uintptr_t)kernel_times_ten));
    EXPECT_EQUAL(calls->own_in_middle(5), 50 + BEHIND);
    EXPECT_OK(tp_key_update(calls->own_call, (uintptr_t)calls->plus_seven));
    EXPECT_EQUAL(calls->own_in_middle(5), 12 + BEHIND);
    EXPECT_OK(tp_key_update(calls->own_call, (uintptr_t)calls->times_three));
    EXPECT_EQUAL(calls->own_in_middle(5), 15 + BEHIND);
    EXPECT_EQUAL(calls->branch(), 0);
    EXPECT_OK(tp_key_add(calls->key, 1));
    EXPECT_EQUAL(calls->branch(), 1);
    EXPECT_OK(tp_key_add(calls->key, -1));
    EXPECT_EQUAL(calls->branch(), 0);
    EXPECT_EQUAL(calls->alternative(), 2);
}
