// SPDX-License-Identifier: GPL-2.0
/*
 * slow_client - a client of ib_core that takes its time with every device.
 *
 * ib_core adds the clients of a device in the order in which they were
 * registered, and removes them in the opposite order. So this one, loaded
 * before ib_uverbs, holds a move up while the device has no uverbs device: not
 * any more while it is removed from one namespace, not yet while it is added
 * to the other.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <rdma/ib_verbs.h>

static uint add_ms;
module_param(add_ms, uint, 0644);
MODULE_PARM_DESC(add_ms, "how long the client takes to add a device; a change counts at once");

static uint remove_ms;
module_param(remove_ms, uint, 0644);
MODULE_PARM_DESC(remove_ms, "how long the client takes to remove a device; a change counts at once");

/* A shorter time lets go of a device that is being held already. */
static void take(const uint *ms)
{
	unsigned long start = jiffies;

	while (time_before(jiffies, start + msecs_to_jiffies(READ_ONCE(*ms))))
		msleep(10);
}

static int slow_add(struct ib_device *device)
{
	take(&add_ms);
	return 0;
}

static void slow_remove(struct ib_device *device, void *data)
{
	take(&remove_ms);
}

static struct ib_client slow_client = {
	.name = "slow_client",
	.add = slow_add,
	.remove = slow_remove,
	.no_kverbs_req = 1,
};

static int __init slow_client_init(void)
{
	return ib_register_client(&slow_client);
}

static void __exit slow_client_exit(void)
{
	ib_unregister_client(&slow_client);
}

module_init(slow_client_init);
module_exit(slow_client_exit);

MODULE_DESCRIPTION("A client of ib_core that takes its time with every device");
MODULE_LICENSE("GPL");
