/* SPDX-License-Identifier: MIT */
/*
 * Programs in user mode that do what they must not. Each runs beside one that does nothing wrong and goes on;
 * behind both the kernel must be as it was, and another good program must end right.
 */
#ifndef OFFENDER_H
#define OFFENDER_H

#include "user.h"

/* System calls beside those of user_programs.h: both kinds, and the kernel raises an event or changes the
 * frame. */
enum { CALL_RAISE = 3, CALL_CHANGE = 100 };

/* What a program comes to. */
struct end {
    enum process_state state;
    uint64_t result, error_code;
    uint64_t or_result; /* what else it may be; 0: nothing */
};
#define EXITS(value) ((struct end){PROCESS_EXITED, value, 0, 0})
#define DIES(vector, error_code) ((struct end){PROCESS_KILLED, vector, error_code, 0})

extern struct process offender;

/* Between these two, everything below. The text is pristine and the library started. */
bool open_trials(void);
void close_trials(void);
/* The body with the text pristine, and then applied. */
void try_in_both_forms(void (*body)(void));

/* `given` is the program's to find at USER_DATA + 24, as in struct program_data. The offender's data and
 * registers stay as they were until the next one. False: something wasn't as it should be, and `name` has
 * been printed. */
bool try_offender(const char *name, const uint8_t *program, uint64_t argument, uint64_t given,
                  struct end expected);

/* What CALL_CHANGE does. */
extern void (*change_frame)(struct tp_regs *regs);
/* Where interrupts and exceptions of programs are handled: what C code counts on. Counts what isn't so. */
void look_at_kernel(void);
/* How many weren't since this was last asked; those that nobody asks for fail the case. */
unsigned take_wrong_states(void);

#endif
