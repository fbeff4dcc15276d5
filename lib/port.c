/* SPDX-License-Identifier: MIT */
#include "port.h"

#include "report.h"

static const struct tp_port no_port;
static const struct tp_port *taken;

static enum tp_status fail_missing(const char *hook) {
    return tp_fail(&(struct tp_error){.status = TP_ERR_PORT_HOOK_MISSING, .hook = hook});
}

enum tp_status tp_take_port(const struct tp_port *port) {
    taken = port;
    if (!port)
        return TP_OK;
    if (taken->map_text && !taken->unmap_text)
        return fail_missing("unmap_text");
    if (taken->unmap_text && !taken->map_text)
        return fail_missing("map_text");
    return TP_OK;
}

const struct tp_port *tp_port(void) {
    return taken ? taken : &no_port;
}

void tp_log(const char *message) {
    if (tp_port()->log)
        tp_port()->log(message);
}
