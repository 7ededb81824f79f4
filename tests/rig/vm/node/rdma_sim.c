// SPDX-License-Identifier: GPL-2.0
/*
 * rdma_sim - RDMA devices for network functions that have none, and what else
 * adapters and hosts do with functions.
 *
 * Every network function on the PCI bus (PF or VF) gets RDMA devices named as
 * mlx5 names them for as long as a driver is bound to it. The devices transfer
 * nothing: they are registered with ib_core, which does everything a test can
 * see (sysfs, netlink, namespaces, uverbs), so that all of it is real.
 *
 * Loaded before ib_uverbs and when the VFs are there. Parameters marked "next
 * bind" can be written at any time and count from the next driver bind of a
 * function.
 */
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/if_infiniband.h>
#include <linux/if_link.h>
#include <linux/jiffies.h>
#include <linux/kfifo.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <net/addrconf.h>
#include <net/net_namespace.h>
#include <rdma/ib_mad.h>
#include <rdma/ib_pma.h>
#include <rdma/ib_verbs.h>
#include <linux/version.h>
#ifdef CONFIG_AUXILIARY_BUS
#include <linux/auxiliary_bus.h>
#endif
#if IS_ENABLED(CONFIG_VDPA)
#include <linux/vdpa.h>
#endif

/* ---- What differs between kernels from 5.10 to 7.3 in more than one place ---- */

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

/* ---- Parameters; those that are set at once follow below, each beside what it sets ---- */

#define PARAMETER(type, name, initial, description) \
	static type name = initial; \
	module_param(name, type, 0644); \
	MODULE_PARM_DESC(name, description)

PARAMETER(uint, devices_per_function, 1, "RDMA devices of each function (next bind)");
PARAMETER(bool, no_rdma, false, "functions get no RDMA device (next bind)");
PARAMETER(uint, immovable, 0,
	  "a function's devices from this one on, counted from 1, cannot change their network namespace (next bind)");
PARAMETER(bool, has_traffic_class, false,
	  "devices have tc/1/traffic_class in sysfs, as those of mlx5 in NVIDIA's driver packages (next bind)");
PARAMETER(bool, kernel_verbs, false,
	  "devices have the verbs that ib_core's clients in the kernel want, RDMA CM among them (next bind)");
PARAMETER(bool, infiniband, false,
	  "devices have an InfiniBand port and the verbs for IPoIB; no subnet manager brings it up (next bind)");
PARAMETER(uint, port_state, IB_PORT_ACTIVE, "state of every Ethernet port: 1 down, 4 active (at once)");
PARAMETER(uint, refuse_binds, 0, "how many binds of a VF's driver fail from now on; counts down (at once)");
PARAMETER(uint, bind_delay_ms, 0, "how long a bind of a VF's driver takes (at once)");
PARAMETER(uint, move_delay_ms, 0, "how long a move or removal of a device takes (from the next on)");
PARAMETER(uint, add_ms, 0, "how long a device takes to come to a namespace (also those under way)");
PARAMETER(uint, remove_ms, 0, "how long a device takes to leave a namespace (also those under way)");
PARAMETER(uint, sf_count, 2,
	  "scalable functions: auxiliary devices with a netdev and an RDMA device; none before 5.11 (when loaded)");

/* The RDMA devices of functions and scalable functions. */
struct sim_device {
	struct ib_device ib; /* first, as ib_alloc_device() demands */
	struct list_head entry;
	struct kobject *tc, *tc_port;
	int traffic_class; /* -1: none is set */
	bool is_infiniband;
};

struct sim_ucontext {
	struct ib_ucontext ib;
};

struct sim_pd {
	struct ib_pd ib;
};

static LIST_HEAD(sim_devices);
static DEFINE_MUTEX(sim_devices_lock);

/* The first physical function that has VFs. */
static struct pci_dev *pf;

static bool is_infiniband(struct ib_device *ib)
{
	return container_of(ib, struct sim_device, ib)->is_infiniband;
}

