/* SPDX-License-Identifier: MIT */
/*
 * textpatch/live.h: changing text that other CPUs are executing.
 *
 * What it is for
 *   After tp_cpus_running(true) the calls of textpatch/engine.h that write (tp_apply, tp_revert, tp_key_update and what
 *   is made of it) change text under the feet of every CPU, and return when all of them run the new text. This header
 *   has what is new then: batches, the #BP handler, the question that a scheduler asks, and the choices.
 *
 * The calls
 *   tp_batch_begin, tp_batch_set, tp_batch_add, tp_batch_take_features, tp_batch_commit, tp_batch_cancel
 *   tp_batch_resume        after a CPU has been silent
 *   tp_handle_breakpoint   from the kernel's #BP entry; or its IDT points to one of the tp_breakpoint_entry…
 *   tp_preempt_ok          may a context be parked at this address?
 *   tp_cpu_online          on a CPU that has just come up
 *   tp_set_live_options    which classes, which scheme
 *
 * Example, once at boot, with a port that has the hooks of the stage "live" (textpatch/port.h)
 *   set_gate(3, tp_breakpoint_entry);
 *   if (tp_init(&port) || tp_set_cpu_count(2) || tp_image_add(&kernel) || tp_apply() || tp_cpus_running(true))
 *       panic(…);
 *   start_other_cpus();
 * and from then on, from any context that may sleep
 *   status = tp_static_key_enable(tracing);
 *   if (tp_batch_begin() == TP_OK) {
 *       if (tp_batch_set(&pv_ops.save_fl, (uintptr_t)traced_save_fl) || tp_batch_set(&pv_ops.restore_fl, …))
 *           status = tp_batch_cancel();
 *       else
 *           status = tp_batch_commit();
 *   }
 *
 * How it works
 *   Each edit is made in one of three ways, its class, chosen from its old form, where it lies and who made the CPU:
 *     store       old form one instruction, inside an aligned quadword: one 8-byte store, one sync for the batch
 *     trap        old form one instruction: int3 on the first byte, sync, the tail, sync, the first byte, sync. Three
 *                 syncs for the batch. Who hits the int3 is helped by tp_handle_breakpoint(): the site means a call of
 *                 its key's target, or the branch of its static key, and that is done for it.
 *     rendezvous  everything else: all other CPUs are stopped while the bytes are exchanged, none of them inside a site
 *   docs/protocol.md numbers the steps, and says what each CPU vendor guarantees for each.
 *
 * Contract
 *   - When a call returns TP_OK, every CPU runs the new text. A second caller waits for the first one, and so doesn't
 *     return before the text is live either.
 *   - Cells are set before the first byte is: code that reads a cell, and calls that are emulated, may see the new
 *     target while other sites still call the old one. Both must be valid until the call returns.
 *   - Nothing that runs between the first int3 and the last sync on the CPU that patches, and nothing in the #BP entry,
 *     may hold a site. The library holds none; hooks of the port must not either.
 *   - NMI and machine-check handlers may hold sites of the classes store and trap, but none that goes by rendezvous; none
 *     of the class trap if #BP has a stack of its own (IST), on which it would come in twice. The return from #BP unmasks
 *     NMIs, as every IRET does.
 *   - Code must be compiled with -mno-red-zone: an emulated call pushes.
 *
 * Edge cases
 *   - A site whose old form has a call that doesn't end it (a return address would lie inside the site) can't be
 *     changed live: TP_ERR_CLASS_IMPOSSIBLE.
 *   - An image that was added while CPUs run is written by the boot writer at the next tp_apply(), before it can run.
 *   - tp_cpus_running(true) executes one int3 of its own: a kernel whose #BP doesn't lead to tp_handle_breakpoint() is
 *     told then, TP_ERR_NO_BREAKPOINT, and not at the first site. (One that panics at an unknown int3 does so there.)
 *   - TP_ERR_CPU_SILENT and TP_ERR_CPU_BUSY come from the middle of a batch. The batch stays as it is, and stays the
 *     caller's: int3 bytes that are in the text go on being emulated, so that every CPU goes on executing what the
 *     sites mean. tp_batch_resume() goes on from the step that failed, as often as is needed. Until it has ended,
 *     other callers wait.
 */
