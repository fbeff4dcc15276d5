/* SPDX-License-Identifier: MIT */
/* A function that is chosen at run time and called like any other. */
#include <textpatch/static_call.h>

#include "platform.h"

static int pick_first(int tasks) { return tasks > 0 ? 1 : 0; }
static int pick_last(int tasks) { return tasks; }
TP_DEFINE_STATIC_CALL(pick_task, pick_first);

/* No target at first: a call does nothing. */
static int events;
static void count_event(int number) { events += number; }
TP_DEFINE_STATIC_CALL_NULL(on_event, count_event);

/* 0 until somebody knows better. */
static long read_temperature(void) { return 36; }
TP_DEFINE_STATIC_CALL_RET0(temperature, read_temperature);

static void require(bool condition, const char *what) {
    print_format("%-50s %s\n", what, condition ? "ok" : "FAILED");
    if (!condition)
        exit_kernel(1);
}

void kernel_main(const char *command_line) {
    static const struct tp_port port = {.map_text = map_text, .unmap_text = unmap_text};
    static struct tp_image kernel;
    (void)command_line;

    tp_static_call(on_event)(1);
    require(tp_static_call(pick_task)(4) == 1 && events == 0 && tp_static_call(temperature)() == 0,
            "calls work before the library has run");
    tp_kernel_image(&kernel, text_start, text_end);
    require(!tp_init(&port) && !tp_image_add(&kernel) && !tp_apply(), "the library patches the trampolines");
    tp_static_call(on_event)(1);
    require(tp_static_call(pick_task)(4) == 1 && events == 0 && tp_static_call(temperature)() == 0,
            "they do what they did");

    require(!tp_static_call_update(pick_task, pick_last), "a new target");
    require(tp_static_call(pick_task)(4) == 4, "is called");
    require(!tp_static_call_update(on_event, count_event), "a first target");
    tp_static_call(on_event)(2);
    require(events == 2, "is called");
    require(!tp_static_call_update(on_event, NULL) && !tp_static_call_query(on_event), "and is gone");
    tp_static_call(on_event)(4);
    require(events == 2, "is not called");
    require(!tp_static_call_update(temperature, read_temperature), "a value");
    require(tp_static_call(temperature)() == 36, "is returned");
    require(!tp_static_call_update_ret0(temperature) && tp_static_call(temperature)() == 0, "and 0 again");
    exit_kernel(0);
}
