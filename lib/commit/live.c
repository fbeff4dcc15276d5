/* SPDX-License-Identifier: MIT */
/*
 * One site by the class trap, from call to call, as any CPU may see it:
 *
 *   2e e8 11 22 33 44   cs call old
 *   cc e8 11 22 33 44   int3          6.1; then 6.2, sync: nobody executes the old tail any more
 *   cc e8 55 66 77 88   int3          6.3; then 6.4, sync: nobody has fetched the old tail
 *   2e e8 55 66 77 88   cs call new   7; then 8, sync: nobody has fetched the int3
 */
#include "../commit/live.h"

#include "../insn/bytes.h"
#include "../port.h"
#include "../report.h"
#include "../root.h"
#include "../site/site.h"

enum { INT3 = 0xcc };

static void trace_bytes(enum tp_step step, unsigned class_chosen, const struct tp_edit *edit, unsigned offset,
                        unsigned length, const uint8_t *bytes) {
    if (tp_port()->trace)
        tp_port()->trace(&(struct tp_trace){.step = (uint8_t)step,
                                            .class_chosen = (uint8_t)class_chosen,
                                            .length = (uint8_t)length,
                                            .site = edit->address,
                                            .address = edit->address + offset,
                                            .bytes = bytes});
}

void tp_trace_step(enum tp_step step) {
    if (tp_port()->trace)
        tp_port()->trace(&(struct tp_trace){.step = (uint8_t)step});
}

/* Volatile: each byte is stored once, in order, and what is read back by the text's address is memory's. */
static void put_bytes(const struct tp_live *live, uintptr_t address, const uint8_t *bytes, unsigned length) {
    volatile uint8_t *alias = (volatile uint8_t *)(address + live->to_alias);
    for (unsigned i = 0; i < length; i++)
        alias[i] = bytes[i];
}

static bool text_holds(uintptr_t address, const uint8_t *bytes, unsigned length) {
    __asm__ volatile("" : : : "memory");
    return !tp_bytes_differ((const uint8_t *)address, bytes, length);
}

TP_COLD static struct tp_error describe(enum tp_status status, const struct tp_edit *edit, const uint8_t *found) {
    struct tp_error error = {.status = status, .site = edit->address, .length = edit->length, .key = edit->key};
    tp_show_bytes(&error, found, edit->new_bytes);
    return error;
}

TP_COLD static enum tp_status refuse(enum tp_status status, const struct tp_edit *edit, const uint8_t *found) {
    const struct tp_error error = describe(status, edit, found);
    return tp_fail(&error);
}

/*
 * The `own` bytes at an address, which lie in one aligned quadword, by one store of all of it. What else lies there is
 * stored as it is: nobody but the one who holds the lock writes text.
 */
static inline void store_quadword(const struct tp_live *live, uintptr_t address, uint64_t own, uint64_t word) {
    const unsigned offset = address % TP_QUADWORD, shift = 8 * offset;
    volatile tp_cell *quadword = (volatile tp_cell *)(address - offset + live->to_alias);
    *quadword = (*quadword & ~(own << shift)) | word << shift;
}

static void store_site(const struct tp_live *live, const struct tp_edit *edit) {
    uint64_t word = 0;
    for (unsigned i = 0; i < edit->length; i++)
        word |= (uint64_t)edit->new_bytes[i] << 8 * i;
    store_quadword(live, edit->address, tp_own_bytes(edit->length), word);
}

static void read_back(struct tp_live *live, const struct tp_edit *edit) {
    if (!text_holds(edit->address, edit->new_bytes, edit->length) && live->error.status == TP_OK)
        live->error = describe(TP_ERR_READ_BACK, edit, (const uint8_t *)edit->address);
}

static void note_stretch(struct tp_live *live, uintptr_t start, uintptr_t end) {
    if (start < live->start)
        live->start = start;
    if (end > live->end)
        live->end = end;
}

static enum tp_status check_edit(struct tp_live *live, unsigned class_chosen, const struct tp_site *site,
                                 const struct tp_edit *edit) {
    const struct tp_transition transition = {edit->old_bytes, edit->new_bytes, edit->length,
                                             (uint8_t)tp_site_kind(site)};
    enum tp_status status = tp_check_edit(edit);
    if (status != TP_OK)
        return status;
    if (class_chosen == TP_CLASS_NONE)
        return refuse(TP_ERR_CLASS_IMPOSSIBLE, edit, edit->old_bytes);
    live->counts[class_chosen]++;
    live->one_way |= class_chosen == TP_CLASS_STORE && tp_is_one_way(&transition);
    note_stretch(live, edit->address, edit->address + edit->length);
    return TP_OK;
}

/* The record comes first. x86 keeps stores in order: who executes the int3 finds that it is the library's. */
static enum tp_status mark(struct tp_site *site) {
    site->detail |= TP_DETAIL_CHANGING;
    __asm__ volatile("" : : : "memory");
    return TP_OK;
}