#ifndef TEXTPATCH_LIVE_H
#define TEXTPATCH_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/engine.h>
#include <textpatch/regs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Batches ---- */

/*
 * Opens a batch: changes that become text together, under one set of syncs.
 * Context: tp_init() done; while other CPUs run, one that may wait. Waits while another caller's batch is open.
 * Statuses: TP_OK, TP_ERR_NOT_INITIALIZED, TP_ERR_BATCH_OPEN (this caller has one), TP_ERR_WRONG_CONTEXT,
 * TP_ERR_PORT_HOOK_MISSING.
 */
TP_MUST_CHECK enum tp_status tp_batch_begin(void);

/*
 * Notes one cell's new value; nothing is changed yet, the last note of a cell counts. tp_batch_add notes a static key's
 * count as it would be after the addition.
 *   cell, value, change: as tp_key_update() and tp_key_add().
 * A static call's value 0 stands for no target.
 * Context: between begin and commit, the caller that began.
 * Statuses: TP_OK, TP_ERR_NOT_INITIALIZED, TP_ERR_NO_BATCH, TP_ERR_BATCH_STUCK, TP_ERR_UNKNOWN_KEY, TP_ERR_BAD_ARGUMENT (a
 * count below 0).
 */
TP_MUST_CHECK enum tp_status tp_batch_set(void *cell, uint64_t value);
TP_MUST_CHECK enum tp_status tp_batch_add(void *cell, int64_t change);

/* Features as they are wanted now become part of the batch: alternatives are chosen anew.
 * Statuses: TP_OK, TP_ERR_NOT_INITIALIZED, TP_ERR_NO_BATCH, TP_ERR_BATCH_STUCK. */
TP_MUST_CHECK enum tp_status tp_batch_take_features(void);

/*
 * Makes the text show what was noted, and closes the batch.
 * Context: as tp_batch_set(), and where the port's may_wait says yes. Statuses: TP_ERR_NO_BATCH, TP_ERR_BATCH_STUCK, and all
 * of tp_apply(). After an error the batch is closed and nothing was changed, but: TP_ERR_WRONG_CONTEXT leaves it open;
 * TP_ERR_CPU_SILENT and TP_ERR_CPU_BUSY leave it in the middle; for TP_ERR_READ_BACK see textpatch/status.h.
 */
TP_MUST_CHECK enum tp_status tp_batch_commit(void);

/* Forgets what was noted, and closes the batch. Statuses: TP_OK, TP_ERR_NOT_INITIALIZED, TP_ERR_NO_BATCH, TP_ERR_BATCH_STUCK. */
TP_MUST_CHECK enum tp_status tp_batch_cancel(void);

/*
 * Goes on with what TP_ERR_CPU_SILENT or TP_ERR_CPU_BUSY has ended, be it a batch or any other call that writes.
 * Context: the same caller, where may_wait says yes. Statuses: TP_OK: all is done; TP_ERR_NO_BATCH: nothing is left undone;
 * TP_ERR_NOT_INITIALIZED; TP_ERR_WRONG_CONTEXT, TP_ERR_CPU_SILENT, TP_ERR_CPU_BUSY: as before; TP_ERR_READ_BACK: done,
 * or undone if there were only sites to be stopped for: textpatch/status.h.
 */
TP_MUST_CHECK enum tp_status tp_batch_resume(void);

/* ---- #BP ---- */

enum tp_breakpoint {
    TP_BREAKPOINT_FOREIGN, /* not the library's: regs are untouched, hand it on */
    TP_BREAKPOINT_RESUME,  /* regs say where to go on */
};

/*
 * Does what a site means whose first byte is an int3 of the library, or sends back to a site that is patched by now.
 *   regs: as at the #BP: rip is behind the int3 (Intel SDM vol. 3 section 6.15, vector 3). An emulated call writes 8
 *         bytes below regs->rsp, so that no part of the frame may lie there: see tp_breakpoint_entry.
 *         error_code, which #BP has none of, then tells who unwinds through the frame (textpatch/unwind.h).
 * Context: #BP of CPL 0 (or of the kernel under Xen PV), interrupts off. Wait-free: takes no lock, calls nothing.
 */
enum tp_breakpoint tp_handle_breakpoint(struct tp_regs *regs);