/* ---- The verbs that ib_core and uverbs cannot do without ---- */

static int sim_query_device(struct ib_device *ib, struct ib_device_attr *attr,
			    struct ib_udata *udata)
{
	memset(attr, 0, sizeof(*attr));
	attr->sys_image_guid = ib->node_guid;
	attr->vendor_id = 0x02c9;
#if KERNEL_FROM(5, 19)
	attr->kernel_cap_flags = IBK_LOCAL_DMA_LKEY | IBK_VIRTUAL_FUNCTION;
#else
	attr->device_cap_flags = IB_DEVICE_LOCAL_DMA_LKEY | IB_DEVICE_VIRTUAL_FUNCTION;
#endif
	attr->max_qp = 16;
	attr->max_qp_wr = 4096;
	attr->max_cq = 16;
	attr->max_cqe = 1 << 20;
	attr->max_pd = 16;
	attr->max_send_sge = 16;
	attr->max_recv_sge = 16;
	return 0;
}

static int sim_query_port(struct ib_device *ib, port_t port, struct ib_port_attr *attr)
{
	attr->state = is_infiniband(ib) ? IB_PORT_INIT : port_state;
	attr->phys_state = IB_PORT_PHYS_STATE_LINK_UP;
	attr->max_mtu = IB_MTU_4096;
	attr->active_mtu = IB_MTU_1024;
	attr->gid_tbl_len = is_infiniband(ib) ? 1 : 8;
	attr->pkey_tbl_len = 1;
	attr->active_width = IB_WIDTH_4X;
	attr->active_speed = IB_SPEED_EDR;
	return 0;
}

/* That of the InfiniBand port; Ethernet's come from the addresses of netdevs. */
static int sim_query_gid(struct ib_device *ib, port_t port, int index, union ib_gid *gid)
{
	gid->global.subnet_prefix = cpu_to_be64(0xfe80000000000000ULL);
	gid->global.interface_id = ib->node_guid;
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
	immutable->pkey_tbl_len = 1;
	if (is_infiniband(ib)) {
		/* The protocol alone: management datagrams would need an answer. */
		immutable->core_cap_flags = RDMA_CORE_CAP_PROT_IB;
		immutable->gid_tbl_len = 1;
	} else {
		immutable->core_cap_flags = RDMA_CORE_PORT_IBA_ROCE_UDP_ENCAP;
		immutable->gid_tbl_len = 8;
		immutable->max_mad_size = IB_MGMT_MAD_SIZE;
	}
	return 0;
}

static enum rdma_link_layer sim_get_link_layer(struct ib_device *ib, port_t port)
{
	return is_infiniband(ib) ? IB_LINK_LAYER_INFINIBAND : IB_LINK_LAYER_ETHERNET;
}

/* Verbs for which there is nothing to do. */
#define NOTHING_TO_DO(verb, ...) static int sim_##verb(__VA_ARGS__) { return 0; }
NOTHING_TO_DO(alloc_ucontext, struct ib_ucontext *context, struct ib_udata *udata)
NOTHING_TO_DO(alloc_pd, struct ib_pd *pd, struct ib_udata *udata)
NOTHING_TO_DO(dealloc_pd, struct ib_pd *pd, struct ib_udata *udata)
NOTHING_TO_DO(destroy_cq, struct ib_cq *cq, struct ib_udata *udata)
NOTHING_TO_DO(req_notify_cq, struct ib_cq *cq, enum ib_cq_notify_flags flags)
NOTHING_TO_DO(dereg_mr, struct ib_mr *mr, struct ib_udata *udata)

/* Without this one ib_core refuses to move a device. */
static void sim_disassociate_ucontext(struct ib_ucontext *context) { }
static void sim_dealloc_ucontext(struct ib_ucontext *context) { }

/* Verbs that nobody may use. */
#define NO_REGION(verb, ...) \
	static struct ib_mr *sim_##verb(__VA_ARGS__) { return ERR_PTR(-EOPNOTSUPP); }
