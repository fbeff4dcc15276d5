/* SPDX-License-Identifier: MIT */
/*
 * The commands, one file each. A command reads its arguments, works, and complains (report.h); main.c turns that into
 * the exit status.
 */
#ifndef TOOL_COMMANDS_H
#define TOOL_COMMANDS_H

enum { STATUS_USAGE = 2 };

struct arguments {
    int count;
    char **words; /* behind the command's name; words[count] is NULL */
};

struct command {
    const char *name;
    const char *usage; /* behind "textpatch NAME " */
    const char *help;  /* whole lines, without the last line end */
    void (*run)(void *arguments); /* struct arguments: the signature is run_guarded()'s */
};

extern const struct command check_command, diff_command, lines_command, list_command, orc_command, sites_command;

/* For a command whose arguments are not what its usage says; status 2. */
_Noreturn void refuse_usage(const struct command *command);

#endif
