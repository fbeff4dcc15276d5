; SPDX-License-Identifier: MIT
; Room for the module, which is linked against this kernel and so comes after it: put_module fills it.

MODULE_ROOM equ 65536

section .modules progbits alloc noexec nowrite align=16
global module_file:data hidden
global module_file_end:data hidden
module_file:
    times MODULE_ROOM db 0
module_file_end:

section .note.GNU-stack noalloc noexec nowrite progbits
