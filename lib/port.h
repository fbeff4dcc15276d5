/* SPDX-License-Identifier: MIT */
/*
 * The kernel's hooks, as the floors see them.
 */
#ifndef TP_PORT_H
#define TP_PORT_H

#include <textpatch/port.h>
#include <textpatch/status.h>

/* Takes the port, or NULL for none. Returns the name of a hook that is missing beside another one, or NULL. */
const char *tp_take_port(const struct tp_port *port);

/* Never NULL. */
const struct tp_port *tp_port(void);

void tp_log(const char *message);

#endif
