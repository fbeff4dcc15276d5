/* SPDX-License-Identifier: MIT */
/*
 * textpatch/feature.h: what alternatives are chosen by.
 *
 * What it is for
 *   A feature is a bit of the machine's (or the kernel's) character that is known at boot. An alternative names one;
 *   its replacement stands in the text where the feature is set (or, with TP_NOT(), where it is clear).
 *
 * The calls
 *   tp_feature_set(), tp_feature_clear() and tp_feature_test() act on the wanted state; the text follows at the next
 *   tp_apply(). tp_init() fills the CPUID words and the synthetic word.
 *
 * Example
 *   #define KERNEL_FEATURE_FAST_COPY TP_FEATURE_KERNEL(0)
 *   if (measured_copy_is_fast())
 *       status = tp_feature_set(KERNEL_FEATURE_FAST_COPY);
 *
 * How it works
 *   A feature is word * 32 + bit. Words 0 to 11 are CPUID registers as the CPU reports them (Intel SDM vol. 2 CPUID,
 *   AMD APM vol. 3 appendix E), word 12 is the library's, words 13 to 15 are the kernel's: 96 bits of its own.
 *
 * Edge cases
 *   Any bit of a CPUID word may be named, whether or not a name stands below. In the synthetic word only the named
 *   bits exist; a record that names another one is refused as TP_ERR_UNKNOWN_FEATURE, never taken as set.
 *   A feature that the kernel wants off ("nosmap") is cleared before tp_apply().
 *   feature.inc holds the same values for NASM; the test `feature_twins` compares the two.
 */
#ifndef TEXTPATCH_FEATURE_H
#define TEXTPATCH_FEATURE_H

#define TP_FEATURE_WORDS 16
#define TP_FEATURE(word, bit) ((word) * 32 + (bit))
#define TP_FEATURE_KERNEL(bit) TP_FEATURE(13, bit) /* 0 to 95 */
#define TP_NOT(feature) ((feature) | 0x8000)

