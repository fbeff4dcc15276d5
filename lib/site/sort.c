/* SPDX-License-Identifier: MIT */
#include "../site/sort.h"

#include "../report.h"

TP_COLD static bool is_sorted(const struct tp_sort *sort, uint32_t count) {
    for (uint32_t i = 1; i < count; i++)
        if (sort->before(sort, i, i - 1))
            return false;
    return true;
}

TP_COLD static void sift_down(const struct tp_sort *sort, uint32_t root, uint32_t count) {
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && sort->before(sort, child, child + 1))
            child++;
        if (!sort->before(sort, root, child))
            return;
        sort->swap(sort, root, child);
        root = child;
    }
}

TP_COLD void tp_sort_table(const struct tp_sort *sort, uint32_t count) {
    if (is_sorted(sort, count))
        return;
    for (uint32_t root = count / 2; root-- > 0;)
        sift_down(sort, root, count);
    for (uint32_t last = count; last-- > 1;) {
        sort->swap(sort, 0, last);
        sift_down(sort, 0, last);
    }
}
