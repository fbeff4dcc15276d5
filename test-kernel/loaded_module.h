/* SPDX-License-Identifier: MIT */
/*
 * The module modules/calls.c, which was put into this kernel after its link (put_module): loading it, and what the kernel
 * gives to it. For the suites modules and live_modules.
 */
#ifndef LOADED_MODULE_H
#define LOADED_MODULE_H

#include "ktap.h"
#include "module_loader.h"
#include "modules/calls.h"

extern const uint8_t module_file[], module_file_end[];
extern const struct export module_exports[];
extern struct module_room module_rooms[2];

/* The one that is loaded, and its object `module_calls`. */
extern struct module module;
extern const struct module_calls *calls;

/* In a kernel that was linked without the tool there is none. */
bool there_is_a_module(void);
#define REQUIRE_MODULE()                                                                                     \
    do {                                                                                                     \
        if (!there_is_a_module())                                                                            \
            SKIP("no module was put into this kernel: it was linked without the tool");                      \
    } while (0)

/* Each false, and the case has failed, if it could not be. */
bool load_into(unsigned room);
/* load_into(), tp_image_add() and tp_apply(). */
bool add_module(unsigned room);
void remove_module(void);
/* Whatever the case has got to: the room is data again, and cells are as they were linked. */
void end_module(void);

/* Its calls of static calls. */
struct found_call {
    const void *function;
    const struct tp_static_call *call;
    uintptr_t address;
    uint8_t opcode; /* as linked: e8, e9, or the second byte of a jcc */
};
enum { VALUE_CALLS = 5, NOTE_CALLS = 2, FOUND = 8 };
extern struct found_call found[FOUND];
/* Function and static call of each; address and opcode are 0. */
void list_calls(void);

/* Targets that the kernel has. */
long kernel_times_ten(long value);
/* Calls in the kernel: of kernel_value, and of kernel_note. + BEHIND */
long kernel_in_middle(long value);
long kernel_note_in_middle(long start, long by);

/* The own call, the key and the alternative, once applied, do what they should; ends as it began. */
void expect_own(void);

#endif
