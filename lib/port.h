/* SPDX-License-Identifier: MIT */
/*
 * The kernel's hooks, as the floors see them.
 */
#ifndef TP_PORT_H
#define TP_PORT_H

#include <textpatch/port.h>
#include <textpatch/status.h>

/* Takes the port, or NULL for none. TP_OK or TP_ERR_PORT_HOOK_MISSING. */
TP_MUST_CHECK enum tp_status tp_take_port(const struct tp_port *port);

/* Never NULL. */
const struct tp_port *tp_port(void);

void tp_log(const char *message);

#endif
