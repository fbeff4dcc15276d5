/* SPDX-License-Identifier: MIT */
#include "bugs.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void die(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    length = length < (int)sizeof text - 1 ? length : (int)sizeof text - 2;
    text[length++] = '\n';
    (void)!write(2, text, (size_t)length);
    _exit(1);
}

void must_be(enum tp_status wanted, enum tp_status status, const char *call) {
    require(status == wanted, "%s: \"%s\" instead of \"%s\"", call, tp_status_text(status), tp_status_text(wanted));
}

/* ---- The library ---- */

const struct tp_live_options by_trap = {.least_class = TP_CLASS_TRAP, .least_assurance = TP_ASSURANCE_VENDOR};
const struct tp_live_options by_any = {.least_assurance = TP_ASSURANCE_PRACTICE};

struct tp_port bug_port;
static struct tp_image program;

void begin_alone(const struct tp_live_options *options) {
    silicon_reset();
    program = (struct tp_image){.name = "program"};
    silicon_program_image(&program);
    must(tp_init(&bug_port));
    must(tp_set_live_options(options));
    must(tp_image_add(&program));
    must(tp_set_cpu_count(2));
    must(tp_apply());
}

void begin(const struct tp_live_options *options) {
    begin_alone(options);
    must(tp_cpus_running(true));
}

void end(void) {
    bug_port.trace = NULL;
    silicon_control.synced = NULL;
    must(tp_audit(NULL, NULL));
    must(tp_cpus_running(false));
    must(tp_revert());
    must(tp_finish());
}

void get_stuck(void *cell, uintptr_t value) {
    silicon_control.silent_sync = (unsigned)silicon_seen.syncs + 1;
    must_answer(TP_ERR_CPU_SILENT, tp_key_update(cell, value));
}

void go_on(void) {
    silicon_control.silent_sync = 0;
    must(tp_batch_resume());
}

/* ---- Images made by hand ---- */

/* Above what the heap may take: 1 GiB behind the program. */
enum { TEXT = 0x48000000, TABLES = 0x4c000000, APART = 0x100000, SITES = 4 };

struct tables {
    struct tp_site sites[SITES];
    uint32_t index[SITES];
    struct tp_key key;
    uint64_t cell;
    char name[8];
    uint8_t forms[64];
};

static void point(int32_t *field, uintptr_t target) {
    *field = (int32_t)(target - (uintptr_t)field);
}

void make_image(struct made *made, unsigned n) {
    static bool mapped[2];
    made->text = TEXT + n * APART;
    made->tables = (struct tables *)(uintptr_t)(TABLES + n * APART);
    if (!mapped[n]) {
        silicon_map_text(made->text, 2 * MADE_PAGE);
        if (mmap(made->tables, sizeof *made->tables, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != made->tables)
            die("no memory for tables");
    }
    mapped[n] = true;
    struct tables *tables = made->tables;
    memset(tables, 0, sizeof *tables);
    memset(silicon_alias(made->text, 2 * MADE_PAGE), 0xcc, 2 * MADE_PAGE);
    strcpy(tables->name, "made.op");
    tables->cell = (uintptr_t)value_1;
    tables->key.kind = TP_KEY_KIND_OP;
    point(&tables->key.cell, (uintptr_t)&tables->cell);
    point(&tables->key.name, (uintptr_t)tables->name);
    made->image = (struct tp_image){.name = "made",
                                    .text_start = made->text,
                                    .text_end = made->text + 2 * MADE_PAGE,
                                    .sites = tables->sites,
                                    .keys = &tables->key,
                                    .key_count = 1,
                                    .originals = tables->forms,
                                    .originals_end = tables->forms + 32,
                                    .replacements = tables->forms + 32,
                                    .replacements_end = tables->forms + 64,
                                    .index = tables->index};
}

static struct tp_site *add_site(struct made *made, unsigned kind, unsigned offset, unsigned length) {
    struct tp_site *site = &made->tables->sites[made->image.site_count++];
    *site = (struct tp_site){.length = (uint8_t)length, .kind = (uint8_t)(TP_RECORD_VERSION << 4 | kind)};
    point(&site->text, made->text + offset);
    return site;
}

/* sub $8,%rsp; call *cell(%rip); add $8,%rsp; ret */
code *make_op(struct made *made, unsigned offset) {
    static const char bytes[] = "\x48\x83\xec\x08\xff\x15\0\0\0\0\x48\x83\xc4\x08\xc3";
    uint8_t *alias = silicon_alias(made->text + offset, sizeof bytes - 1);
    int32_t distance = (int32_t)((uintptr_t)&made->tables->cell - (made->text + offset + 10));
    memcpy(alias, bytes, sizeof bytes - 1);
    memcpy(alias + 6, &distance, sizeof distance);
    struct tp_site *site = add_site(made, TP_KIND_OP, offset + 4, 6);
    point(&site->key, (uintptr_t)&made->tables->cell);
    site->detail = TP_BRANCH_CALL;
    return (code *)(made->text + offset);
}

void make_nops(struct made *made, unsigned offset, unsigned length) {
    uint8_t *original = made->tables->forms, *replacement = original + 32;
    memcpy(original, "\x01\x90", 2);
    memcpy(replacement, "\x01\xf4", 2);
    memset(silicon_alias(made->text + offset, length), 0x90, length);
    struct tp_site *site = add_site(made, TP_KIND_ALTERNATIVE, offset, length);
    point(&site->key, (uintptr_t)replacement);
    point(&site->form, (uintptr_t)original);
    site->detail = TP_FEATURE_KERNEL(30);
}

uint64_t *made_cell(const struct made *made) {
    return &made->tables->cell;
}

void protect_tables(const struct made *made, bool readable) {
    mprotect(made->tables, sizeof *made->tables, readable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void protect_text(const struct made *made, bool readable) {
    mprotect((void *)made->text, 2 * MADE_PAGE, readable ? PROT_READ | PROT_EXEC : PROT_NONE);
}

/* ---- Faults and #BP ---- */

void (*on_fault)(void);

static void take_fault(int signal_number, siginfo_t *info, void *context) {
    void (*call)(void) = on_fault;
    (void)signal_number, (void)context;
    if (!call)
        die("a fault at %p, which none was expected at", info->si_addr);
    on_fault = NULL;
    call();
}

struct tp_regs trap_at(uintptr_t address) {
    static uint64_t stack[8];
    return (struct tp_regs){.rip = address + 1, .rflags = 0x202, .rsp = (uintptr_t)&stack[4]};
}

/* ---- Running them ---- */

static const struct {
    int number;
    void (*run)(void);
} bugs[] = {
#define LIST_BUG(n) {n, bug_##n},
    EACH_BUG(LIST_BUG)};

static bool is_asked_for(int number, int count, char **numbers) {
    for (int i = 0; i < count; i++)
        if (atoi(numbers[i]) == number)
            return true;
    return count == 0;
}

int main(int count, char **arguments) {
    struct sigaction action = {.sa_sigaction = take_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    const char *why = silicon_start();
    if (why) {
        printf("skipped: %s\n", why);
        return SILICON_SKIPPED;
    }
    sigaction(SIGSEGV, &action, NULL);
    silicon_enter(0);
    unsigned ran = 0;
    for (unsigned i = 0; i < sizeof bugs / sizeof bugs[0]; i++) {
        if (!is_asked_for(bugs[i].number, count - 1, arguments + 1))
            continue;
        bug_port = silicon_port;
        bugs[i].run();
        ran++;
    }
    require(ran, "no such case");
    printf("%u without a bug\n", ran);
    return 0;
}