static enum tp_status forget(struct tp_site *site) {
    site->detail &= (uint16_t)~TP_DETAIL_CHANGING;
    return TP_OK;
}

static enum tp_status write_int3(const struct tp_live *live, struct tp_site *site, const struct tp_edit *edit) {
    static const uint8_t int3[1] = {INT3};
    (void)mark(site);
    put_bytes(live, edit->address, int3, 1);
    if (!text_holds(edit->address, int3, 1))
        return refuse(TP_ERR_READ_BACK, edit, (const uint8_t *)edit->address);
    trace_bytes(TP_STEP_INT3, TP_CLASS_TRAP, edit, 0, 1, int3);
    return TP_OK;
}

/* What has gone no further than its int3; or what its one store, or the stop, has written. */
static enum tp_status restore(const struct tp_live *live, unsigned class_chosen, const struct tp_edit *edit) {
    const struct tp_edit back = {edit->address, edit->new_bytes, edit->old_bytes, edit->length, edit->key};
    if (class_chosen == TP_CLASS_STORE)
        store_site(live, &back);
    else
        put_bytes(live, edit->address, edit->old_bytes, class_chosen == TP_CLASS_TRAP ? 1 : edit->length);
    return TP_OK;
}

static enum tp_status write_tail(const struct tp_live *live, const struct tp_edit *edit) {
    if (edit->length == 1)
        return TP_OK;
    struct tp_edit behind_int3 = *edit;
    behind_int3.address++;
    behind_int3.length--;
    behind_int3.new_bytes++;
    /* One store where there can be one: TP_SCHEME_PREFIX stands on it. */
    if (tp_in_quadword(behind_int3.address, behind_int3.length))
        store_site(live, &behind_int3);
    else
        put_bytes(live, behind_int3.address, behind_int3.new_bytes, behind_int3.length);
    trace_bytes(TP_STEP_TAIL, TP_CLASS_TRAP, edit, 1, behind_int3.length, behind_int3.new_bytes);
    return TP_OK;
}

static enum tp_status write_first(struct tp_live *live, unsigned class_chosen, const struct tp_edit *edit) {
    if (class_chosen == TP_CLASS_STORE) {
        store_site(live, edit);
        trace_bytes(TP_STEP_STORE, class_chosen, edit, 0, edit->length, edit->new_bytes);
    } else {
        put_bytes(live, edit->address, edit->new_bytes, 1);
        trace_bytes(TP_STEP_FIRST, class_chosen, edit, 0, 1, edit->new_bytes);
    }
    read_back(live, edit);
    return TP_OK;
}

static enum tp_status write_stopped(struct tp_live *live, const struct tp_edit *edit) {
    put_bytes(live, edit->address, edit->new_bytes, edit->length);
    trace_bytes(TP_STEP_STOPPED, TP_CLASS_RENDEZVOUS, edit, 0, edit->length, edit->new_bytes);
    read_back(live, edit);
    return TP_OK;
}

static enum tp_status do_step(struct tp_live *live, unsigned class_chosen, struct tp_site *site,
                              const struct tp_edit *edit) {
    bool traps = class_chosen == TP_CLASS_TRAP, stops = class_chosen == TP_CLASS_RENDEZVOUS;
    switch (live->step) {
    case TP_LIVE_CHECK:
        return check_edit(live, class_chosen, site, edit);
    case TP_LIVE_INT3:
        return traps ? write_int3(live, site, edit) : TP_OK;
    case TP_LIVE_TAIL:
        return traps ? write_tail(live, edit) : TP_OK;
    case TP_LIVE_FIRST:
        return stops ? TP_OK : write_first(live, class_chosen, edit);
    case TP_LIVE_MARK:
        return stops ? mark(site) : TP_OK;
    case TP_LIVE_STOPPED:
        return stops ? write_stopped(live, edit) : TP_OK;
    case TP_LIVE_FORGET:
        return forget(site);
    case TP_LIVE_RESTORE:
        return text_holds(edit->address, edit->old_bytes, edit->length) ? TP_OK : restore(live, class_chosen, edit);
    }
    return TP_OK;
}

TP_ROOT enum tp_status tp_live_edit(struct tp_live *live, struct tp_site *site, const struct tp_edit *edit) {
    const struct tp_transition transition = {edit->old_bytes, edit->new_bytes, edit->length,
                                             (uint8_t)tp_site_kind(site)};
    return do_step(live, tp_choose_class(&transition, edit->address), site, edit);
}

static enum tp_status slow_run_edit(struct tp_live *live, const struct tp_run *run, uint32_t at,
                                    unsigned class_chosen) {
    uint8_t old_bytes[TP_WORD], new_bytes[TP_WORD];
    const struct tp_edit edit = tp_run_edit(run, at, old_bytes, new_bytes);
    return do_step(live, class_chosen, &run->image->sites[run->edits[at].place], &edit);
}

