// SPDX-License-Identifier: GPL-2.0
/*
 * rdma_sim - RDMA devices for network functions that have none.
 *
 * Every network function on the PCI bus (PF or VF) gets RDMA devices named as
 * mlx5 names them for as long as a driver is bound to it. The devices transfer
 * nothing: they are registered with ib_core, which does everything a test can
 * see (sysfs, netlink, namespaces, uverbs), so that all of it is real.
 *
 * Parameters marked "next bind" can be written at any time and count from the
 * next driver bind of a function.
 */
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <net/net_namespace.h>
#include <rdma/ib_mad.h>
#include <rdma/ib_pma.h>
#include <rdma/ib_verbs.h>
#include "compat.h"
#ifdef CONFIG_AUXILIARY_BUS
#include <linux/auxiliary_bus.h>
#endif

static uint devices_per_function = 1;
module_param(devices_per_function, uint, 0644);
MODULE_PARM_DESC(devices_per_function, "RDMA devices of each function (next bind)");

static bool no_rdma;
module_param(no_rdma, bool, 0644);
MODULE_PARM_DESC(no_rdma, "functions get no RDMA device (next bind)");

static uint immovable;
module_param(immovable, uint, 0644);
MODULE_PARM_DESC(immovable, "a function's devices from this one on, counted from 1, cannot change their network namespace (next bind)");

static bool has_traffic_class;
module_param(has_traffic_class, bool, 0644);
MODULE_PARM_DESC(has_traffic_class, "devices have tc/1/traffic_class in sysfs, as those of mlx5 in NVIDIA's driver packages (next bind)");

static bool kernel_verbs;
module_param(kernel_verbs, bool, 0644);
MODULE_PARM_DESC(kernel_verbs, "devices have the verbs that ib_core's clients in the kernel want, RDMA CM among them, though all refuse (next bind)");

static uint port_state = IB_PORT_ACTIVE;
module_param(port_state, uint, 0644);
MODULE_PARM_DESC(port_state, "state of every port: 1 down, 4 active (at once)");

static uint refuse_binds;
module_param(refuse_binds, uint, 0644);
MODULE_PARM_DESC(refuse_binds, "how many binds of a VF's driver fail from now on; counts down (at once)");

static uint move_delay_ms;
module_param(move_delay_ms, uint, 0644);
MODULE_PARM_DESC(move_delay_ms, "how long a move or removal of a device takes (at once)");

static uint sf_count = 2;
module_param(sf_count, uint, 0444);
MODULE_PARM_DESC(sf_count, "scalable functions: auxiliary devices with a netdev and an RDMA device; none before 5.11, which has no auxiliary bus");

static uint extra;
static int set_extra(const char *value, const struct kernel_param *param);
static const struct kernel_param_ops extra_ops = { .set = set_extra, .get = param_get_uint };
module_param_cb(extra, &extra_ops, &extra, 0644);
MODULE_PARM_DESC(extra, "more RDMA devices, all of one platform device (at once)");

/* The RDMA devices of functions, scalable functions and the platform device. */
struct sim_device {
	struct ib_device ib; /* first, as ib_alloc_device() demands */
	struct list_head entry;
	struct kobject *tc, *tc_port;
	int traffic_class; /* -1: none is set */
};

struct sim_ucontext {
	struct ib_ucontext ib;
};

struct sim_pd {
	struct ib_pd ib;
};

static LIST_HEAD(sim_devices);
static DEFINE_MUTEX(sim_devices_lock);

/* ---- The verbs that ib_core and uverbs cannot do without ---- */

static int sim_query_device(struct ib_device *ib, struct ib_device_attr *attr,
			    struct ib_udata *udata)
{
	memset(attr, 0, sizeof(*attr));
	attr->sys_image_guid = ib->node_guid;
	attr->vendor_id = 0x02c9;
	attr->max_qp = 1;
	attr->max_cq = 1;
	attr->max_pd = 16;
	return 0;
}

static int sim_query_port(struct ib_device *ib, port_t port, struct ib_port_attr *attr)
{
	attr->state = port_state;
	attr->phys_state = IB_PORT_PHYS_STATE_LINK_UP;
	attr->max_mtu = IB_MTU_4096;
	attr->active_mtu = IB_MTU_1024;
	attr->gid_tbl_len = 8;
	attr->pkey_tbl_len = 1;
	attr->active_width = IB_WIDTH_4X;
	attr->active_speed = IB_SPEED_EDR;
	return 0;
}

