/* SPDX-License-Identifier: MIT */
/* What the module calls.c and the suite that loads it know of each other. */
#ifndef MODULES_CALLS_H
#define MODULES_CALLS_H

#include <textpatch/textpatch.h>

/* The kernel's, which the module calls. */
long kernel_plus_one(long value);
void kernel_more(long *to, long by);
TP_DECLARE_STATIC_CALL(kernel_value, kernel_plus_one);
TP_DECLARE_STATIC_CALL(kernel_note, kernel_more);

enum { BEHIND = 100 };

/* The module's, in its object `module_calls`. */
struct module_calls {
    /* Calls of the kernel's static calls: in the middle, last; in assembler by a call, a jmp and a jz. */
    long (*value_in_middle)(long value);                /* + BEHIND */
    long (*value_last)(long value);                     /* of the value - 1 */
    long (*value_called)(long value);
    long (*value_jumped)(long value);                   /* of the value + 1 */
    long (*value_if_zero)(long value, long selector);   /* else -1 */
    long (*note_in_middle)(long start, long by);        /* + BEHIND */
    void (*note_last)(long *to, long by);
    /* Of its own. */
    long (*own_in_middle)(long value);                  /* + BEHIND */
    struct tp_static_call *own_call;
    /* Targets. */
    long (*times_three)(long value);                    /* the own call's first one */
    long (*plus_seven)(long value);                     /* inlined: lea rax, [rdi + 7] */
    void (*twice)(long *to, long by);
    /* Sites of other kinds. */
    long (*branch)(void);                               /* 1 if the key is enabled */
    union tp_static_key_false *key;
    long (*alternative)(void);                          /* 1, and once it has been applied 2 */
};

#endif
