// SPDX-License-Identifier: GPL-2.0
/*
 * vf_sim - what hosts do with virtual functions, and adapters that QEMU has not.
 *
 * All of it hangs on the first physical network function that has VFs. Loaded
 * by the cases that need it; each parameter makes or removes a thing at once.
 */
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/if_infiniband.h>
#include <linux/if_link.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include "compat.h"
#if IS_ENABLED(CONFIG_VDPA)
#include <linux/vdpa.h>
#endif

#define MAX_VFS 64

static struct pci_dev *pf;

/* ---- Drivers of VFs that take their time to start ---- */

static uint bind_delay_ms;
module_param(bind_delay_ms, uint, 0644);
MODULE_PARM_DESC(bind_delay_ms, "how long a bind of a VF's driver takes (at once)");

static int on_pci_event(struct notifier_block *block, unsigned long event, void *data)
{
	if (event == BUS_NOTIFY_BIND_DRIVER && to_pci_dev((struct device *)data)->is_virtfn)
		msleep(bind_delay_ms);
	return NOTIFY_DONE;
}

static struct notifier_block pci_notifier = { .notifier_call = on_pci_event };

static netdev_tx_t drop(struct sk_buff *skb, struct net_device *netdev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

/* ---- ibpf0: the netdev of a physical function that is an InfiniBand port ---- */

struct guids {
	u64 node, port;
};

static struct guids vf_guids[MAX_VFS];
static struct net_device *ib_pf;

static int get_vf_config(struct net_device *netdev, int vf, struct ifla_vf_info *info)
{
	memset(info, 0, sizeof(*info));
	info->vf = vf;
	memset(info->mac, 0xee, sizeof(info->mac)); /* no Ethernet address, whatever it is */
	return 0;
}

static int set_vf_guid(struct net_device *netdev, int vf, u64 guid, int type)
{
	if (vf >= MAX_VFS)
		return -EINVAL;
	pr_info("vf_sim: VF %d gets %s GUID %016llx\n", vf,
		type == IFLA_VF_IB_NODE_GUID ? "node" : "port", guid);
	if (type == IFLA_VF_IB_NODE_GUID)
		vf_guids[vf].node = guid;
	else
		vf_guids[vf].port = guid;
	return 0;
}

static int get_vf_guid(struct net_device *netdev, int vf, struct ifla_vf_guid *node,
		       struct ifla_vf_guid *port)
{
	if (vf >= MAX_VFS)
		return -EINVAL;
	node->guid = vf_guids[vf].node;
	port->guid = vf_guids[vf].port;
	return 0;
}

static const struct net_device_ops ib_pf_ops = {
	.ndo_start_xmit = drop,
	.ndo_get_vf_config = get_vf_config,
	.ndo_set_vf_guid = set_vf_guid,
	.ndo_get_vf_guid = get_vf_guid,
};

static void setup_ib_pf(struct net_device *netdev)
{
	const u8 address[INFINIBAND_ALEN] = { 0x80, 0, 2, 8, 0xfe, 0x80, [19] = 1 };

	netdev->netdev_ops = &ib_pf_ops;
	netdev->type = ARPHRD_INFINIBAND;
	netdev->addr_len = INFINIBAND_ALEN;
	netdev->mtu = 2044;
	__dev_addr_set(netdev, address, INFINIBAND_ALEN);
}

/* ---- rep0: the representor of a VF, in switchdev mode ---- */

static struct net_device *representor;
static int represented_vf;

static int get_phys_port_name(struct net_device *netdev, char *name, size_t length)
{
	return snprintf(name, length, "pf0vf%d", represented_vf) < length ? 0 : -EINVAL;
}

static const struct net_device_ops representor_ops = {
	.ndo_start_xmit = drop,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_get_phys_port_name = get_phys_port_name,
};

static void setup_representor(struct net_device *netdev)
{
	ether_setup(netdev);
	netdev->netdev_ops = &representor_ops;
	eth_hw_addr_random(netdev);
}

static void remove_netdev(struct net_device **slot)
{
	if (!*slot)
		return;
	unregister_netdev(*slot);
	free_netdev(*slot);
	*slot = NULL;
}

static int add_netdev(struct net_device **slot, const char *name,
		      void (*setup)(struct net_device *))
{
	struct net_device *netdev = alloc_netdev(0, name, NET_NAME_USER, setup);
	int err;

	if (!netdev)
		return -ENOMEM;
	SET_NETDEV_DEV(netdev, &pf->dev);
	err = register_netdev(netdev);
	if (err)
		free_netdev(netdev);
	else
		*slot = netdev;
	return err;
}

/* ---- vdpa0: a vDPA device that was made of a VF ---- */

#if IS_ENABLED(CONFIG_VDPA)
struct sim_vdpa {
	struct vdpa_device vdpa;
};

static const struct vdpa_config_ops vdpa_ops = {};
static struct sim_vdpa *sim_vdpa;

static void remove_vdpa(void)
{
	if (sim_vdpa)
		vdpa_unregister_device(&sim_vdpa->vdpa);
	sim_vdpa = NULL;
}

static int add_vdpa(struct pci_dev *vf)
{
#if KERNEL_FROM(6, 18)
	struct sim_vdpa *made = vdpa_alloc_device(struct sim_vdpa, vdpa, &vf->dev, &vdpa_ops, NULL,
						  1, 1, "vdpa0", false);
#else
	struct sim_vdpa *made = vdpa_alloc_device(struct sim_vdpa, vdpa, &vf->dev, &vdpa_ops, 1, 1,
						  "vdpa0", false);
#endif
	int err;

	if (IS_ERR(made))
		return PTR_ERR(made);
	err = vdpa_register_device(&made->vdpa, 0);
	if (err)
		put_device(&made->vdpa.dev);
	else
		sim_vdpa = made;
	return err;
}

static struct pci_dev *find_vf(int number)
{
	struct pci_dev *vf = NULL;

	while ((vf = pci_get_device(PCI_ANY_ID, PCI_ANY_ID, vf)))
		if (vf->is_virtfn && pci_physfn(vf) == pf && pci_iov_vf_id(vf) == number)
			break;
	return vf;
}

static int set_vdpa(const char *value, const struct kernel_param *param)
{
	struct pci_dev *vf;
	int number, err;

	if (!pf || kstrtoint(value, 0, &number))
		return -EINVAL;
	remove_vdpa();
	if (number < 0)
		return 0;
	vf = find_vf(number);
	err = vf ? add_vdpa(vf) : -ENODEV;
	pci_dev_put(vf);
	return err;
}

static const struct kernel_param_ops vdpa_param_ops = { .set = set_vdpa };
module_param_cb(vdpa, &vdpa_param_ops, NULL, 0200);
MODULE_PARM_DESC(vdpa, "number of the VF that vdpa0 is made of; -1: none (at once)");
#else
static void remove_vdpa(void)
{
}
#endif

/* ---- Parameters ---- */

static int set_infiniband(const char *value, const struct kernel_param *param)
{
	bool wanted;

	if (!pf || kstrtobool(value, &wanted))
		return -EINVAL;
	remove_netdev(&ib_pf);
	memset(vf_guids, 0, sizeof(vf_guids));
	return wanted ? add_netdev(&ib_pf, "ibpf0", setup_ib_pf) : 0;
}

static int set_representor(const char *value, const struct kernel_param *param)
{
	int number;

	if (!pf || kstrtoint(value, 0, &number))
		return -EINVAL;
	remove_netdev(&representor);
	represented_vf = number;
	return number < 0 ? 0 : add_netdev(&representor, "rep0", setup_representor);
}

static const struct kernel_param_ops infiniband_ops = { .set = set_infiniband };
module_param_cb(infiniband, &infiniband_ops, NULL, 0200);
MODULE_PARM_DESC(infiniband, "whether there is ibpf0, which keeps the GUIDs that VFs get (at once)");

static const struct kernel_param_ops representor_param_ops = { .set = set_representor };
module_param_cb(representor, &representor_param_ops, NULL, 0200);
MODULE_PARM_DESC(representor, "number of the VF that rep0 stands for; -1: none (at once)");

/* ---- Coming and going ---- */

static int __init vf_sim_init(void)
{
	int err = bus_register_notifier(&pci_bus_type, &pci_notifier);

	if (err)
		return err;
	while ((pf = pci_get_device(PCI_ANY_ID, PCI_ANY_ID, pf)))
		if (pf->class >> 16 == PCI_BASE_CLASS_NETWORK && pci_num_vf(pf))
			return 0;
	bus_unregister_notifier(&pci_bus_type, &pci_notifier);
	return -ENODEV;
}

static void __exit vf_sim_exit(void)
{
	remove_vdpa();
	remove_netdev(&representor);
	remove_netdev(&ib_pf);
	bus_unregister_notifier(&pci_bus_type, &pci_notifier);
	pci_dev_put(pf);
}

module_init(vf_sim_init);
module_exit(vf_sim_exit);

MODULE_DESCRIPTION("What hosts do with virtual functions, and adapters that QEMU has not");
MODULE_LICENSE("GPL");
