/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the modules need to be built for every kernel from 5.10 to 7.3. Where a function differs in more than
 * its parameters, the module itself has the condition.
 */
#include <linux/version.h>
#include <rdma/ib_verbs.h>

#define KERNEL_FROM(major, minor) (LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))

/* The number of a port */
#if KERNEL_FROM(5, 13)
typedef u32 port_t;
#else
typedef u8 port_t;
#endif

/* The last parameter of create_cq() */
#if KERNEL_FROM(6, 11)
typedef struct uverbs_attr_bundle create_cq_data;
#else
typedef struct ib_udata create_cq_data;
#endif

/* A parameter of reg_user_mr() */
#if KERNEL_FROM(6, 17)
#define DMAH_PARAMETER struct ib_dmah *dmah,
#else
#define DMAH_PARAMETER
#endif
