/* SPDX-License-Identifier: MIT */
/* What the interrupt ops do to this CPU, seen without any op: by pushf, and by the byte that Xen looks at. */
#ifndef EFFECTS_H
#define EFFECTS_H

/* irq_disable, irq_enable, save_fl, and an event that comes in between. */
void show_effects(void);

/* The other world's irq_disable, forced into one site: it runs, and does nothing. Then the site is repaired.
 */
void show_negative_control(void);

#endif
