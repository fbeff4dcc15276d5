/* SPDX-License-Identifier: MIT */
/*
 * What the CPU says of itself. One table row a word of features: Intel SDM vol. 2 "CPUID", AMD APM vol. 3
 * appendix E; hypervisor leaves as Xen's public headers and KVM's documentation have them.
 */
#include "../site/registry.h"

#include "../port.h"
#include "../report.h"
#include "../serialize.h"

enum register_index { EAX, EBX, ECX, EDX };

static const struct {
    uint32_t leaf;
    uint8_t subleaf;
    uint8_t result;
} cpuid_words[TP_FEATURE_SYNTHETIC_WORD] = {
    {1, 0, EDX},          {1, 0, ECX},          {7, 0, EBX},          {7, 0, ECX},
    {7, 0, EDX},          {7, 1, EAX},          {0x80000001, 0, EDX}, {0x80000001, 0, ECX},
    {0x80000007, 0, EDX}, {0x80000008, 0, EBX}, {0xd, 1, EAX},        {0x80000021, 0, EAX},
};

TP_COLD static void ask_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    if (tp_port()->cpuid)
        tp_port()->cpuid(leaf, subleaf, out);
    else
        tp_cpuid(leaf, subleaf, out);
}

/* A leaf beyond the highest answers with the data of another one (SDM vol. 2 "CPUID"), so it must not be asked. */
TP_COLD static bool has_leaf(uint32_t leaf, uint32_t subleaf) {
    uint32_t out[4];
    ask_cpuid(leaf & 0x80000000, 0, out);
    if (out[EAX] < leaf)
        return false;
    if (leaf != 7 || subleaf == 0)
        return true;
    ask_cpuid(leaf, 0, out);
    return out[EAX] >= subleaf;
}

TP_COLD static uint32_t read_word(unsigned word) {
    uint32_t out[4];
    if (!has_leaf(cpuid_words[word].leaf, cpuid_words[word].subleaf))
        return 0;
    ask_cpuid(cpuid_words[word].leaf, cpuid_words[word].subleaf, out);
    return out[cpuid_words[word].result];
}

static uint32_t bit(unsigned feature) {
    return 1u << feature % 32;
}

/* Vendors and hypervisors sign with twelve characters in three registers; four of them tell these apart. */
TP_COLD static uint32_t vendor_bits(void) {
    uint32_t out[4];
    ask_cpuid(0, 0, out);
    if (out[EBX] == 0x756e6547) /* "Genu" ineIntel */
        return bit(TP_FEATURE_VENDOR_INTEL);
    if (out[EBX] == 0x68747541 || out[EBX] == 0x6f677948) /* "Auth" enticAMD, "Hygo" nGenuine */
        return bit(TP_FEATURE_VENDOR_AMD);
    return 0;
}

/* A hypervisor that poses as another one first moves its own leaves up by 0x100. */
TP_COLD static uint32_t hypervisor_bits(void) {
    uint32_t found = 0, out[4];
    for (uint32_t leaf = 0x40000000; leaf <= 0x40000300; leaf += 0x100) {
        ask_cpuid(leaf, 0, out);
        if (out[EBX] == 0x566e6558) /* "XenV" MMXenVMM */
            found |= bit(TP_FEATURE_XEN_HVM);
        if (out[EBX] == 0x4b4d564b) /* "KVMK" VMKVM */
            found |= bit(TP_FEATURE_KVM);
    }
    return found;
}

bool tp_feature_exists(unsigned feature) {
    if (feature >= TP_FEATURE_WORDS * 32)
        return false;
    return feature / 32 != TP_FEATURE_SYNTHETIC_WORD || (TP_FEATURE_SYNTHETIC_KNOWN & bit(feature));
}

TP_COLD void tp_detect_features(struct tp_state *state) {
    *state = (struct tp_state){.features = {0}};
    for (unsigned word = 0; word < TP_FEATURE_SYNTHETIC_WORD; word++)
        state->features[word] = read_word(word);
    uint32_t *synthetic = &state->features[TP_FEATURE_SYNTHETIC_WORD];
    *synthetic = bit(TP_FEATURE_ALWAYS) | bit(TP_FEATURE_ONE_CPU) | vendor_bits();
    if (tp_state_has(state, TP_FEATURE_HYPERVISOR))
        *synthetic |= hypervisor_bits();
}
