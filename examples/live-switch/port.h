/* SPDX-License-Identifier: MIT */
/* The port: the test kernel's, with more patience. */
#ifndef PORT_H
#define PORT_H

#include "live_port.h"

/* What the command line asks for. To be called once; CPUs may not have been started yet. */
const struct tp_port *set_up_port(void);

/* With `no-check`: CPUs that were stopped inside a site, which was written nevertheless. */
extern unsigned stops_inside;

#endif
