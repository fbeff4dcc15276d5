/* SPDX-License-Identifier: MIT */
/*
 * textpatch: what a build and a developer ask about the sites of a linked kernel. docs/tool.md is its manual.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "module.h"
#include "report.h"

static const struct command *const commands[] = {
    &check_command,
    &diff_command,
    &list_command,
    &lines_command,
    &orc_command,
    &sites_command,
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fprintf(out, "usage: textpatch COMMAND …\n");
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(out, "\ntextpatch %s %s\n%s\n", commands[i]->name, commands[i]->usage, commands[i]->help);
    fprintf(out, "\n--kernel KERNEL.elf, with any of them: the file is a module of that kernel, linked as tools/link-module\n"
                 "links it to look at it.\n");
    fprintf(out, "\nExit status: 0 fine; 1 an error was told; 2 the command line is wrong.\n");
}

/* --kernel FILE is for all commands: it is taken out. */
static void take_base_kernel(struct arguments *arguments) {
    int kept = 0;
    for (int i = 0; i < arguments->count; i++) {
        if (strcmp(arguments->words[i], "--kernel") == 0 && i + 1 < arguments->count)
            set_base_kernel(arguments->words[++i]);
        else
            arguments->words[kept++] = arguments->words[i];
    }
    arguments->words[kept] = NULL;
    arguments->count = kept;
}

static int run_command(const struct command *command, struct arguments *arguments) {
    bool fine = run_guarded(command->run, arguments);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "textpatch: the output could not be written\n");
        return 1;
    }
    return fine ? 0 : 1;
}

int main(int count, char **words) {
    if (count > 1 && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "help") == 0)) {
        print_help(stdout);
        return 0;
    }
    struct arguments arguments = {count - 2, words + 2};
    if (count > 2)
        take_base_kernel(&arguments);
    for (unsigned i = 0; count > 1 && i < COMMANDS; i++)
        if (strcmp(words[1], commands[i]->name) == 0)
            return run_command(commands[i], &arguments);
    print_help(stderr);
    return STATUS_USAGE;
}
