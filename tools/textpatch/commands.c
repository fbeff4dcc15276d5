/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

void refuse_usage(const struct command *command) {
    fprintf(stderr, "usage: textpatch %s %s\n", command->name, command->usage);
    exit(STATUS_USAGE);
}