NO_REGION(get_dma_mr, struct ib_pd *pd, int access)
NO_REGION(reg_user_mr, struct ib_pd *pd, u64 start, u64 length, u64 address, int access,
	  DMAH_PARAMETER struct ib_udata *udata)

/* ---- Counters: fixed values, which tell the devices apart by their index ---- */

static u64 counter_base(const struct ib_device *ib)
{
	return ib->index * 1000;
}

#if KERNEL_FROM(5, 14)
static const struct rdma_stat_desc sim_counters[] = {
	{ .name = "rx_write_requests" }, { .name = "out_of_sequence" },
	{ .name = "packet_seq_err" }, { .name = "local_ack_timeout_err" },
};
#else
static const char * const sim_counters[] = {
	"rx_write_requests", "out_of_sequence", "packet_seq_err", "local_ack_timeout_err",
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
	.query_gid = sim_query_gid,
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

static const struct ib_device_ops sim_movable_ops = {
	.disassociate_ucontext = sim_disassociate_ucontext,
};

/*
 * ---- Verbs that the kernel's own clients want to see (device.c, ib_device_check_mandatory) ----
 *
 * An InfiniBand port has queues, so that ib_ipoib makes an interface on it:
 * buffers that were posted for reception are flushed when that goes down.
 * Ethernet's refuse.
 */

struct sim_qp {
	struct ib_qp ib;
	bool is_flushing;
	spinlock_t lock;
	DECLARE_KFIFO_PTR(posted, u64); /* the buffers for reception, by their identifiers */
};

struct sim_cq {
	struct ib_cq ib;
	struct sim_qp *receiver; /* whose receptions complete here */
};

static int sim_create_cq(struct ib_cq *cq, const struct ib_cq_init_attr *attr,
			 create_cq_data *data)
{
	cq->cqe = attr->cqe;
	return is_infiniband(cq->device) ? 0 : -EOPNOTSUPP;
}

static int sim_poll_cq(struct ib_cq *cq, int room, struct ib_wc *completions)
{
	struct sim_qp *qp = container_of(cq, struct sim_cq, ib)->receiver;
	u64 id;
	int n;

	for (n = 0; qp && qp->is_flushing && n < room; n++) {
		if (!kfifo_out_spinlocked(&qp->posted, &id, 1, &qp->lock))
			break;
		completions[n] = (struct ib_wc){
			.wr_id = id, .status = IB_WC_WR_FLUSH_ERR, .qp = &qp->ib,
		};
	}
	return n;
}

static int sim_init_qp(struct ib_qp *ib, struct ib_qp_init_attr *attr,
			  struct ib_udata *udata)
{
	struct sim_qp *qp = container_of(ib, struct sim_qp, ib);
	static atomic_t number = ATOMIC_INIT(0x100);
	int err;

	spin_lock_init(&qp->lock);
	err = kfifo_alloc(&qp->posted, max(attr->cap.max_recv_wr, 2u), GFP_KERNEL);
	if (err)
		return err;
	ib->qp_num = atomic_inc_return(&number);
	container_of(attr->recv_cq, struct sim_cq, ib)->receiver = qp;
	return 0;
}

#if KERNEL_FROM(5, 15)
#define sim_create_qp sim_init_qp
#else
/* The driver allocates and frees it. */
static struct ib_qp *sim_create_qp(struct ib_pd *pd, struct ib_qp_init_attr *attr,
				      struct ib_udata *udata)
{
	struct sim_qp *qp = kzalloc(sizeof(*qp), GFP_KERNEL);
	int err;

	if (!qp)
		return ERR_PTR(-ENOMEM);
	err = sim_init_qp(&qp->ib, attr, udata);
	if (!err)
		return &qp->ib;
	kfree(qp);
	return ERR_PTR(err);
}
#endif

static int sim_modify_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
			    struct ib_udata *udata)
{
	struct sim_qp *qp = container_of(ib, struct sim_qp, ib);

	if (mask & IB_QP_STATE)
		WRITE_ONCE(qp->is_flushing, attr->qp_state == IB_QPS_ERR);
	return 0;
}