static int sim_query_pkey(struct ib_device *ib, port_t port, u16 index, u16 *pkey)
{
	*pkey = 0xffff;
	return 0;
}

static int sim_get_port_immutable(struct ib_device *ib, port_t port,
				  struct ib_port_immutable *immutable)
{
	immutable->core_cap_flags = RDMA_CORE_PORT_IBA_ROCE_UDP_ENCAP;
	immutable->gid_tbl_len = 8;
	immutable->pkey_tbl_len = 1;
	immutable->max_mad_size = IB_MGMT_MAD_SIZE;
	return 0;
}

static enum rdma_link_layer sim_get_link_layer(struct ib_device *ib, port_t port)
{
	return IB_LINK_LAYER_ETHERNET;
}

/* ---- Counters: fixed values, which tell the devices apart by their index ---- */

static u64 counter_base(const struct ib_device *ib)
{
	return ib->index * 1000;
}

#if KERNEL_FROM(5, 14)
static const struct rdma_stat_desc sim_counters[] = {
	{ .name = "rx_write_requests" },
	{ .name = "out_of_sequence" },
	{ .name = "packet_seq_err" },
	{ .name = "local_ack_timeout_err" },
};
#else
static const char * const sim_counters[] = {
	"rx_write_requests",
	"out_of_sequence",
	"packet_seq_err",
	"local_ack_timeout_err",
};
#endif

/* Up to 5.13 this is also called for the device as a whole, as port 0. */
static struct rdma_hw_stats *sim_alloc_hw_stats(struct ib_device *ib, port_t port)
{
	if (!port)
		return NULL;
	return rdma_alloc_hw_stats_struct(sim_counters, ARRAY_SIZE(sim_counters),
					  RDMA_HW_STATS_DEFAULT_LIFESPAN);
}

static int sim_get_hw_stats(struct ib_device *ib, struct rdma_hw_stats *stats, port_t port,
			    int index)
{
	uint i;

	for (i = 0; i < ARRAY_SIZE(sim_counters); i++)
		stats->value[i] = counter_base(ib) + i + 1;
	return ARRAY_SIZE(sim_counters);
}

/* What "counters" in sysfs is made of: ib_core asks the driver as a subnet manager would. */
static int sim_process_mad(struct ib_device *ib, int flags, port_t port, const struct ib_wc *wc,
			   const struct ib_grh *grh, const struct ib_mad *in, struct ib_mad *out,
			   size_t *out_size, u16 *out_pkey_index)
{
	void *answer = out->data + 40; /* in struct ib_pma_mad */

	memset(out, 0, sizeof(*out));
	if (in->mad_hdr.attr_id == IB_PMA_CLASS_PORT_INFO) {
		struct ib_class_port_info *info = answer;

		info->capability_mask = IB_PMA_CLASS_CAP_EXT_WIDTH;
	} else if (in->mad_hdr.attr_id == IB_PMA_PORT_COUNTERS_EXT) {
		struct ib_pma_portcounters_ext *counters = answer;

		counters->port_rcv_data = cpu_to_be64(counter_base(ib) + 101);
		counters->port_xmit_data = cpu_to_be64(counter_base(ib) + 102);
		counters->port_rcv_packets = cpu_to_be64(counter_base(ib) + 103);
		counters->port_xmit_packets = cpu_to_be64(counter_base(ib) + 104);
	}
	return IB_MAD_RESULT_SUCCESS | IB_MAD_RESULT_REPLY;
}

static int sim_alloc_ucontext(struct ib_ucontext *context, struct ib_udata *udata)
{
	return 0;
}

static void sim_dealloc_ucontext(struct ib_ucontext *context)
{
}

static int sim_alloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static int sim_dealloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

#if KERNEL_FROM(6, 11)
static struct ib_device *sim_add_sub_dev(struct ib_device *parent,
					 enum rdma_nl_dev_type type, const char *name);
static void sim_del_sub_dev(struct ib_device *sub);
#endif

