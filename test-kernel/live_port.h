/* SPDX-License-Identifier: MIT */
/*
 * The port of this kernel while its CPUs run (textpatch/port.h, stage "live"), and what tests ask of it: a record of
 * what the library did, a judge of its order, and faults that can be put in.
 *
 * What an emulator gets wrong
 *   QEMU's TCG keeps text in translation, and drops what it has of bytes when a CPU stores into them. With
 *   thread=multi, a CPU that is in the middle of translating while another one stores has read the old bytes, but has
 *   nothing yet that could be dropped (QEMU 7.2: accel/tcg/translate-all.c, tb_gen_code() reads the text long before
 *   tb_link_page(); cputlb.c, notdirty_write() moreover drops before the store). Nothing ever drops that translation:
 *   all CPUs may go on executing the old bytes, whatever they serialise. No CPU does that (Intel SDM vol. 3 section
 *   9.1.3, AMD APM vol. 2 section 7.6.1). Seen as calls of the old target for ever, and as an int3 that isn't in memory
 *   being hit again and again. With thread=single neither is seen.
 *   So sync_cpus stops the other CPUs here, where a real kernel's port would only call them, and while they stand still
 *   (whoever answers an interrupt is not translating) stores the bytes that were written since the last sync once more.
 *   And #BP goes by live_entry.asm, which stores a byte again that is no int3 any more, before the entry that is tried
 *   goes back there. Bytes in memory don't change by that, and a CPU that was not synchronised keeps what it has: the
 *   library is not spared anything that it owes.
 *   `plain-sync` on the command line leaves both out, to see what happens.
 */
#ifndef LIVE_PORT_H
#define LIVE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/live.h>

extern const struct tp_port live_port;

/* Whether the command line says `plain-sync`. */
bool live_port_is_plain(void);

/* Counts and faults to 0, hooks to none. */
void reset_live_port(void);

/* What happened since. */
struct live_counts {
    unsigned steps[TP_STEPS];
    unsigned syncs;   /* that were made */
    unsigned stops;   /* that wrote */
    unsigned busy;    /* stops that found a CPU inside a site */
    unsigned foreign; /* int3s that weren't the library's */
};
extern struct live_counts live_counts;

/* ---- The order of the protocol, judged at each step ---- */

/*
 * Steps that came too early, of each batch and of each site: a tail without its int3, anything without a sync since
 * what has to come before it, a site of the class rendezvous while others run, an end with something left to do.
 */
extern unsigned live_order_faults;
/* The first of them; NULL if there is none. */
const char *live_order_fault(void);
void forget_live_order_faults(void);
/* The middle sync isn't asked for: struct tp_live_options has without_middle_sync. */
extern bool live_order_without_middle;

/* ---- Hooks and faults ---- */

/* Called at each step, once it has been judged. */
extern void (*live_step_hook)(const struct tp_trace *trace);

/* Called for an int3 that is not the library's; NULL: it is counted and passed over. */
extern void (*live_foreign_hook)(struct tp_regs *regs);

struct live_faults {
    unsigned dropped_syncs; /* 1 << n: the nth sync of each batch, from 0, is not made, and said to have been */
    uintptr_t int3_site;    /* the int3 at this site is overwritten at once with int3_byte */
    uint8_t int3_byte;
    bool everywhere;        /* stop_cpus takes every address for a good one */
    bool never;             /* stop_cpus stops nobody, and says that it found a CPU inside a site */
};
extern struct live_faults live_faults;

#endif