static int sim_destroy_qp(struct ib_qp *ib, struct ib_udata *udata)
{
	struct sim_qp *qp = container_of(ib, struct sim_qp, ib);

	container_of(ib->recv_cq, struct sim_cq, ib)->receiver = NULL;
	kfifo_free(&qp->posted);
#if !KERNEL_FROM(5, 15)
	kfree(qp);
#endif
	return 0;
}

static int sim_post_send(struct ib_qp *qp, const struct ib_send_wr *request,
			    const struct ib_send_wr **bad)
{
	*bad = request;
	return -EOPNOTSUPP;
}

static int sim_post_recv(struct ib_qp *ib, const struct ib_recv_wr *request,
			    const struct ib_recv_wr **bad)
{
	struct sim_qp *qp = container_of(ib, struct sim_qp, ib);

	while (request && kfifo_in_spinlocked(&qp->posted, &request->wr_id, 1, &qp->lock))
		request = request->next;
	*bad = request;
	return request ? -ENOMEM : 0;
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
	__be64 guid = 0;

	if (netdev && netdev->addr_assign_type != NET_ADDR_RANDOM)
		addrconf_addr_eui48_base((u8 *)&guid, netdev->dev_addr);
	return guid;
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
	sim->is_infiniband = infiniband;
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
	if (kernel_verbs || infiniband)
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
	if (netdev && !infiniband) {
		err = ib_device_set_netdev(&sim->ib, netdev, 1);
		if (err)
			goto dealloc;
	}
	err = ib_register_device(&sim->ib, "mlx5_%d", NULL);
	if (err)
		goto dealloc;
	mutex_lock(&sim_devices_lock);
	list_add_tail(&sim->entry, &sim_devices);
	mutex_unlock(&sim_devices_lock);
	if (has_traffic_class)
		err = add_traffic_class(sim);
	goto put_netdev;

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
	if (!refuse_binds || cmpxchg(&refused, NULL, vf))
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
	if (event == BUS_NOTIFY_BIND_DRIVER && to_pci_dev(dev)->is_virtfn) {
		msleep(bind_delay_ms);
		refuse_bind(to_pci_dev(dev));
	} else if (event == BUS_NOTIFY_DRIVER_NOT_BOUND)
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
	if (is_network_function(dev) && dev->driver)
		add_function(dev);
	device_unlock(dev);
	return 0;
}

static int remove_function(struct device *dev, void *unused)
{
	remove_sim_devices(dev);
	return 0;
}

/* ---- Netdevs ---- */

