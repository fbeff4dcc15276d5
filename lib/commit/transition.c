/* SPDX-License-Identifier: MIT */
#include "../commit/transition.h"

#include "../insn/decode.h"
#include "../site/registry.h"

static bool decode_first(const uint8_t *bytes, unsigned length, struct tp_insn *insn) {
    return tp_insn_decode(bytes, bytes + length, insn) == TP_OK;
}

/*
 * One instruction, or one that is never left by its end:   c3 cc cc cc cc cc   ret
 * but not one that jumps further into the site:            eb 01 cc 9c 58 90   jmp; int3; pushf; pop %rax; nop
 * A byte by itself is one as well: a prefix whose instruction lies behind the site.
 */
static bool acts_as_one(const uint8_t *bytes, unsigned length) {
    struct tp_insn first;
    if (length == 1)
        return true;
    if (!decode_first(bytes, length, &first))
        return false;
    if (first.length == length)
        return true;
    uintptr_t target = tp_insn_target(&first, bytes, 0);
    bool jumps_inside = first.kind == TP_INSN_JMP_RELATIVE && target > 0 && target < length;
    return first.flags & TP_INSN_ENDS_FLOW && !jumps_inside;
}

/* Whether a saved return address may lie inside, which no rendezvous sees: at a call that isn't the last. */
static bool calls_inside(const uint8_t *bytes, unsigned length) {
    for (unsigned at = 0; at < length;) {
        struct tp_insn insn;
        if (!decode_first(bytes + at, length - at, &insn))
            return true;
        at += insn.length;
        if (tp_insn_leaves_return_address(&insn) && at < length)
            return true;
    }
    return false;
}

/* What the forms allow, wherever the site lies. */
struct facts {
    bool one;          /* the old form acts as one instruction */
    bool calls_inside;
    bool has_prefix;   /* 2e e8 rel32 to 2e e8 rel32, or the same as a jump */
};

static bool has_prefix(const uint8_t *bytes, unsigned length) {
    enum { CS_PREFIX = 0x2e };
    return length > 1 && bytes[0] == CS_PREFIX && acts_as_one(bytes + 1, length - 1);
}

/*
 * By TP_SCHEME_PREFIX an earlier batch may have sent a CPU behind the prefix, where an interrupt may hold it for long:
 * the old form has two boundaries then, and only a form that has both may follow without a rendezvous.
 */
static bool is_stepped_into(unsigned kind) {
    return tp_registry.options.call_scheme == TP_SCHEME_PREFIX && tp_kind_calls(kind);
}

static struct facts find_facts(const struct tp_transition *transition) {
    const unsigned length = transition->length;
    const bool old_prefix = has_prefix(transition->old_bytes, length);
    struct facts facts = {.one = acts_as_one(transition->old_bytes, length)};
    facts.calls_inside = !facts.one && calls_inside(transition->old_bytes, length);
    facts.has_prefix = old_prefix && has_prefix(transition->new_bytes, length);
    facts.one &= facts.has_prefix || !(old_prefix && is_stepped_into(transition->kind));
    return facts;
}

/* A tail that is executed while it is stored is a store by another name. */
static bool is_store_at_heart(unsigned class_chosen, unsigned kind) {
    return class_chosen == TP_CLASS_STORE || (class_chosen == TP_CLASS_TRAP && is_stepped_into(kind));
}

enum tp_assurance tp_assurance_of(unsigned class_chosen, unsigned kind) {
    if (class_chosen >= TP_CLASS_RENDEZVOUS || tp_registry.by_amd)
        return TP_ASSURANCE_DOCUMENTED;
    return is_store_at_heart(class_chosen, kind) ? TP_ASSURANCE_PRACTICE : TP_ASSURANCE_VENDOR;
}

static bool is_allowed(unsigned class_chosen, unsigned kind) {
    const struct tp_live_options *options = &tp_registry.options;
    return class_chosen >= options->least_class && tp_assurance_of(class_chosen, kind) <= options->least_assurance;
}

/*
 * By TP_SCHEME_PREFIX an int3 in place of a 2e is stepped over, so that what lies behind it must be a whole instruction
 * at every moment: it is changed by one store.
 */
static bool may_trap(const struct facts *facts, const struct tp_transition *transition, uintptr_t address) {
    if (transition->kind == TP_KIND_STATIC_KEY)
        return true;
    if (!tp_kind_calls(transition->kind))
        return false;
    return tp_registry.options.call_scheme != TP_SCHEME_PREFIX ||
           (facts->has_prefix && tp_in_quadword(address + 1, transition->length - 1u));
}

static uint8_t choose(const struct facts *facts, const struct tp_transition *transition, uintptr_t address) {
    if (facts->one && tp_in_quadword(address, transition->length) && is_allowed(TP_CLASS_STORE, transition->kind))
        return TP_CLASS_STORE;
    if (facts->one && is_allowed(TP_CLASS_TRAP, transition->kind) && may_trap(facts, transition, address))
        return TP_CLASS_TRAP;
    return facts->calls_inside ? TP_CLASS_NONE : TP_CLASS_RENDEZVOUS;
}

uint8_t tp_choose_class(const struct tp_transition *transition, uintptr_t address) {
    const struct facts facts = find_facts(transition);
    return choose(&facts, transition, address);
}

bool tp_is_one_way(const struct tp_transition *transition) {
    return !acts_as_one(transition->new_bytes, transition->length);
}

uint16_t tp_choose_classes(const struct tp_transition *transition) {
    const struct facts facts = find_facts(transition);
    unsigned classes = 0;
    for (unsigned offset = 0; offset < TP_QUADWORD; offset++)
        classes |= (unsigned)choose(&facts, transition, offset) << 2 * offset;
    return (uint16_t)classes;
}
