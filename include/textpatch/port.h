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
 *   any                  cpuid, where the instruction can't be trusted (Xen PV); log, optional
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
 */
#ifndef TEXTPATCH_PORT_H
#define TEXTPATCH_PORT_H

#include <stddef.h>
#include <stdint.h>

struct tp_port {
    /*
     * A writable alias of text. address: of the first byte, any alignment; length: in bytes. Asked once a pass for
     * all of an image's text; if that is too much for the kernel, it returns NULL and is asked again for each edit
     * (up to 255 bytes, page crossings included). Returns the alias of `address`, or NULL.
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
};

#endif