static const struct ib_device_ops sim_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_UNKNOWN,
	.uverbs_abi_ver = 1,
	.query_device = sim_query_device,
	.query_port = sim_query_port,
	.query_pkey = sim_query_pkey,
	.get_port_immutable = sim_get_port_immutable,
	.get_link_layer = sim_get_link_layer,
#if KERNEL_FROM(5, 14)
	.alloc_hw_port_stats = sim_alloc_hw_stats,
#else
	.alloc_hw_stats = sim_alloc_hw_stats,
#endif
	.get_hw_stats = sim_get_hw_stats,
	.process_mad = sim_process_mad,
	.alloc_ucontext = sim_alloc_ucontext,
	.dealloc_ucontext = sim_dealloc_ucontext,
	.alloc_pd = sim_alloc_pd,
	.dealloc_pd = sim_dealloc_pd,
#if KERNEL_FROM(6, 11)
	.add_sub_dev = sim_add_sub_dev,
	.del_sub_dev = sim_del_sub_dev,
#endif
	INIT_RDMA_OBJ_SIZE(ib_pd, sim_pd, ib),
	INIT_RDMA_OBJ_SIZE(ib_ucontext, sim_ucontext, ib),
};

/* Without this operation ib_core refuses to move a device. */
static void sim_disassociate_ucontext(struct ib_ucontext *context)
{
}

static const struct ib_device_ops sim_movable_ops = {
	.disassociate_ucontext = sim_disassociate_ucontext,
};

/* ---- Verbs that the kernel's own clients want to see (device.c, ib_device_check_mandatory) ---- */

struct sim_cq {
	struct ib_cq ib;
};

struct sim_qp {
	struct ib_qp ib;
};

static int sim_create_cq(struct ib_cq *cq, const struct ib_cq_init_attr *attr,
			 create_cq_data *data)
{
	return -EOPNOTSUPP;
}

static int sim_destroy_cq(struct ib_cq *cq, struct ib_udata *udata)
{
	return 0;
}

static int sim_poll_cq(struct ib_cq *cq, int count, struct ib_wc *wc)
{
	return 0;
}

static int sim_req_notify_cq(struct ib_cq *cq, enum ib_cq_notify_flags flags)
{
	return -EOPNOTSUPP;
}

#if KERNEL_FROM(5, 15)
static int sim_create_qp(struct ib_qp *qp, struct ib_qp_init_attr *attr, struct ib_udata *udata)
{
	return -EOPNOTSUPP;
}
#else
static struct ib_qp *sim_create_qp(struct ib_pd *pd, struct ib_qp_init_attr *attr,
				   struct ib_udata *udata)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

static int sim_modify_qp(struct ib_qp *qp, struct ib_qp_attr *attr, int mask,
			 struct ib_udata *udata)
{
	return -EOPNOTSUPP;
}

static int sim_destroy_qp(struct ib_qp *qp, struct ib_udata *udata)
{
	return 0;
}

static int sim_post_send(struct ib_qp *qp, const struct ib_send_wr *request,
			 const struct ib_send_wr **bad)
{
	return -EOPNOTSUPP;
}

static int sim_post_recv(struct ib_qp *qp, const struct ib_recv_wr *request,
			 const struct ib_recv_wr **bad)
{
	return -EOPNOTSUPP;
}

static struct ib_mr *sim_get_dma_mr(struct ib_pd *pd, int access)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static struct ib_mr *sim_reg_user_mr(struct ib_pd *pd, u64 start, u64 length, u64 address,
				     int access, DMAH_PARAMETER struct ib_udata *udata)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static int sim_dereg_mr(struct ib_mr *mr, struct ib_udata *udata)
{
	return 0;
}

static const struct ib_device_ops sim_kernel_verbs_ops = {
	.create_cq = sim_create_cq,
	.destroy_cq = sim_destroy_cq,
	.poll_cq = sim_poll_cq,
	.req_notify_cq = sim_req_notify_cq,
	.create_qp = sim_create_qp,
	.modify_qp = sim_modify_qp,
	.destroy_qp = sim_destroy_qp,
	.post_send = sim_post_send,
	.post_recv = sim_post_recv,
	.get_dma_mr = sim_get_dma_mr,
	.reg_user_mr = sim_reg_user_mr,
	.dereg_mr = sim_dereg_mr,
	INIT_RDMA_OBJ_SIZE(ib_cq, sim_cq, ib),
#if KERNEL_FROM(5, 15)
	INIT_RDMA_OBJ_SIZE(ib_qp, sim_qp, ib),
#endif
};