/* CPUID 1 EDX */
#define TP_FEATURE_FPU (0 * 32 + 0)
#define TP_FEATURE_TSC (0 * 32 + 4)
#define TP_FEATURE_MSR (0 * 32 + 5)
#define TP_FEATURE_PAE (0 * 32 + 6)
#define TP_FEATURE_CX8 (0 * 32 + 8)
#define TP_FEATURE_APIC (0 * 32 + 9)
#define TP_FEATURE_SEP (0 * 32 + 11)
#define TP_FEATURE_PGE (0 * 32 + 13)
#define TP_FEATURE_CMOV (0 * 32 + 15)
#define TP_FEATURE_PAT (0 * 32 + 16)
#define TP_FEATURE_CLFLUSH (0 * 32 + 19)
#define TP_FEATURE_MMX (0 * 32 + 23)
#define TP_FEATURE_FXSR (0 * 32 + 24)
#define TP_FEATURE_SSE (0 * 32 + 25)
#define TP_FEATURE_SSE2 (0 * 32 + 26)
#define TP_FEATURE_HTT (0 * 32 + 28)
/* CPUID 1 ECX */
#define TP_FEATURE_SSE3 (1 * 32 + 0)
#define TP_FEATURE_PCLMULQDQ (1 * 32 + 1)
#define TP_FEATURE_MONITOR (1 * 32 + 3)
#define TP_FEATURE_VMX (1 * 32 + 5)
#define TP_FEATURE_SSSE3 (1 * 32 + 9)
#define TP_FEATURE_FMA (1 * 32 + 12)
#define TP_FEATURE_CX16 (1 * 32 + 13)
#define TP_FEATURE_PCID (1 * 32 + 17)
#define TP_FEATURE_SSE4_1 (1 * 32 + 19)
#define TP_FEATURE_SSE4_2 (1 * 32 + 20)
#define TP_FEATURE_X2APIC (1 * 32 + 21)
#define TP_FEATURE_MOVBE (1 * 32 + 22)
#define TP_FEATURE_POPCNT (1 * 32 + 23)
#define TP_FEATURE_TSC_DEADLINE (1 * 32 + 24)
#define TP_FEATURE_AES (1 * 32 + 25)
#define TP_FEATURE_XSAVE (1 * 32 + 26)
#define TP_FEATURE_OSXSAVE (1 * 32 + 27)
#define TP_FEATURE_AVX (1 * 32 + 28)
#define TP_FEATURE_F16C (1 * 32 + 29)
#define TP_FEATURE_RDRAND (1 * 32 + 30)
#define TP_FEATURE_HYPERVISOR (1 * 32 + 31)
/* CPUID 7.0 EBX */
#define TP_FEATURE_FSGSBASE (2 * 32 + 0)
#define TP_FEATURE_TSC_ADJUST (2 * 32 + 1)
#define TP_FEATURE_BMI1 (2 * 32 + 3)
#define TP_FEATURE_HLE (2 * 32 + 4)
#define TP_FEATURE_AVX2 (2 * 32 + 5)
#define TP_FEATURE_SMEP (2 * 32 + 7)
#define TP_FEATURE_BMI2 (2 * 32 + 8)
#define TP_FEATURE_ERMS (2 * 32 + 9)
#define TP_FEATURE_INVPCID (2 * 32 + 10)
#define TP_FEATURE_RTM (2 * 32 + 11)
#define TP_FEATURE_AVX512F (2 * 32 + 16)
#define TP_FEATURE_AVX512DQ (2 * 32 + 17)
#define TP_FEATURE_RDSEED (2 * 32 + 18)
#define TP_FEATURE_ADX (2 * 32 + 19)
#define TP_FEATURE_SMAP (2 * 32 + 20)
#define TP_FEATURE_CLFLUSHOPT (2 * 32 + 23)
#define TP_FEATURE_CLWB (2 * 32 + 24)
#define TP_FEATURE_SHA (2 * 32 + 29)
#define TP_FEATURE_AVX512BW (2 * 32 + 30)
#define TP_FEATURE_AVX512VL (2 * 32 + 31)
/* CPUID 7.0 ECX */
#define TP_FEATURE_UMIP (3 * 32 + 2)
#define TP_FEATURE_PKU (3 * 32 + 3)
#define TP_FEATURE_WAITPKG (3 * 32 + 5)
#define TP_FEATURE_CET_SS (3 * 32 + 7)
#define TP_FEATURE_GFNI (3 * 32 + 8)
#define TP_FEATURE_VAES (3 * 32 + 9)
#define TP_FEATURE_LA57 (3 * 32 + 16)
#define TP_FEATURE_RDPID (3 * 32 + 22)
#define TP_FEATURE_MOVDIRI (3 * 32 + 27)
#define TP_FEATURE_MOVDIR64B (3 * 32 + 28)
/* CPUID 7.0 EDX */
#define TP_FEATURE_FSRM (4 * 32 + 4)
#define TP_FEATURE_MD_CLEAR (4 * 32 + 10)
#define TP_FEATURE_SERIALIZE (4 * 32 + 14)
#define TP_FEATURE_CET_IBT (4 * 32 + 20)
#define TP_FEATURE_SPEC_CTRL (4 * 32 + 26)
#define TP_FEATURE_STIBP (4 * 32 + 27)
#define TP_FEATURE_FLUSH_L1D (4 * 32 + 28)
#define TP_FEATURE_ARCH_CAPABILITIES (4 * 32 + 29)
#define TP_FEATURE_SSBD (4 * 32 + 31)
/* CPUID 7.1 EAX */
#define TP_FEATURE_AVX_VNNI (5 * 32 + 4)
#define TP_FEATURE_FZRM (5 * 32 + 10)
#define TP_FEATURE_FSRS (5 * 32 + 11)
#define TP_FEATURE_FSRC (5 * 32 + 12)
#define TP_FEATURE_FRED (5 * 32 + 17)
#define TP_FEATURE_LKGS (5 * 32 + 18)
#define TP_FEATURE_LAM (5 * 32 + 26)
/* CPUID 0x80000001 EDX */
#define TP_FEATURE_SYSCALL (6 * 32 + 11)
#define TP_FEATURE_NX (6 * 32 + 20)
#define TP_FEATURE_MMXEXT (6 * 32 + 22)
#define TP_FEATURE_PDPE1GB (6 * 32 + 26)
#define TP_FEATURE_RDTSCP (6 * 32 + 27)
#define TP_FEATURE_LM (6 * 32 + 29)
#define TP_FEATURE_3DNOWEXT (6 * 32 + 30)
#define TP_FEATURE_3DNOW (6 * 32 + 31)
/* CPUID 0x80000001 ECX */
#define TP_FEATURE_LAHF_LM (7 * 32 + 0)
#define TP_FEATURE_SVM (7 * 32 + 2)
#define TP_FEATURE_ABM (7 * 32 + 5)
#define TP_FEATURE_SSE4A (7 * 32 + 6)
#define TP_FEATURE_3DNOWPREFETCH (7 * 32 + 8)
#define TP_FEATURE_XOP (7 * 32 + 11)
#define TP_FEATURE_FMA4 (7 * 32 + 16)
#define TP_FEATURE_TBM (7 * 32 + 21)
#define TP_FEATURE_TOPOEXT (7 * 32 + 22)
#define TP_FEATURE_MWAITX (7 * 32 + 29)
/* CPUID 0x80000007 EDX */
#define TP_FEATURE_INVARIANT_TSC (8 * 32 + 8)
/* CPUID 0x80000008 EBX */
#define TP_FEATURE_CLZERO (9 * 32 + 0)
#define TP_FEATURE_WBNOINVD (9 * 32 + 9)
#define TP_FEATURE_AMD_IBPB (9 * 32 + 12)
#define TP_FEATURE_AMD_IBRS (9 * 32 + 14)
#define TP_FEATURE_AMD_STIBP (9 * 32 + 15)
#define TP_FEATURE_AMD_SSBD (9 * 32 + 24)
/* CPUID 0xd.1 EAX */
#define TP_FEATURE_XSAVEOPT (10 * 32 + 0)
#define TP_FEATURE_XSAVEC (10 * 32 + 1)
#define TP_FEATURE_XGETBV1 (10 * 32 + 2)
#define TP_FEATURE_XSAVES (10 * 32 + 3)
/* CPUID 0x80000021 EAX */
#define TP_FEATURE_LFENCE_SERIALIZING (11 * 32 + 2)
#define TP_FEATURE_AUTO_IBRS (11 * 32 + 8)
/* synthetic */
#define TP_FEATURE_ALWAYS (12 * 32 + 0) /* set, and can't be cleared */
#define TP_FEATURE_NEVER (12 * 32 + 1) /* clear, and can't be set */
#define TP_FEATURE_VENDOR_INTEL (12 * 32 + 2) /* CPUID says GenuineIntel */
#define TP_FEATURE_VENDOR_AMD (12 * 32 + 3) /* CPUID says AuthenticAMD or HygonGenuine */
#define TP_FEATURE_XEN_PV (12 * 32 + 4) /* set by the kernel: a PV guest's CPUID does not tell */
#define TP_FEATURE_XEN_HVM (12 * 32 + 5) /* CPUID leaf 0x40000x00 says XenVMMXenVMM */
#define TP_FEATURE_KVM (12 * 32 + 6) /* CPUID leaf 0x40000x00 says KVMKVMKVM */
#define TP_FEATURE_ONE_CPU (12 * 32 + 7) /* lock prefixes may go; tp_set_cpu_count() */

#define TP_FEATURE_SYNTHETIC_WORD 12
#define TP_FEATURE_SYNTHETIC_KNOWN 0xffu

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

#include <textpatch/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sets, clears or asks one feature of the wanted state.
 *   feature: TP_FEATURE_… without TP_NOT().
 * Context: after tp_init(), one caller at a time; the text doesn't change before tp_apply().
 * tp_feature_set and tp_feature_clear return TP_OK; TP_ERR_NOT_INITIALIZED; TP_ERR_UNKNOWN_FEATURE for a feature
 * that doesn't exist, and for TP_FEATURE_ALWAYS and TP_FEATURE_NEVER, which are fixed.
 * tp_feature_test returns false for a feature that doesn't exist.
 */
TP_MUST_CHECK enum tp_status tp_feature_set(uint16_t feature);
TP_MUST_CHECK enum tp_status tp_feature_clear(uint16_t feature);
bool tp_feature_test(uint16_t feature);

#ifdef __cplusplus
}
#endif
#endif
#endif
