/* SPDX-License-Identifier: MIT */
#include "effects.h"

#include <textpatch/engine.h>

#include "own_ops.h"
#include "platform.h"
#include "show.h"
#include "sites.h"

enum { FLAGS_IF_BIT = 9, PATIENCE = 10000000, MOMENT = 10000, PREFIX_CS = 0x2e };

TP_DECLARE_PATCHLET(tp_xen_pv_patchlet_irq_disable);

/* Natively interrupts are masked by IF, under Xen PV by the mask; there IF is what Xen keeps it at. */
struct masks {
    unsigned flag;
    unsigned event_mask; /* Xen PV only */
};

static struct masks read_masks(void) {
    unsigned long flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags) : : "memory");
    return (struct masks){flags >> FLAGS_IF_BIT & 1,
                          *(volatile uint8_t *)&this_cpu()->vcpu_info.evtchn_upcall_mask};
}

static bool masks_are(struct masks masks, bool masked) {
    return world == WORLD_XEN_PV ? masks.event_mask == masked : masks.flag == !masked;
}

/* `rest` fills the value up; NULL: the caller does. */
static void print_masks(struct masks before, struct masks after, const char *rest) {
    print_format("IF %u -> %u   event mask ", before.flag, after.flag);
    if (world == WORLD_XEN_PV)
        print_format("%u -> %u   ", before.event_mask, after.event_mask);
    else
        print_format("%-9s", "-");
    if (rest)
        print_format("%-*s", VALUE_WIDTH - 32, rest);
}

static void print_event(bool pending, uint64_t delivered) {
    print_format("pending %u, delivered %lu", pending, delivered);
}

static void show_irq_disable(void) {
    unmask_interrupts();
    struct masks before = read_masks();
    irq_disable();
    struct masks after = read_masks();
    print_label("irq_disable");
    print_masks(before, after, "");
    end_line(masks_are(before, false) && masks_are(after, true), "irq_disable masks");
}

static void show_save_fl(void) {
    unsigned masked = save_fl() >> FLAGS_IF_BIT & 1;
    unmask_interrupts();
    unsigned unmasked = save_fl() >> FLAGS_IF_BIT & 1;
    mask_interrupts();
    print_label("save_fl, masked and unmasked");
    print_format("IF %u, then %u%*s", masked, unmasked, VALUE_WIDTH - 12, "");
    end_line(masked == 0 && unmasked == 1, "save_fl tells");
}

/* Long enough for whatever isn't masked to arrive. */
static void wait_a_moment(void) {
    for (unsigned i = 0; i < MOMENT; i++)
        __asm__ volatile("pause");
}

static void show_pending_event(void) {
    uint64_t before = event_count;
    raise_event();
    wait_a_moment();
    bool pending = event_is_pending();
    uint64_t early = event_count - before;
    print_label("an event comes");
    print_format("%*s", VALUE_WIDTH - 22, "");
    print_event(pending, early);
    end_line(pending && early == 0, "a masked event stays pending");

    struct masks masked = read_masks();
    irq_enable();
    struct masks unmasked = read_masks();
    for (unsigned i = 0; i < PATIENCE && event_count == before; i++)
        __asm__ volatile("pause");
    pending = event_is_pending();
    mask_interrupts();
    print_label("irq_enable");
    print_masks(masked, unmasked, NULL);
    print_event(pending, event_count - before);
    end_line(masks_are(masked, true) && masks_are(unmasked, false) && !pending && event_count == before + 1,
             "irq_enable unmasks and delivers");
}

void show_effects(void) {
    show_irq_disable();
    mask_interrupts();
    show_pending_event();
    show_save_fl();
}

/* The other world's inline form, padded as the library pads: prefixes in front. */
static void render_wrong_form(uint8_t *bytes, unsigned length) {
    const uint8_t *form = world == WORLD_XEN_PV ? tp_patchlet_irq_disable : tp_xen_pv_patchlet_irq_disable;
    const uint8_t *end =
        world == WORLD_XEN_PV ? tp_patchlet_irq_disable_end : tp_xen_pv_patchlet_irq_disable_end;
    unsigned padding = length - (unsigned)(end - form);
    for (unsigned i = 0; i < length; i++)
        bytes[i] = i < padding ? PREFIX_CS : form[i - padding];
}

/* With IOPL 1 Xen takes cli from a PV guest and does nothing; with 0 it raises #GP. */
static void set_io_privilege(unsigned level) {
    struct physdev_set_iopl privilege = {.iopl = level};
    if (world == WORLD_XEN_PV &&
        hypercall2(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, (unsigned long)&privilege) != 0)
        panic("PHYSDEVOP_set_iopl");
}

static void show_site_run(const char *label, bool expect_masked) {
    unmask_interrupts();
    struct masks before = read_masks();
    disable_once();
    struct masks after = read_masks();
    mask_interrupts();
    print_label(label);
    print_masks(before, after, expect_masked ? "" : "nothing happened");
    end_line(masks_are(before, false) && masks_are(after, expect_masked), label);
}

struct finding {
    unsigned count;
    uintptr_t address;
};

static void keep_finding(const struct tp_difference *difference, void *argument) {
    struct finding *finding = argument;
    finding->count++;
    finding->address = difference->site.address;
}

static void show_audit(const char *label, uintptr_t expected) {
    struct finding finding = {0};
    enum tp_status status = tp_audit(keep_finding, &finding);
    print_label(label);
    if (finding.count > 0)
        print_format("%u site: %016lx%*s", finding.count, finding.address, VALUE_WIDTH - 24, "");
    else
        print_value(tp_status_text(status));
    end_line(expected ? status == TP_ERR_TEXT_DIFFERS && finding.count == 1 && finding.address == expected
                      : status == TP_OK && finding.count == 0,
             label);
}

void show_negative_control(void) {
    struct tp_site_info site;
    uint8_t right[TP_WIDTH_IRQ_DISABLE], wrong[TP_WIDTH_IRQ_DISABLE];
    uintptr_t address = (uintptr_t)disable_once;

    if (!tp_describe_site(address, &site) || site.cell != &pv_ops.irq.irq_disable ||
        site.length != sizeof right) {
        require(false, "disable_once is an irq_disable site");
        return;
    }
    for (unsigned i = 0; i < sizeof right; i++)
        right[i] = ((const uint8_t *)address)[i];
    render_wrong_form(wrong, sizeof wrong);
    set_io_privilege(1);
    print_form("was", address, right, sizeof right);
    show_site_run("the right bytes run", true);
    poke_text(address, wrong, sizeof wrong);
    print_form("now", address, (const uint8_t *)address, sizeof wrong);
    show_site_run("the other world's bytes run", false);
    show_audit("tp_audit names it", address);
    poke_text(address, right, sizeof right);
    show_site_run("repaired", true);
    show_audit("tp_audit", 0);
    set_io_privilege(0);
}