/* ---- Devices ---- */

/*
 * The node GUID as mlx5 makes it: of the administrative MAC address. A VF that
 * was given none before its driver bound has a random address and GUID zero.
 */
static __be64 node_guid(const struct net_device *netdev)
{
	const u8 *mac;
	u8 guid[8];

	if (!netdev || netdev->addr_assign_type == NET_ADDR_RANDOM)
		return 0;
	mac = netdev->dev_addr;
	memcpy(guid, mac, 3);
	guid[3] = 0xff;
	guid[4] = 0xfe;
	memcpy(guid + 5, mac + 3, 3);
	return *(__be64 *)guid;
}

static struct net_device *get_netdev_of(const struct device *function)
{
	struct net_device *netdev, *found = NULL;

	rcu_read_lock();
	for_each_netdev_rcu(&init_net, netdev) {
		if (netdev->dev.parent == function) {
			found = netdev;
			dev_hold(found);
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

static struct sim_device *alloc_sim_device(struct device *parent, uint number)
{
	struct sim_device *sim = ib_alloc_device(sim_device, ib);

	if (!sim)
		return NULL;
	INIT_LIST_HEAD(&sim->entry);
	sim->ib.dev.parent = parent;
	sim->ib.node_type = RDMA_NODE_IB_CA;
	sim->ib.phys_port_cnt = 1;
	sim->ib.num_comp_vectors = 1;
	strscpy(sim->ib.node_desc, "rdma_sim", sizeof(sim->ib.node_desc));
#if !KERNEL_FROM(5, 11) /* Later ones allow all that there are operations for. */
	sim->ib.uverbs_cmd_mask = BIT_ULL(IB_USER_VERBS_CMD_GET_CONTEXT) |
				  BIT_ULL(IB_USER_VERBS_CMD_ALLOC_PD);
#endif
	ib_set_device_ops(&sim->ib, &sim_ops);
	if (!immovable || number < immovable)
		ib_set_device_ops(&sim->ib, &sim_movable_ops);
	if (kernel_verbs)
		ib_set_device_ops(&sim->ib, &sim_kernel_verbs_ops);
	return sim;
}

/* ---- The traffic class, which the kernel's own drivers do not have ---- */

static struct sim_device *sim_of_port(struct kobject *port)
{
	return container_of(kobj_to_dev(port->parent->parent), struct sim_device, ib.dev);
}

static ssize_t traffic_class_show(struct kobject *port, struct kobj_attribute *attribute,
				  char *buffer)
{
	int value = READ_ONCE(sim_of_port(port)->traffic_class);

	return value < 0 ? 0 : sysfs_emit(buffer, "Global tclass=%d\n", value);
}

static ssize_t traffic_class_store(struct kobject *port, struct kobj_attribute *attribute,
				   const char *buffer, size_t count)
{
	int value;

	if (kstrtoint(buffer, 0, &value) || value > 0xff)
		return -EINVAL;
	WRITE_ONCE(sim_of_port(port)->traffic_class, value);
	return count;
}

static const struct kobj_attribute traffic_class_attribute = __ATTR_RW(traffic_class);

static void remove_traffic_class(struct sim_device *sim)
{
	kobject_put(sim->tc_port);
	kobject_put(sim->tc);
}

static int add_traffic_class(struct sim_device *sim)
{
	sim->traffic_class = -1;
	sim->tc = kobject_create_and_add("tc", &sim->ib.dev.kobj);
	if (!sim->tc)
		return -ENOMEM;
	sim->tc_port = kobject_create_and_add("1", sim->tc);
	if (!sim->tc_port)
		return -ENOMEM;
	return sysfs_create_file(sim->tc_port, &traffic_class_attribute.attr);
}

/* The number tells the devices of one parent apart, counted from 1. */
static int add_sim_device(struct device *parent, uint number)
{
	struct net_device *netdev = get_netdev_of(parent);
	struct sim_device *sim = alloc_sim_device(parent, number);
	int err = -ENOMEM;

	if (!sim)
		goto put_netdev;
	sim->ib.node_guid = node_guid(netdev);
	if (netdev) {
		err = ib_device_set_netdev(&sim->ib, netdev, 1);
		if (err)
			goto dealloc;
	}
	err = ib_register_device(&sim->ib, "mlx5_%d", NULL);
	if (err)
		goto dealloc;
	if (has_traffic_class) {
		err = add_traffic_class(sim);
		if (err)
			goto unregister;
	}
	mutex_lock(&sim_devices_lock);
	list_add_tail(&sim->entry, &sim_devices);
	mutex_unlock(&sim_devices_lock);
	goto put_netdev;

unregister:
	remove_traffic_class(sim);
	ib_unregister_device(&sim->ib);
dealloc:
	ib_dealloc_device(&sim->ib);
put_netdev:
	if (err)
		dev_err(parent, "rdma_sim: no RDMA device: error %d\n", err);
	dev_put(netdev);
	return err;
}

static void remove_sim_devices(const struct device *parent)
{
	struct sim_device *sim, *next;
	LIST_HEAD(leaving);

	/* Removal waits for users, so it must not hold the lock. */
	mutex_lock(&sim_devices_lock);
	list_for_each_entry_safe(sim, next, &sim_devices, entry)
		if (sim->ib.dev.parent == parent)
			list_move(&sim->entry, &leaving);
	mutex_unlock(&sim_devices_lock);

	list_for_each_entry_safe(sim, next, &leaving, entry) {
		remove_traffic_class(sim);
		ib_unregister_device(&sim->ib);
		ib_dealloc_device(&sim->ib);
	}
}

static bool has_sim_device(const struct device *parent)
{
	struct sim_device *sim;
	bool found = false;

	mutex_lock(&sim_devices_lock);
	list_for_each_entry(sim, &sim_devices, entry)
		found |= sim->ib.dev.parent == parent;
	mutex_unlock(&sim_devices_lock);
	return found;
}

#if KERNEL_FROM(6, 11)
/* A sub-device (rdma dev add NAME type SMI parent DEVICE) belongs to its parent device. */
static struct ib_device *sim_add_sub_dev(struct ib_device *parent,
					 enum rdma_nl_dev_type type, const char *name)
{
	struct sim_device *sub = alloc_sim_device(parent->dev.parent, 1);
	int err;

	if (!sub)
		return ERR_PTR(-ENOMEM);
	sub->ib.type = type;
	sub->ib.node_guid = parent->node_guid;
	err = ib_register_device(&sub->ib, name, NULL);
	if (err) {
		ib_dealloc_device(&sub->ib);
		return ERR_PTR(err);
	}
	return &sub->ib;
}

static void sim_del_sub_dev(struct ib_device *sub)
{
	ib_unregister_device(sub);
	ib_dealloc_device(sub);
}
#endif

/* ---- PCI functions ---- */

static bool is_network_function(const struct device *dev)
{
	return to_pci_dev(dev)->class >> 16 == PCI_BASE_CLASS_NETWORK;
}

static void add_function(struct device *function)
{
	uint i;

	if (no_rdma)
		return;
	for (i = 0; i < devices_per_function; i++)
		if (add_sim_device(function, i + 1))
			return;
}

/* The VF whose memory is taken, so that its driver cannot have it and fails with EBUSY. */
static struct pci_dev *refused;

static void refuse_bind(struct pci_dev *vf)
{
	/* VFs can be bound side by side. */
	if (!refuse_binds || !vf->is_virtfn || cmpxchg(&refused, NULL, vf))
		return;
	if (pci_request_regions(vf, "rdma_sim"))
		refused = NULL;
	else
		refuse_binds--;
}

static void end_refusal(struct pci_dev *vf)
{
	if (refused != vf)
		return;
	pci_release_regions(vf);
	refused = NULL;
}

static int on_pci_event(struct notifier_block *block, unsigned long event, void *data)
{
	struct device *dev = data;

	if (!is_network_function(dev))
		return NOTIFY_DONE;
	if (event == BUS_NOTIFY_BIND_DRIVER)
		refuse_bind(to_pci_dev(dev));
	else if (event == BUS_NOTIFY_DRIVER_NOT_BOUND)
		end_refusal(to_pci_dev(dev));
	if (event == BUS_NOTIFY_BOUND_DRIVER)
		add_function(dev);
	else if (event == BUS_NOTIFY_UNBIND_DRIVER)
		remove_sim_devices(dev);
	return NOTIFY_DONE;
}

static struct notifier_block pci_notifier = { .notifier_call = on_pci_event };

/* Functions whose driver was bound before this module came. */
static int add_bound_function(struct device *dev, void *unused)
{
	device_lock(dev);
	if (is_network_function(dev) && dev->driver && !has_sim_device(dev))
		add_function(dev);
	device_unlock(dev);
	return 0;
}

static int remove_function(struct device *dev, void *unused)
{
	remove_sim_devices(dev);
	return 0;
}

/* ---- Scalable functions: rdma_sim.sf.<id> on the auxiliary bus, below the first PF ---- */

#ifdef CONFIG_AUXILIARY_BUS
struct sim_sf {
	struct auxiliary_device auxiliary;
	struct net_device *netdev;
};

static struct sim_sf **sfs;

static netdev_tx_t sf_start_xmit(struct sk_buff *skb, struct net_device *netdev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops sf_netdev_ops = {
	.ndo_start_xmit = sf_start_xmit,
	.ndo_set_mac_address = eth_mac_addr,
};

static struct net_device *add_sf_netdev(struct device *sf, u8 id)
{
	const u8 mac[ETH_ALEN] = { 0x02, 0x5f, 0, 0, 0, id };
	struct net_device *netdev = alloc_etherdev(0);
	int err;

	if (!netdev)
		return ERR_PTR(-ENOMEM);
	netdev->netdev_ops = &sf_netdev_ops;
	SET_NETDEV_DEV(netdev, sf);
	eth_hw_addr_set(netdev, mac);
	err = register_netdev(netdev);
	if (err) {
		free_netdev(netdev);
		return ERR_PTR(err);
	}
	return netdev;
}

static void release_sf(struct device *dev)
{
	kfree(container_of(dev, struct sim_sf, auxiliary.dev));
}

static struct sim_sf *add_sf(struct device *pf, u32 id)
{
	struct sim_sf *sf = kzalloc(sizeof(*sf), GFP_KERNEL);
	int err;

	if (!sf)
		return ERR_PTR(-ENOMEM);
	sf->auxiliary.name = "sf";
	sf->auxiliary.id = id;
	sf->auxiliary.dev.parent = pf;
	sf->auxiliary.dev.release = release_sf;
	err = auxiliary_device_init(&sf->auxiliary);
	if (err) {
		kfree(sf);
		return ERR_PTR(err);
	}
	err = auxiliary_device_add(&sf->auxiliary);
	if (err)
		goto uninit;
	sf->netdev = add_sf_netdev(&sf->auxiliary.dev, id);
	if (IS_ERR(sf->netdev)) {
		err = PTR_ERR(sf->netdev);
		goto delete;
	}
	err = add_sim_device(&sf->auxiliary.dev, 1);
	if (!err)
		return sf;

	unregister_netdev(sf->netdev);
	free_netdev(sf->netdev);
delete:
	auxiliary_device_delete(&sf->auxiliary);
uninit:
	auxiliary_device_uninit(&sf->auxiliary); /* frees it too */
	return ERR_PTR(err);
}

static void remove_sf(struct sim_sf *sf)
{
	remove_sim_devices(&sf->auxiliary.dev);
	unregister_netdev(sf->netdev);
	free_netdev(sf->netdev);
	auxiliary_device_delete(&sf->auxiliary);
	auxiliary_device_uninit(&sf->auxiliary);
}

static void remove_sfs(void)
{
	uint i;

	for (i = 0; i < sf_count && sfs[i]; i++)
		remove_sf(sfs[i]);
	kfree(sfs);
}

static int add_sfs(void)
{
	struct pci_dev *pf = NULL;
	uint i;

	sfs = kcalloc(sf_count, sizeof(*sfs), GFP_KERNEL);
	if (!sfs)
		return -ENOMEM;
	while ((pf = pci_get_device(PCI_ANY_ID, PCI_ANY_ID, pf)))
		if (is_network_function(&pf->dev) && !pf->is_virtfn)
			break;
	for (i = 0; pf && i < sf_count; i++) {
		struct sim_sf *sf = add_sf(&pf->dev, i);

		if (IS_ERR(sf)) {
			pci_dev_put(pf);
			remove_sfs();
			return PTR_ERR(sf);
		}
		sfs[i] = sf;
	}
	pci_dev_put(pf);
	return 0;
}

#else
static void remove_sfs(void)
{
}

static int add_sfs(void)
{
	return 0;
}
#endif

/* ---- Many devices, to see how things scale ---- */

static struct platform_device *platform;
static uint extra_present;

/* Those of functions stay as they are, number and index included. */
static int resize_extra(void)
{
	int err;

	if (extra < extra_present) {
		remove_sim_devices(&platform->dev);
		extra_present = 0;
	}
	for (; extra_present < extra; extra_present++) {
		err = add_sim_device(&platform->dev, extra_present + 1);
		if (err)
			return err;
	}
	return 0;
}

/* As the module is loaded this comes before anything else. */
static int set_extra(const char *value, const struct kernel_param *param)
{
	int err = param_set_uint(value, param);

	return err || !platform ? err : resize_extra();
}

static void remove_extra(void)
{
	remove_sim_devices(&platform->dev);
	platform_device_unregister(platform);
}

static int add_extra(void)
{
	int err;

	platform = platform_device_register_simple("rdma_sim", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(platform))
		return PTR_ERR(platform);
	err = resize_extra();
	if (err)
		remove_extra();
	return err;
}

/* ---- A client that takes its time to let go of a device, so that a move does ---- */

static int slow_client_add(struct ib_device *ib)
{
	return ib->ops.owner == THIS_MODULE ? 0 : -EOPNOTSUPP;
}

static void slow_client_remove(struct ib_device *ib, void *data)
{
	msleep(move_delay_ms);
}

static struct ib_client slow_client = {
	.name = "rdma_sim_slow",
	.add = slow_client_add,
	.remove = slow_client_remove,
	.no_kverbs_req = 1,
};

/*
 * ---- How many network namespaces there are ----
 *
 * Nothing else in user space tells when a deleted namespace is really gone. As
 * a subsystem this module is called after ib_core, a pernet device, so that the
 * RDMA devices are on the host by the time the count falls.
 */

static atomic_t netns_count = ATOMIC_INIT(0);

static int get_netns_count(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&netns_count));
}

static const struct kernel_param_ops netns_count_ops = { .get = get_netns_count };
module_param_cb(netns_count, &netns_count_ops, NULL, 0444);
MODULE_PARM_DESC(netns_count, "network namespaces alive, the initial one included (read only)");

static int __net_init netns_init(struct net *net)
{
	atomic_inc(&netns_count);
	return 0;
}

static void __net_exit netns_exit(struct net *net)
{
	atomic_dec(&netns_count);
}

static struct pernet_operations netns_ops = { .init = netns_init, .exit = netns_exit };

/* ---- Coming and going ---- */

static int __init rdma_sim_init(void)
{
	int err;

	err = register_pernet_subsys(&netns_ops);
	if (err)
		return err;
	err = ib_register_client(&slow_client);
	if (err)
		goto unregister_pernet;
	err = bus_register_notifier(&pci_bus_type, &pci_notifier);
	if (err)
		goto unregister_client;
	bus_for_each_dev(&pci_bus_type, NULL, NULL, add_bound_function);
	err = add_sfs();
	if (err)
		goto remove_functions;
	err = add_extra();
	if (err)
		goto remove_sfs;
	return 0;

remove_sfs:
	remove_sfs();
remove_functions:
	bus_unregister_notifier(&pci_bus_type, &pci_notifier);
	bus_for_each_dev(&pci_bus_type, NULL, NULL, remove_function);
unregister_client:
	ib_unregister_client(&slow_client);
unregister_pernet:
	unregister_pernet_subsys(&netns_ops);
	return err;
}

static void __exit rdma_sim_exit(void)
{
	remove_extra();
	remove_sfs();
	bus_unregister_notifier(&pci_bus_type, &pci_notifier);
	bus_for_each_dev(&pci_bus_type, NULL, NULL, remove_function);
	ib_unregister_client(&slow_client);
	unregister_pernet_subsys(&netns_ops);
}

module_init(rdma_sim_init);
module_exit(rdma_sim_exit);

MODULE_DESCRIPTION("RDMA devices for network functions that have none");
MODULE_LICENSE("GPL");
