/* SPDX-License-Identifier: MIT */
/*
 * `textpatch lines`: names for addresses.
 */
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "elf.h"
#include "report.h"

static void name_lines(void *argument) {
    const struct arguments *arguments = argument;
    if (arguments->count < 2)
        refuse_usage(&lines_command);
    const struct kernel *kernel = open_kernel(arguments->words[0]);
    for (int i = 1; i < arguments->count; i++) {
        char *end;
        uint64_t address = strtoull(arguments->words[i], &end, 16);
        if (*end || end == arguments->words[i])
            complain("%s is no address", arguments->words[i]);
        else
            printf("0x%lx %s\n", (unsigned long)address, describe_address(kernel, address));
    }
}

const struct command lines_command = {
    .name = "lines",
    .usage = "KERNEL.elf ADDRESS…",
    .help = "Names addresses (hexadecimal): function, offset, file and line.",
    .run = name_lines,
};
