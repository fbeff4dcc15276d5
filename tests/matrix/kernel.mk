# SPDX-License-Identifier: MIT
# The test kernel by one toolchain, in the current directory. By Make, since a CMake build has one compiler only.
#   TREE=checkout COMPILER=gcc|clang LINKER=bfd|lld OPTIMISATION=O0|O2|lto MODEL=kernel|pie GC=keep|gc
#   TOOL=file: the host tool, to be in the link, with an unwind table; none: a plain link

this := $(lastword $(MAKEFILE_LIST))
CC = $(COMPILER)
TEXTPATCH_XEN_PV = yes
include $(TREE)/textpatch.mk

kernel := $(TREE)/test-kernel
platform := $(kernel)/platform
sources := $(wildcard $(kernel)/*.c $(kernel)/suites/*.c $(kernel)/suites/*.asm $(kernel)/suites/*.S \
    $(platform)/*.c $(platform)/*.asm)
objects := $(patsubst $(kernel)/%,objects/%.o,$(sources)) $(TEXTPATCH_OBJECTS)

CFLAGS = $(TEXTPATCH_CFLAGS) -std=gnu11 -ffreestanding -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
    -fcf-protection=none -fasynchronous-unwind-tables -Wall -Wextra -Werror -I$(platform) -I$(kernel) -I$(kernel)/suites
NASMFLAGS = -w+error -I$(platform)/ -I$(kernel)/suites/
LDFLAGS += -nostdlib -static -Wl,-z,max-page-size=4096 -Wl,--build-id=none

CFLAGS += $(if $(filter lto,$(OPTIMISATION)),-O2 $(if $(filter gcc,$(COMPILER)),-flto=auto,-flto),-$(OPTIMISATION))
CFLAGS += $(if $(filter pie,$(MODEL)),-fPIE -include textpatch/hidden.h,-mcmodel=kernel -fno-pie)
ifeq ($(GC),gc)
CFLAGS += -ffunction-sections -fdata-sections
LDFLAGS += -Wl,--gc-sections
endif

all: test-kernel.elf

objects/%.c.o: $(kernel)/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

objects/%.S.o: $(kernel)/%.S
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

objects/%.asm.o: $(kernel)/%.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -I$(TEXTPATCH_DIR)/include/ $(NASMFLAGS) -o $@ $<

# Where a linker can't do its compiler's LTO, the compiler makes one object of machine code out of all C files, and
# that is linked with the rest.
# - lld can't read gcc's bytecode.
# - LLVM's plugin for GNU ld generates position-dependent code whenever the output has a fixed address, whatever the
#   files were compiled with; lld does the same, but lets itself be told better.
ifeq ($(COMPILER)-$(LINKER)-$(OPTIMISATION),gcc-lld-lto)
merge_flags := -flinker-output=nolto-rel
endif
ifeq ($(COMPILER)-$(LINKER)-$(OPTIMISATION)-$(MODEL),clang-bfd-lto-pie)
merge_flags := -flto
endif
ifeq ($(COMPILER)-$(LINKER)-$(OPTIMISATION)-$(MODEL),clang-lld-lto-pie)
LDFLAGS += -Wl,-mllvm,-relocation-model=pic
endif
ifdef merge_flags
bytecode := $(filter %.c.o,$(objects))
objects := $(filter-out $(bytecode),$(objects)) whole-program.o
whole-program.o: $(bytecode)
	$(CC) $(CFLAGS) -fuse-ld=bfd -nostdlib -r $(merge_flags) -o $@ $^
endif

# Nothing that the port does while text is half patched holds a site, whatever the compiler inlines.
live_checks = --port live_port --no-return panic
# The module that the suites modules and live_modules load: `ld -r` takes machine code alone. Not with WITHOUT_MODULE.
ifneq ($(and $(TOOL),$(if $(WITHOUT_MODULE),,yes)),)
module := objects/modules/calls.c.o objects/modules/calls.asm.o
$(module): CFLAGS := $(filter-out -flto%,$(CFLAGS))
endif
test-kernel.elf: $(objects) $(module) $(kernel)/kernel.ld $(TREE)/linker/textpatch.ld $(TOOL) $(TREE)/tools/link $(this)
	$(if $(TOOL),$(TREE)/tools/link --tool $(TOOL) --unwind --check "$(live_checks)" --) $(CC) $(CFLAGS) -fuse-ld=$(LINKER) $(LDFLAGS) -T $(kernel)/kernel.ld -o $@ $(objects)
	$(if $(module),$(TREE)/tools/link-module --tool $(TOOL) --unwind --kernel $@ -o test-module $(module))
	$(if $(module),$(kernel)/put_module objcopy $@ test-module)

-include $(patsubst %.o,%.d,$(objects))