/* Which instructions they are and how they follow one another doesn't depend on what a field of them holds. */
static void classify(const struct tp_run *run, uint32_t at) {
    uint8_t old_bytes[TP_WORD], new_bytes[TP_WORD];
    const struct tp_edit edit = tp_run_edit(run, at, old_bytes, new_bytes);
    const struct tp_site *site = &run->image->sites[run->edits[at].place];
    const struct tp_transition transition = {old_bytes, new_bytes, edit.length, (uint8_t)tp_site_kind(site)};
    run->edits[at].forms->classes = tp_choose_classes(&transition);
    run->edits[at].forms->one_way = tp_is_one_way(&transition);
    run->edits[at].forms->classified = true;
}

static unsigned class_of(const struct tp_run *run, uint32_t at) {
    const struct tp_word_edit *edit = &run->edits[at];
    if (!edit->forms->classified)
        classify(run, at);
    return tp_class_at(edit->forms->classes, edit->address);
}

/*
 * The words of a run, at the speed of memory, for the steps that touch every site of a large batch. What can't be done
 * so is left to the slow way: text near a page's end, and all that is of another class or not as it should be. Each
 * returns whether it was done.
 */
static inline tp_word *word_alias(const struct tp_live *live, const struct tp_word_edit *edit) {
    return (tp_word *)(edit->address + live->to_alias);
}

static inline bool check_word(struct tp_live *live, unsigned class_chosen, const struct tp_word_edit *edit) {
    if (class_chosen == TP_CLASS_NONE || !tp_text_holds(edit, tp_place_word(&edit->forms->old_form, edit->address)))
        return false;
    live->counts[class_chosen]++;
    live->one_way |= class_chosen == TP_CLASS_STORE && edit->forms->one_way;
    note_stretch(live, edit->address, edit->address + edit->forms->length);
    return true;
}

static inline bool write_word_int3(const struct tp_live *live, struct tp_site *site, const struct tp_word_edit *edit) {
    (void)mark(site);
    *(volatile uint8_t *)word_alias(live, edit) = INT3;
    return *(const volatile uint8_t *)edit->address == INT3;
}

/* The site's own bytes alone: others may be executing what lies behind it. */
static inline bool write_word_tail(const struct tp_live *live, const struct tp_word_edit *edit) {
    volatile uint8_t *alias = (volatile uint8_t *)word_alias(live, edit);
    uint64_t word = tp_place_word(&edit->forms->new_form, edit->address);
    for (unsigned i = 1; i < edit->forms->length; i++)
        alias[i] = (uint8_t)(word >> 8 * i);
    return true;
}

static inline bool write_word_first(const struct tp_live *live, unsigned class_chosen,
                                    const struct tp_word_edit *edit) {
    const uint64_t word = tp_place_word(&edit->forms->new_form, edit->address);
    if (class_chosen == TP_CLASS_TRAP)
        *(volatile uint8_t *)word_alias(live, edit) = (uint8_t)word;
    else
        store_quadword(live, edit->address, edit->forms->own, word);
    __asm__ volatile("" : : : "memory"); /* the alias and the text are one memory */
    return tp_text_holds(edit, word);
}

static inline bool do_word(struct tp_live *live, unsigned class_chosen, struct tp_site *site,
                           const struct tp_word_edit *edit) {
    const bool traps = class_chosen == TP_CLASS_TRAP, stops = class_chosen == TP_CLASS_RENDEZVOUS;
    switch (live->step) {
    case TP_LIVE_CHECK:
        return check_word(live, class_chosen, edit);
    case TP_LIVE_INT3:
        return !traps || write_word_int3(live, site, edit);
    case TP_LIVE_TAIL:
        return !traps || write_word_tail(live, edit);
    case TP_LIVE_FIRST:
        return stops || write_word_first(live, class_chosen, edit);
    case TP_LIVE_FORGET:
        return forget(site) == TP_OK;
    default:
        return false;
    }
}

/* The prefix scheme wants tails stored at once, the trace hook wants to see each step. */
static bool wants_each_edit(void) {
    return tp_port()->trace || tp_registry.options.call_scheme == TP_SCHEME_PREFIX;
}

TP_ROOT enum tp_status tp_live_run(struct tp_live *live, const struct tp_run *run) {
    const bool each = wants_each_edit();
    for (uint32_t at = 0; at < run->count; at++) {
        const struct tp_word_edit *edit = &run->edits[at];
        unsigned class_chosen = class_of(run, at);
        if (!each && !tp_leaves_page(edit) && do_word(live, class_chosen, &run->image->sites[edit->place], edit))
            continue;
        enum tp_status status = slow_run_edit(live, run, at, class_chosen);
        if (status != TP_OK)
            return status;
    }
    return TP_OK;
}
