/* SPDX-License-Identifier: MIT */
/*
 * A save_fl site that lies across two pages; under Xen PV the second of its three instructions ends where the page
 * does. Emulators look for interrupts there, as a CPU does between any two instructions: so they come in its middle.
 */
#include <textpatch/gas.h>
#include <textpatch/ops.h>

#define BEFORE_LAST 11 /* movzbl %gs:mask,%eax; xor $1,%al */

.section .note.GNU-stack, "", @progbits
.section .text.save_fl_across_pages, "ax", @progbits
.balign 4096, 0xcc
.skip 4096 - BEFORE_LAST, 0xcc

/* unsigned long save_fl_across_pages(void), which changes no register but rax */
.globl save_fl_across_pages
.hidden save_fl_across_pages
.type save_fl_across_pages, @function
save_fl_across_pages:
    TP_OP_CALL TP_WIDTH_SAVE_FL, pv_ops+TP_OPS_SAVE_FL
    ret
.size save_fl_across_pages, . - save_fl_across_pages
