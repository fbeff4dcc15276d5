# SPDX-License-Identifier: MIT
#
# textpatch, the Make way in (GNU make). A kernel's Makefile needs three lines:
#
#   include textpatch/textpatch.mk
#   objects += $(TEXTPATCH_OBJECTS)
#   CFLAGS += $(TEXTPATCH_CFLAGS)
#
# where $(objects) is what the kernel is linked from, by a command that has $(LDFLAGS). The library is compiled with
# the kernel's own $(CC) $(CPPFLAGS) $(CFLAGS) and $(NASM) $(NASMFLAGS), after all of the Makefile was read. Before
# the include line may stand:
#
#   TEXTPATCH_XEN_PV = yes             with the Xen PV op tables
#   TEXTPATCH_BUILD = somewhere        where the library's objects go
#   TEXTPATCH_TOOL = file              the host tool, if it should not be built
#
# To have the host tool check the kernel when it is linked, and make sites of its static calls, put $(TEXTPATCH_LINK)
# before the command that links, and $(TEXTPATCH_TOOL) among what it depends on:
#
#   kernel.elf: $(objects) $(TEXTPATCH_TOOL)
#   	$(TEXTPATCH_LINK) $(CC) $(LDFLAGS) -o $@ $(objects)
#
# The tool is built by $(HOSTCC), cc by default; tools/link has the options that $(TEXTPATCH_LINK) may be given.

TEXTPATCH_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
TEXTPATCH_BUILD ?= textpatch-objects
NASM ?= nasm

textpatch_groups := core $(if $(TEXTPATCH_XEN_PV),xen-pv)
textpatch_sources := $(foreach group,$(textpatch_groups),$(shell sed -n 's/^$(group)  *//p' $(TEXTPATCH_DIR)/sources.txt))

TEXTPATCH_OBJECTS := $(patsubst %,$(TEXTPATCH_BUILD)/%.o,$(textpatch_sources))
TEXTPATCH_CFLAGS := -I$(TEXTPATCH_DIR)/include
TEXTPATCH_TOOL ?= $(TEXTPATCH_BUILD)/host/textpatch
TEXTPATCH_LINK = $(TEXTPATCH_DIR)/tools/link --tool $(TEXTPATCH_TOOL) $(TEXTPATCH_LINK_OPTIONS) --
# For `INCLUDE textpatch.ld` in the kernel's linker script.
LDFLAGS += -L$(TEXTPATCH_DIR)/linker

$(TEXTPATCH_BUILD)/%.c.o: $(TEXTPATCH_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) -I$(TEXTPATCH_DIR)/include $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(TEXTPATCH_BUILD)/%.asm.o: $(TEXTPATCH_DIR)/%.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -I$(TEXTPATCH_DIR)/include/ $(NASMFLAGS) -M -MF $(@:.o=.d) -MT $@ $<
	$(NASM) -f elf64 -I$(TEXTPATCH_DIR)/include/ $(NASMFLAGS) -o $@ $<

# Targets of an included file must not become the Makefile's default goal.
textpatch_goal := $(.DEFAULT_GOAL)
$(TEXTPATCH_BUILD)/host/textpatch: $(wildcard $(TEXTPATCH_DIR)/tools/textpatch/*) $(TEXTPATCH_DIR)/sources.txt \
    $(addprefix $(TEXTPATCH_DIR)/,$(textpatch_sources)) $(wildcard $(TEXTPATCH_DIR)/include/textpatch/*.h)
	HOSTCC='$(HOSTCC)' NASM='$(NASM)' $(TEXTPATCH_DIR)/tools/build $@

-include $(TEXTPATCH_OBJECTS:.o=.d)
.DEFAULT_GOAL := $(textpatch_goal)
