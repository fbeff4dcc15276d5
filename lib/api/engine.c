/* SPDX-License-Identifier: MIT */
/*
 * Start, end, and the state that is in no key.
 */
#include <textpatch/live.h>

#include "../api/pass.h"
#include "../port.h"
#include "../report.h"

static const struct tp_live_options default_options = {.least_assurance = TP_ASSURANCE_VENDOR,
                                                       .call_scheme = TP_CALL_SCHEME};

TP_COLD enum tp_status tp_init(const struct tp_port *port) {
    if (tp_registry.initialized)
        return tp_fail_with(TP_ERR_ALREADY_INITIALIZED);
    tp_forget_errors();
    const char *missing = tp_take_port(port);
    if (missing)
        return tp_fail(&(struct tp_error){.status = TP_ERR_PORT_HOOK_MISSING, .hook = missing});
    tp_registry.images = NULL;
    tp_registry.others_run = false;
    tp_registry.options = default_options;
    tp_detect_features(&tp_registry.wanted);
    tp_registry.initialized = true;
    return TP_OK;
}

TP_COLD enum tp_status tp_finish(void) {
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    if (tp_registry.others_run)
        return tp_fail_with(TP_ERR_CPUS_RUNNING);
    if (tp_has_entered())
        return tp_fail_with(TP_ERR_BATCH_OPEN);
    tp_registry.initialized = false;
    tp_registry.images = NULL;
    (void)tp_take_port(NULL);
    return TP_OK;
}

TP_COLD static enum tp_status change_feature(uint16_t feature, bool set) {
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    if (!tp_feature_exists(feature) || feature == TP_FEATURE_ALWAYS || feature == TP_FEATURE_NEVER)
        return tp_fail(&(struct tp_error){.status = TP_ERR_UNKNOWN_FEATURE, .value = feature});
    /* Lock prefixes are what the others' atomic operations stand on. */
    if (feature == TP_FEATURE_ONE_CPU && set && tp_registry.others_run)
        return tp_fail_with(TP_ERR_CPUS_RUNNING);
    uint32_t *word = &tp_registry.wanted.features[feature / 32], bit = 1u << feature % 32;
    *word = set ? *word | bit : *word & ~bit;
    return TP_OK;
}

TP_COLD enum tp_status tp_feature_set(uint16_t feature) {
    return change_feature(feature, true);
}

TP_COLD enum tp_status tp_feature_clear(uint16_t feature) {
    return change_feature(feature, false);
}

bool tp_feature_test(uint16_t feature) {
    return tp_feature_exists(feature) && tp_state_has(&tp_registry.wanted, feature);
}

TP_COLD enum tp_status tp_set_cpu_count(unsigned count) {
    if (count == 0)
        return tp_fail_with(TP_ERR_BAD_ARGUMENT);
    return change_feature(TP_FEATURE_ONE_CPU, count == 1);
}

/* Whoever runs from here on may execute every image that is known. */
static void forget_fresh(void) {
    for (struct tp_image *image = tp_registry.images; image; image = image->next)
        image->fresh = false;
}

/* A batch that is open has its caller's lock, or has none: neither may change under it. */
TP_COLD enum tp_status tp_cpus_running(bool running) {
    if (!tp_registry.initialized)
        return tp_fail_with(TP_ERR_NOT_INITIALIZED);
    if (tp_has_entered())
        return tp_fail_with(TP_ERR_BATCH_OPEN);
    for (const struct tp_image *image = tp_registry.images; running && image; image = image->next)
        if (image->applied && tp_state_has(&tp_registry.applied, TP_FEATURE_ONE_CPU))
            return tp_fail(&(struct tp_error){.status = TP_ERR_NOT_APPLIED, .image = image->name});
    enum tp_status status = running ? tp_check_breakpoints() : TP_OK;
    if (status != TP_OK)
        return status;
    forget_fresh();
    if (running) /* there are two at least, whatever was said before */
        tp_registry.wanted.features[TP_FEATURE_ONE_CPU / 32] &= ~(1u << TP_FEATURE_ONE_CPU % 32);
    tp_registry.others_run = running;
    return TP_OK;
}

static bool options_are_known(const struct tp_live_options *options) {
    return options->least_class <= TP_CLASS_RENDEZVOUS && options->least_assurance <= TP_ASSURANCE_PRACTICE &&
           options->call_scheme <= TP_SCHEME_STORE &&
           (!options->without_middle_sync || tp_state_has(&tp_registry.wanted, TP_FEATURE_VENDOR_AMD));
}

/* What sites hold depends on the scheme, as tp_image_add() sees it. */
static enum tp_status take_options(const struct tp_live_options *options) {
    if (options->call_scheme != tp_registry.options.call_scheme && tp_registry.images)
        return tp_fail_with(TP_ERR_IMAGE_KNOWN);
    tp_registry.options = *options;
    return TP_OK;
}

TP_COLD enum tp_status tp_set_live_options(const struct tp_live_options *options) {
    const struct tp_live_options *chosen = options ? options : &default_options;
    enum tp_status status = tp_enter();
    if (status != TP_OK)
        return status;
    status = options_are_known(chosen) ? take_options(chosen) : tp_fail_with(TP_ERR_BAD_ARGUMENT);
    tp_leave();
    return status;
}

void tp_get_live_options(struct tp_live_options *options) {
    *options = tp_registry.options;
}
