/* SPDX-License-Identifier: MIT */
/*
 * textpatch/port.h: what the kernel gives the library.
 *
 * What it is for
 *   The library calls nothing of the kernel but these hooks. A kernel on bare metal that patches only at boot needs
 *   none: tp_init(NULL).
 *
 * The hooks, by stage
 *   boot, CPL 0          none: the writer clears CR0.WP for the pass (Intel SDM vol. 3 section 2.5)
 *   boot, CPL 3 or CET   map_text, unmap_text: under Xen PV and in a process CR0 can't be written, and with CET on
 *                        clearing WP faults (Intel SDM vol. 3 section 2.5, CR4.CET)
 *   live                 map_text, unmap_text, lock, unlock, caller, may_wait, sync_cpus: once other CPUs run
 *   live, rendezvous     stop_cpus: for sites whose form has several instructions
 *   any                  cpuid, where the instruction can't be trusted (Xen PV); log, trace, breakpoint: optional
 *
 * Example
 *   static void *map_text(uintptr_t address, size_t length) { return kernel_map_writable(address, length); }
 *   static void unmap_text(void *alias, size_t length) { kernel_unmap(alias, length); }
 *   static const struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text, .log = kernel_log};
 *   status = tp_init(&port);
 *
 * Edge cases
 *   - One of map_text and unmap_text without the other: TP_ERR_PORT_HOOK_MISSING, and the error names it.
 *   - A port that has map_text is always asked, at CPL 0 too.
 *   - The struct must outlive the library's use of it.
 *   - A hook of the stage "live" that a call needs and the port lacks: TP_ERR_PORT_HOOK_MISSING, and the error names it.
 *   - Hooks run while text is half patched: no site may be in them, nor in what they call, interrupts' handlers apart.
 */
#ifndef TEXTPATCH_PORT_H
#define TEXTPATCH_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tp_regs;

/* What stop_cpus did. */
enum tp_stop {
    TP_STOP_DONE,   /* written; every CPU has serialised since */
    TP_STOP_BUSY,   /* one was interrupted where it must not be: nothing was called, all run again */
    TP_STOP_SILENT, /* one didn't stop within the time-out: nothing was called, all run again */
};

/* The steps of docs/protocol.md, as the trace hook sees them. */
enum tp_step {
    TP_STEP_BEGIN,     /* a batch: nothing has been written */
    TP_STEP_SET,       /* the cells have their new values */
    TP_STEP_INT3,      /* an int3 was written over a first byte */
    TP_STEP_SYNC_INT3, /* all CPUs have serialised since */
    TP_STEP_TAIL,      /* the bytes behind it were written */
    TP_STEP_SYNC_TAIL,
    TP_STEP_FIRST,     /* the first byte was written */
    TP_STEP_STORE,     /* a whole site was, by one store */
    TP_STEP_SYNC_LAST,
    TP_STEP_STOPPED,   /* a site was written while all other CPUs were stopped */
    TP_STEP_END,       /* the text is what the state says */
    TP_STEPS
};

struct tp_trace {
    uint8_t step;         /* enum tp_step */
    uint8_t class_chosen; /* enum tp_class, where there is a site */
    uint8_t length;       /* bytes that were written; 0 if the step is of the whole batch */
    uintptr_t site;       /* address of the site, 0 likewise */
    uintptr_t address;    /* where they were written, in the text */
    const uint8_t *bytes; /* they; valid during the call */
};

struct tp_port {
    /*
     * A writable alias of text. address: of the first byte, any alignment; length: in bytes. Asked once a pass for
     * all of an image's text; if that is too much for the kernel, it returns NULL and is asked again for each edit
     * (up to 255 bytes, page crossings included). While other CPUs run it is asked once for what a pass changes of an
     * image, from the first such site to the last, and NULL ends the pass: TP_ERR_MAP_FAILED. The aliases of several
     * images are good at once then, through every sync and on whatever CPU the caller goes on; all of a touched page must be
     * there, as whole quadwords are written. Returns the alias of `address`, or NULL.
     * Context: that of tp_apply().
     */
    void *(*map_text)(uintptr_t address, size_t length);
    /* Undoes map_text; gets what it returned and the same length. */
    void (*unmap_text)(void *alias, size_t length);
    /*
     * CPUID, where the instruction does not tell the truth: eax, ebx, ecx, edx into out. Asked by tp_init() only.
     * Under Xen PV it shows the host's features and not the guest's: take tp_xen_pv_cpuid (textpatch/ops.h).
     */
    void (*cpuid)(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    /* One message, no line end; at most TP_MESSAGE_MAX bytes with its NUL. Context: that of the failing call. */
    void (*log)(const char *message);

    /* ---- Live: see textpatch/live.h. Context of all but `breakpoint`: that of the call that patches. ---- */

    /*
     * One lock, taken for the length of a batch, by callers that may sleep. Never taken twice by one caller.
     */
    void (*lock)(void);
    void (*unlock)(void);
    /* Who calls: a number that is not 0 and the same for as long as this caller may hold the lock: its thread. */
    uintptr_t (*caller)(void);
    /* Whether this context may wait for other CPUs: false in #BP and NMI, in interrupts, and with interrupts off. */
    bool (*may_wait)(void);
    /*
     * Has every other running CPU execute a serialising instruction (tp_serialize_cpu does) and waits until all have:
     * "run this on all others and wait". The CPU that calls serialises too. A CPU that comes up while this runs counts
     * only if it takes part; see tp_cpu_online(). The answer must be given from an interrupt that waits while a CPU is in
     * #BP or has interrupts off, not from an NMI: it also tells that no handler is at work any more.
     * Returns false, and in *silent the number of one CPU, if it did not answer within the port's own time-out. Such a
     * CPU must not be left with a call that it still runs later.
     */
    bool (*sync_cpus)(unsigned *silent);
    /*
     * Stops all other CPUs, asks may_proceed for the address at which each of them was interrupted and, if it says yes
     * to all, calls `write` here; then every CPU serialises, this one too, and goes on. Interrupts are off on all of
     * them. A kernel whose handlers can be interrupted themselves asks for those addresses too.
     */
    enum tp_stop (*stop_cpus)(bool (*may_proceed)(uintptr_t ip), void (*write)(void *), void *argument,
                              unsigned *silent);
    /* Each step of each batch, right after it; for tests. TP_STEP_STOPPED is traced while all other CPUs stand still. */
    void (*trace)(const struct tp_trace *trace);
    /*
     * An int3 that is not the library's, or from user mode, if one of the library's #BP entries is used. regs->rip is
     * behind it; what is changed in regs counts. Without the hook it is passed over. Context: #BP.
     */
    void (*breakpoint)(struct tp_regs *regs);
};

/* Serialises the CPU that calls: for sync_cpus and stop_cpus. Any context, any privilege level. */
void tp_serialize_cpu(void);

#ifdef __cplusplus
}
#endif

#endif
