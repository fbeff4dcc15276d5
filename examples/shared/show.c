/* SPDX-License-Identifier: MIT */
#include "show.h"

#include "platform.h"

enum { MESSAGE_WIDTH = 100 };

static const char *failure;

const char *color(enum style style) {
    static const char *const codes[] = {
        [PLAIN] = "\033[0m", [BOLD] = "\033[1m", [DIM] = "\033[2m", [GREEN] = "\033[32m", [RED] = "\033[31m"};
    static int wanted = -1;
    if (wanted < 0)
        wanted = command_line_has("color");
    return wanted ? codes[style] : "";
}

void print_heading(const char *text) { print_format("\n%s%s%s\n", color(BOLD), text, color(PLAIN)); }

void print_label(const char *label) { print_format("  %-34s", label); }

void print_value(const char *text) { print_format("%-*s", VALUE_WIDTH, text); }

void require(bool condition, const char *what) {
    if (!condition && !failure)
        failure = what;
}

void end_line(bool as_it_should_be, const char *what) {
    require(as_it_should_be, what);
    print_format("  %s%s%s\n", color(as_it_should_be ? GREEN : RED), as_it_should_be ? "ok" : "FAILED",
                 color(PLAIN));
}

void show_status(const char *call, enum tp_status status) {
    print_label(call);
    print_value(tp_status_text(status));
    end_line(status == TP_OK, call);
}

/* The message is a list with commas: lines end there. */
static size_t measure_item(const char *item) {
    size_t length = 0;
    while (item[length] && !(length > 0 && item[length - 1] == ','))
        length++;
    return length;
}

void print_message(const char *message) {
    size_t column = 0;
    while (*message) {
        size_t length = measure_item(message);
        if (column > 0 && column + length > MESSAGE_WIDTH) {
            print_format("\n");
            column = 0;
        }
        if (column == 0)
            print_format("   %s", message[0] == ' ' ? "" : " ");
        print_format("%.*s", (int)length, message);
        column += length;
        message += length;
    }
    print_format("\n");
}

static unsigned privilege_level(void) {
    unsigned cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    return cs & 3;
}

void print_world(void) {
    print_label("world");
    if (world == WORLD_XEN_PV) {
        long version = hypercall2(__HYPERVISOR_xen_version, XENVER_version, 0);
        print_format("Xen PV, Xen %lu.%lu, CPL %u\n", version >> 16, version & 0xffff, privilege_level());
    } else {
        print_format("native, CPL %u\n", privilege_level());
    }
}

void end_demo(void) {
    if (failure)
        print_format("\n%sdemo: FAILED (%s)%s\n", color(RED), failure, color(PLAIN));
    else
        print_format("\n%sdemo: ok%s\n", color(GREEN), color(PLAIN));
    exit_kernel(failure ? 1 : 0);
}
