/* SPDX-License-Identifier: MIT */
/*
 * The host tool: how large its tables are, and how long it takes for a kernel of 100,000 functions and as many sites
 * (bench/unwind/). The programs and kernels are told by bench/CMakeLists.txt.
 */
#include "bench.h"

#include <elf.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unwind.h"

extern char **environ;

/* ---- A kernel's symbols ---- */

struct kernel {
    const uint8_t *bytes;
    const Elf64_Shdr *sections;
    unsigned section_count;
};

static struct kernel open_kernel(const char *name) {
    struct stat status;
    int file = open(name, O_RDONLY);
    if (file < 0 || fstat(file, &status) != 0)
        bench_die("unwind: %s can't be read", name);
    const uint8_t *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED || memcmp(bytes, ELFMAG, SELFMAG) != 0)
        bench_die("unwind: %s is no ELF", name);
    close(file);
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)bytes;
    return (struct kernel){bytes, (const Elf64_Shdr *)(bytes + head->e_shoff), head->e_shnum};
}

static bool find_in(const struct kernel *kernel, const Elf64_Shdr *table, const char *name, uint64_t *value) {
    const Elf64_Sym *symbols = (const Elf64_Sym *)(kernel->bytes + table->sh_offset);
    const char *names = (const char *)kernel->bytes + kernel->sections[table->sh_link].sh_offset;
    for (uint64_t i = 0; i < table->sh_size / sizeof *symbols; i++)
        if (strcmp(names + symbols[i].st_name, name) == 0) {
            *value = symbols[i].st_value;
            return true;
        }
    return false;
}

static uint64_t find_symbol(const struct kernel *kernel, const char *name) {
    uint64_t value;
    for (unsigned i = 0; i < kernel->section_count; i++)
        if (kernel->sections[i].sh_type == SHT_SYMTAB && find_in(kernel, &kernel->sections[i], name, &value))
            return value;
    bench_die("unwind: no symbol %s", name);
}

static void weigh(const char *name, const char *file, FILE *out) {
    struct kernel kernel = open_kernel(file);
    double table = (double)(find_symbol(&kernel, "__tp_orc_end") - find_symbol(&kernel, "__tp_orc"));
    double text = (double)(find_symbol(&kernel, "text_end") - find_symbol(&kernel, "text_start"));
    if (table == 0)
        bench_die("unwind: %s has no table", file);
    fprintf(out, "%s,%.0f,bytes,%.0f,%.3f\n", name, table, text, table / text);
}

/* ---- The tool's time ---- */

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

/*
 * Seconds of one command that it was executing, so that a busy machine doesn't add to them: it is one thread. Its output
 * goes nowhere, what it complains of is shown.
 */
static double run_tool(const char *const words[]) {
    posix_spawn_file_actions_t actions;
    struct rusage usage;
    pid_t process;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&process, words[0], &actions, NULL, (char *const *)words, environ) != 0 ||
        wait4(process, &status, 0, &usage) != process || status != 0)
        bench_die("unwind: textpatch %s failed", words[1]);
    posix_spawn_file_actions_destroy(&actions);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

void bench_tool(void) {
    static const char *const sites[] = {BENCH_TOOL, "sites", BENCH_LARGE ".first", "-o", "/dev/null", NULL};
    static const char *const orc[] = {BENCH_TOOL, "orc", BENCH_LARGE, NULL};
    static const char *const check[] = {BENCH_TOOL, "check", BENCH_LARGE, "--against", BENCH_LARGE ".first", NULL};
    weigh("unwind.table_ratio", BENCH_KERNEL, stdout);
    weigh("of 100,000 functions", BENCH_LARGE, stderr);
    double all[3] = {run_tool(sites), run_tool(orc), run_tool(check)};
    printf("unwind.build,%.3f,s,,\n", all[0] + all[1] + all[2]);
    fprintf(stderr, "unwind.build: sites %.3f s, orc %.3f s, check %.3f s\n", all[0], all[1], all[2]);
}