/*
 * Entries for the IDT's vector 3, in asm/breakpoint.asm: build a struct tp_regs, handle, return. What is foreign goes to
 * the port's `breakpoint` hook. Two ways to make room for the address that an emulated call pushes, both with and
 * without a stack of their own (IST):
 *   tp_breakpoint_entry         moves the CPU's frame down by 16 bytes before it pushes registers: a gap
 *   tp_breakpoint_entry_copied  resumes a copy of the frame, further down, where a call was emulated
 * and tp_breakpoint_entry_xen_pv, in asm/breakpoint_xen_pv.asm, for Xen PV guests (trap table entry 3), with the gap.
 */
void tp_breakpoint_entry(void);
void tp_breakpoint_entry_copied(void);
void tp_breakpoint_entry_xen_pv(void);

/* ---- Contexts and CPUs ---- */

/*
 * Whether a context that was interrupted at `ip` may be set aside for others to run: false inside a site, that is,
 * behind its first byte and before its end. The kernel asks before it preempts, and the port's stop_cpus hook asks
 * for every CPU a narrower question. A thread that faults inside a site, on user memory say, and sleeps is set aside as
 * well. Context: any, NMI too, wait-free; where images may be removed meanwhile, with interrupts off.
 */
bool tp_preempt_ok(uintptr_t ip);

/*
 * Serialises. To be called by a CPU that comes up, once it takes part in the port's sync_cpus, before it executes a
 * site: it may have fetched text from before a change (Intel SDM vol. 3 section 9.1.3).
 * Context: the new CPU.
 */
void tp_cpu_online(void);

/* ---- Choices: tp_plan() (textpatch/engine.h) tells class and assurance of each edit ---- */

enum tp_class {
    TP_CLASS_STORE,
    TP_CLASS_TRAP,
    TP_CLASS_RENDEZVOUS,
    TP_CLASS_NONE, /* it can't: TP_ERR_CLASS_IMPOSSIBLE */
};

/* What a class stands on, on this CPU, for this edit. */
enum tp_assurance { TP_ASSURANCE_DOCUMENTED, TP_ASSURANCE_VENDOR, TP_ASSURANCE_PRACTICE };

/* How a call site changes its target. */
#define TP_SCHEME_EMULATE 0 /* as its class says; the #BP entry chooses between gap and copied frame */
#define TP_SCHEME_PREFIX 1  /* int3 only ever replaces a 2e in front of the call, and is stepped over: on CPUs not by AMD
                               with TP_ASSURANCE_PRACTICE only, else calls go by rendezvous */
#define TP_SCHEME_STORE 2   /* sites in one quadword by a store; others stay as linked, which reads the cell */
#ifndef TP_CALL_SCHEME
#define TP_CALL_SCHEME TP_SCHEME_EMULATE
#endif

struct tp_live_options {
    uint8_t least_class;     /* enum tp_class: none quicker than this one */
    uint8_t least_assurance; /* enum tp_assurance: TP_ASSURANCE_PRACTICE allows stores on CPUs not by AMD */
    uint8_t call_scheme;     /* TP_SCHEME_…; changes with tp_image_add() only */
    bool without_middle_sync; /* step 6.4; on CPUs by AMD alone, where stores reach the fetcher in order */
};

/*
 * options: NULL for the defaults: classes as they come, TP_ASSURANCE_VENDOR, TP_CALL_SCHEME, every sync.
 * Context: after tp_init(), which sets the defaults. Statuses: TP_OK, TP_ERR_NOT_INITIALIZED; TP_ERR_BAD_ARGUMENT, also
 * for without_middle_sync on other CPUs; TP_ERR_BATCH_OPEN while one is open; TP_ERR_IMAGE_KNOWN: another call_scheme while
 * images are in use; while other CPUs run TP_ERR_WRONG_CONTEXT, TP_ERR_PORT_HOOK_MISSING.
 */
TP_MUST_CHECK enum tp_status tp_set_live_options(const struct tp_live_options *options);
void tp_get_live_options(struct tp_live_options *options);

/* Names of the numbers above; never NULL. Context: any. */
const char *tp_class_text(unsigned value);
const char *tp_assurance_text(unsigned value);
const char *tp_step_text(unsigned value);

#ifdef __cplusplus
}
#endif
#endif
