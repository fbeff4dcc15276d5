/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

void remove_output(const char *path) {
    struct stat status;
    if (path && lstat(path, &status) == 0 && S_ISREG(status.st_mode))
        remove(path);
}
