/* SPDX-License-Identifier: MIT */
#include "port.h"

static const struct tp_port no_port;
static const struct tp_port *taken;

const char *tp_take_port(const struct tp_port *port) {
    taken = port;
    if (tp_port()->map_text && !tp_port()->unmap_text)
        return "unmap_text";
    if (tp_port()->unmap_text && !tp_port()->map_text)
        return "map_text";
    return NULL;
}

const struct tp_port *tp_port(void) {
    return taken ? taken : &no_port;
}

void tp_log(const char *message) {
    if (tp_port()->log)
        tp_port()->log(message);
}
