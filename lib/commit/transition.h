/* SPDX-License-Identifier: MIT */
/*
 * The class of an edit: how a site may be changed while CPUs execute it.
 *
 * What decides
 *   old form   A CPU may stand, and a context may be parked, at every instruction boundary of the old form. If there is
 *              none but the first, or nothing behind the first instruction is ever reached, the form counts as one
 *              instruction, and its bytes may be exchanged around whoever is about to execute it. Else all CPUs have to
 *              be out of it: rendezvous.
 *   place      One store changes what lies in an aligned quadword at once (AMD APM vol. 2 section 7.6.1, asynchronous
 *              modification); what crosses one has no contract with any vendor.
 *   record     A site that has a key means a call or a branch, which #BP can do for whoever hits the int3; the other
 *              kinds mean any instructions.
 *
 *   class        AMD                       Intel
 *   store        documented (7.6.1)        practice: model-specific (SDM vol. 3 section 9.1.3 gives no such rule)
 *   trap         documented: a one-byte    the vendor's word, by mail; a call by TP_SCHEME_PREFIX, whose tail is
 *                store, each side of a     executed while it is stored: practice, as a store
 *                sync
 *   rendezvous   documented (7.6.1,        documented (SDM vol. 3 section 9.1.3, cross-modifying code)
 *                synchronous)
 */
#ifndef TP_COMMIT_TRANSITION_H
#define TP_COMMIT_TRANSITION_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/live.h>

enum { TP_QUADWORD = 8, TP_CLASSES = TP_CLASS_NONE };

/* Two forms of a site, of one length, which are to follow one another. */
struct tp_transition {
    const uint8_t *old_bytes, *new_bytes;
    uint8_t length;
    uint8_t kind; /* TP_KIND_… of the outermost record */
};

/* Whether [address, address + length) lies in one aligned quadword. */
static inline bool tp_in_quadword(uintptr_t address, unsigned length) {
    return address % TP_QUADWORD + length <= TP_QUADWORD;
}

/* The quickest class that the options allow. */
uint8_t tp_choose_class(const struct tp_transition *transition, uintptr_t address);

/* The same for all addresses that lie alike: two bits each, by address % TP_QUADWORD. */
uint16_t tp_choose_classes(const struct tp_transition *transition);

static inline unsigned tp_class_at(uint16_t classes, uintptr_t address) {
    return classes >> 2 * (address % TP_QUADWORD) & 3;
}

/* Whether what is stored could not be stored back: the new form has several instructions, someone may stand inside. */
bool tp_is_one_way(const struct tp_transition *transition);

/* What a class stands on, on this CPU, for a kind of site. */
enum tp_assurance tp_assurance_of(unsigned class_chosen, unsigned kind);

/* Kinds whose sites mean a call or a jump to what their cell holds. */
static inline bool tp_kind_calls(unsigned kind) {
    return kind == TP_KIND_OP || kind == TP_KIND_STATIC_CALL || kind == TP_KIND_TRAMPOLINE;
}

#endif