static netdev_tx_t drop(struct sk_buff *skb, struct net_device *netdev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

/* Registers a netdev below a device, or frees it. */
static struct net_device *add_netdev(struct net_device *netdev, struct device *parent)
{
	int err;

	if (!netdev)
		return ERR_PTR(-ENOMEM);
	SET_NETDEV_DEV(netdev, parent);
	err = register_netdev(netdev);
	if (!err)
		return netdev;
	free_netdev(netdev);
	return ERR_PTR(err);
}

static struct net_device *add_ethernet(struct device *parent, const char *name,
				       const struct net_device_ops *ops, u8 kind, u8 number)
{
	const u8 mac[ETH_ALEN] = { 0x02, 0x5f, 0, 0, kind, number };
	struct net_device *netdev = alloc_netdev(0, name, NET_NAME_ENUM, ether_setup);

	if (netdev) {
		netdev->netdev_ops = ops;
		eth_hw_addr_set(netdev, mac);
	}
	return add_netdev(netdev, parent);
}

static void remove_netdev(struct net_device *netdev)
{
	if (IS_ERR_OR_NULL(netdev))
		return;
	unregister_netdev(netdev);
	free_netdev(netdev);
}

/* ---- Scalable functions: rdma_sim.sf.<id> on the auxiliary bus, below the PF ---- */

#ifdef CONFIG_AUXILIARY_BUS
struct sim_sf {
	struct auxiliary_device auxiliary;
	struct net_device *netdev;
};

static struct sim_sf **sfs;

static const struct net_device_ops sf_netdev_ops = {
	.ndo_start_xmit = drop,
	.ndo_set_mac_address = eth_mac_addr,
};

static void release_sf(struct device *dev)
{
	kfree(container_of(dev, struct sim_sf, auxiliary.dev));
}

static void remove_sf(struct sim_sf *sf)
{
	remove_sim_devices(&sf->auxiliary.dev);
	remove_netdev(sf->netdev);
	auxiliary_device_delete(&sf->auxiliary);
	auxiliary_device_uninit(&sf->auxiliary); /* frees it too */
}

static int add_sf(uint id)
{
	struct sim_sf *sf = kzalloc(sizeof(*sf), GFP_KERNEL);
	int err;

	if (!sf)
		return -ENOMEM;
	sf->auxiliary.name = "sf";
	sf->auxiliary.id = id;
	sf->auxiliary.dev.parent = &pf->dev;
	sf->auxiliary.dev.release = release_sf;
	err = auxiliary_device_init(&sf->auxiliary);
	if (err) {
		kfree(sf);
		return err;
	}
	err = auxiliary_device_add(&sf->auxiliary);
	if (err) {
		auxiliary_device_uninit(&sf->auxiliary);
		return err;
	}
	sf->netdev = add_ethernet(&sf->auxiliary.dev, "eth%d", &sf_netdev_ops, 0, id);
	err = PTR_ERR_OR_ZERO(sf->netdev) ?: add_sim_device(&sf->auxiliary.dev, 1);
	if (err)
		remove_sf(sf);
	else
		sfs[id] = sf;
	return err;
}

static void remove_sfs(void)
{
	uint i;

	for (i = 0; sfs && i < sf_count && sfs[i]; i++)
		remove_sf(sfs[i]);
	kfree(sfs);
}

static int add_sfs(void)
{
	int err = 0;
	uint i;

	sfs = kcalloc(sf_count, sizeof(*sfs), GFP_KERNEL);
	if (!sfs)
		return -ENOMEM;
	for (i = 0; !err && i < sf_count; i++)
		err = add_sf(i);
	return err;
}

#else
static void remove_sfs(void) { }
static int add_sfs(void) { return 0; }
#endif

/* Declares a parameter that is set at once, and how. */
#define AT_ONCE(name, type, description) \
	static const struct kernel_param_ops name##_param_ops = { .set = set_##name, .get = param_get_##type }; \
	module_param_cb(name, &name##_param_ops, &name, 0644); \
	MODULE_PARM_DESC(name, description " (at once)")

/* ---- ibpf0: the netdev of a physical function that is an InfiniBand port ---- */

#define MAX_VFS 64

static u64 vf_guids[MAX_VFS][2]; /* of the node, of the port */

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
	pr_info("rdma_sim: VF %d gets %s GUID %016llx\n", vf,
		type == IFLA_VF_IB_NODE_GUID ? "node" : "port", guid);
	vf_guids[vf][type == IFLA_VF_IB_PORT_GUID] = guid;
	return 0;
}

static int get_vf_guid(struct net_device *netdev, int vf, struct ifla_vf_guid *node,
		       struct ifla_vf_guid *port)
{
	if (vf >= MAX_VFS)
		return -EINVAL;
	node->guid = vf_guids[vf][0];
	port->guid = vf_guids[vf][1];
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

static bool ib_pf;
static struct net_device *ib_pf_netdev;

static int set_ib_pf(const char *value, const struct kernel_param *param)
{
	int err = param_set_bool(value, param);

	if (err || !pf)
		return err;
	remove_netdev(ib_pf_netdev);
	memset(vf_guids, 0, sizeof(vf_guids));
	ib_pf_netdev = ib_pf ? add_netdev(alloc_netdev(0, "ibpf0", NET_NAME_ENUM, setup_ib_pf), &pf->dev) : NULL;
	return PTR_ERR_OR_ZERO(ib_pf_netdev);
}

AT_ONCE(ib_pf, bool, "whether there is ibpf0, which keeps the GUIDs that VFs get");

/* ---- rep0: the representor of a VF, in switchdev mode ---- */

static int representor = -1;
static struct net_device *representor_netdev;

static int get_phys_port_name(struct net_device *netdev, char *name, size_t length)
{
	return snprintf(name, length, "pf0vf%d", representor) < length ? 0 : -EINVAL;
}

static const struct net_device_ops representor_netdev_ops = {
	.ndo_start_xmit = drop,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_get_phys_port_name = get_phys_port_name,
};

static int set_representor(const char *value, const struct kernel_param *param)
{
	int err = param_set_int(value, param);

	if (err || !pf)
		return err;
	remove_netdev(representor_netdev);
	representor_netdev = representor < 0 ? NULL :
		add_ethernet(&pf->dev, "rep0", &representor_netdev_ops, 1, representor);
	return PTR_ERR_OR_ZERO(representor_netdev);
}

AT_ONCE(representor, int, "number of the VF that rep0 stands for; -1: none");

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

static int vdpa = -1;

static int set_vdpa(const char *value, const struct kernel_param *param)
{
	int err = param_set_int(value, param);
	struct pci_dev *vf;

	if (err || !pf)
		return err;
	remove_vdpa();
	if (vdpa < 0)
		return 0;
	vf = find_vf(vdpa);
	err = vf ? add_vdpa(vf) : -ENODEV;
	pci_dev_put(vf);
	return err;
}

AT_ONCE(vdpa, int, "number of the VF that vdpa0 is made of; -1: none");
#else
static void remove_vdpa(void) { }
#endif

/*
 * ---- A client that takes its time with every device ----
 *
 * ib_core adds the clients of a device in the order in which they were
 * registered, and removes them in the opposite order. So this one, loaded
 * before ib_uverbs, holds a move up while the device has no uverbs device: not
 * any more while it is removed from one namespace, not yet while it is added
 * to the other.
 */

/* A shorter time lets go of a device that is being held already. */
static void take(const uint *ms)
{
	unsigned long start = jiffies;

	while (time_before(jiffies, start + msecs_to_jiffies(READ_ONCE(*ms))))
		msleep(10);
}

static int slow_client_add(struct ib_device *ib)
{
	take(&add_ms);
	return 0;
}

static void slow_client_remove(struct ib_device *ib, void *data)
{
	msleep(move_delay_ms);
	take(&remove_ms);
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

static void remove_all(void)
{
	remove_vdpa();
	remove_netdev(representor_netdev);
	remove_netdev(ib_pf_netdev);
	remove_sfs();
	bus_unregister_notifier(&pci_bus_type, &pci_notifier);
	bus_for_each_dev(&pci_bus_type, NULL, NULL, remove_function);
	ib_unregister_client(&slow_client);
	unregister_pernet_subsys(&netns_ops);
	pci_dev_put(pf);
}

static int add_all(void)
{
	bus_for_each_dev(&pci_bus_type, NULL, NULL, add_bound_function);
	return bus_register_notifier(&pci_bus_type, &pci_notifier) ?: add_sfs();
}

static int __init rdma_sim_init(void)
{
	int err;

	while ((pf = pci_get_device(PCI_ANY_ID, PCI_ANY_ID, pf)))
		if (is_network_function(&pf->dev) && pci_num_vf(pf))
			break;
	if (!pf)
		return -ENODEV;
	err = register_pernet_subsys(&netns_ops);
	if (err)
		goto put_pf;
	err = ib_register_client(&slow_client);
	if (err)
		goto unregister_pernet;
	err = add_all();
	if (err)
		remove_all();
	return err;

unregister_pernet:
	unregister_pernet_subsys(&netns_ops);
put_pf:
	pci_dev_put(pf);
	return err;
}

module_init(rdma_sim_init);
module_exit(remove_all);

MODULE_DESCRIPTION("RDMA devices for network functions that have none");
MODULE_LICENSE("GPL");
