// SPDX-License-Identifier: GPL-2.0
/*
 * ib_sim - an RDMA device with an InfiniBand port, below a PCI function.
 *
 *   modprobe ib_ipoib; modprobe ib_sim function=0000:01:10.0
 *
 * The kernel's own ib_ipoib makes an interface on it, whose parent is the
 * function. No subnet manager brings the port up, so nothing is transferred;
 * buffers that were posted for reception are flushed when the interface goes
 * down.
 *
 * Remove the module before the driver of the function is unbound.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <rdma/ib_verbs.h>
#include "compat.h"

static char *function;
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "PCI address of the function that gets the device");

#define NODE_GUID 0x0203000000ffULL

struct ib_sim_ucontext {
	struct ib_ucontext ib;
};

struct ib_sim_pd {
	struct ib_pd ib;
};

struct ib_sim_qp {
	struct ib_qp ib;
	spinlock_t lock; /* protects what follows */
	bool is_flushing;
	u64 *posted; /* a ring of the buffers for reception, by their identifiers */
	u32 size, first, count;
};

struct ib_sim_cq {
	struct ib_cq ib;
	struct ib_sim_qp *receiver; /* whose receptions complete here */
};

static int ib_sim_query_device(struct ib_device *ib, struct ib_device_attr *attr,
			       struct ib_udata *udata)
{
	memset(attr, 0, sizeof(*attr));
	attr->sys_image_guid = ib->node_guid;
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

static int ib_sim_query_port(struct ib_device *ib, port_t port, struct ib_port_attr *attr)
{
	attr->state = IB_PORT_INIT;
	attr->phys_state = IB_PORT_PHYS_STATE_LINK_UP;
	attr->max_mtu = IB_MTU_4096;
	attr->active_mtu = IB_MTU_2048;
	attr->gid_tbl_len = 1;
	attr->pkey_tbl_len = 1;
	attr->active_width = IB_WIDTH_4X;
	attr->active_speed = IB_SPEED_EDR;
	return 0;
}

static int ib_sim_query_gid(struct ib_device *ib, port_t port, int index, union ib_gid *gid)
{
	gid->global.subnet_prefix = cpu_to_be64(0xfe80000000000000ULL);
	gid->global.interface_id = ib->node_guid;
	return 0;
}

static int ib_sim_query_pkey(struct ib_device *ib, port_t port, u16 index, u16 *pkey)
{
	*pkey = 0xffff;
	return 0;
}

/* Of InfiniBand the protocol alone: management datagrams would need an answer. */
static int ib_sim_get_port_immutable(struct ib_device *ib, port_t port,
				     struct ib_port_immutable *immutable)
{
	immutable->core_cap_flags = RDMA_CORE_CAP_PROT_IB;
	immutable->gid_tbl_len = 1;
	immutable->pkey_tbl_len = 1;
	return 0;
}

static enum rdma_link_layer ib_sim_get_link_layer(struct ib_device *ib, port_t port)
{
	return IB_LINK_LAYER_INFINIBAND;
}

static int ib_sim_alloc_ucontext(struct ib_ucontext *context, struct ib_udata *udata)
{
	return 0;
}

static void ib_sim_dealloc_ucontext(struct ib_ucontext *context)
{
}

static void ib_sim_disassociate_ucontext(struct ib_ucontext *context)
{
}

static int ib_sim_alloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static int ib_sim_dealloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static int ib_sim_create_cq(struct ib_cq *cq, const struct ib_cq_init_attr *attr,
			    create_cq_data *data)
{
	cq->cqe = attr->cqe;
	return 0;
}

static int ib_sim_destroy_cq(struct ib_cq *cq, struct ib_udata *udata)
{
	return 0;
}

static int ib_sim_req_notify_cq(struct ib_cq *cq, enum ib_cq_notify_flags flags)
{
	return 0;
}

static int ib_sim_poll_cq(struct ib_cq *cq, int room, struct ib_wc *completions)
{
	struct ib_sim_qp *qp = container_of(cq, struct ib_sim_cq, ib)->receiver;
	unsigned long flags;
	int n = 0;

	if (!qp)
		return 0;
	spin_lock_irqsave(&qp->lock, flags);
	for (; qp->is_flushing && qp->count && n < room; n++, qp->count--) {
		memset(&completions[n], 0, sizeof(completions[n]));
		completions[n].wr_id = qp->posted[qp->first];
		completions[n].status = IB_WC_WR_FLUSH_ERR;
		completions[n].qp = &qp->ib;
		qp->first = (qp->first + 1) % qp->size;
	}
	spin_unlock_irqrestore(&qp->lock, flags);
	return n;
}

static int ib_sim_init_qp(struct ib_qp *ib, struct ib_qp_init_attr *attr,
			  struct ib_udata *udata)
{
	struct ib_sim_qp *qp = container_of(ib, struct ib_sim_qp, ib);
	static atomic_t number = ATOMIC_INIT(0x100);

	spin_lock_init(&qp->lock);
	qp->size = max(attr->cap.max_recv_wr, 1u);
	qp->posted = kcalloc(qp->size, sizeof(*qp->posted), GFP_KERNEL);
	if (!qp->posted)
		return -ENOMEM;
	ib->qp_num = atomic_inc_return(&number);
	container_of(attr->recv_cq, struct ib_sim_cq, ib)->receiver = qp;
	return 0;
}

#if KERNEL_FROM(5, 15)
#define ib_sim_create_qp ib_sim_init_qp
#else
/* The driver allocates and frees it. */
static struct ib_qp *ib_sim_create_qp(struct ib_pd *pd, struct ib_qp_init_attr *attr,
				      struct ib_udata *udata)
{
	struct ib_sim_qp *qp = kzalloc(sizeof(*qp), GFP_KERNEL);
	int err;

	if (!qp)
		return ERR_PTR(-ENOMEM);
	err = ib_sim_init_qp(&qp->ib, attr, udata);
	if (!err)
		return &qp->ib;
	kfree(qp);
	return ERR_PTR(err);
}
#endif

static int ib_sim_modify_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
			    struct ib_udata *udata)
{
	struct ib_sim_qp *qp = container_of(ib, struct ib_sim_qp, ib);

	if (mask & IB_QP_STATE)
		WRITE_ONCE(qp->is_flushing, attr->qp_state == IB_QPS_ERR);
	return 0;
}

static int ib_sim_destroy_qp(struct ib_qp *ib, struct ib_udata *udata)
{
	struct ib_sim_qp *qp = container_of(ib, struct ib_sim_qp, ib);

	container_of(ib->recv_cq, struct ib_sim_cq, ib)->receiver = NULL;
	kfree(qp->posted);
#if !KERNEL_FROM(5, 15)
	kfree(qp);
#endif
	return 0;
}

static int ib_sim_post_send(struct ib_qp *qp, const struct ib_send_wr *request,
			    const struct ib_send_wr **bad)
{
	*bad = request;
	return -EOPNOTSUPP;
}

static int ib_sim_post_recv(struct ib_qp *ib, const struct ib_recv_wr *request,
			    const struct ib_recv_wr **bad)
{
	struct ib_sim_qp *qp = container_of(ib, struct ib_sim_qp, ib);
	unsigned long flags;

	spin_lock_irqsave(&qp->lock, flags);
	for (; request && qp->count < qp->size; request = request->next)
		qp->posted[(qp->first + qp->count++) % qp->size] = request->wr_id;
	spin_unlock_irqrestore(&qp->lock, flags);
	if (!request)
		return 0;
	*bad = request;
	return -ENOMEM;
}

static struct ib_mr *ib_sim_get_dma_mr(struct ib_pd *pd, int access)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static struct ib_mr *ib_sim_reg_user_mr(struct ib_pd *pd, u64 start, u64 length, u64 address,
					int access, DMAH_PARAMETER struct ib_udata *udata)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static int ib_sim_dereg_mr(struct ib_mr *mr, struct ib_udata *udata)
{
	return 0;
}

static const struct ib_device_ops ib_sim_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_UNKNOWN,
	.uverbs_abi_ver = 1,
	.query_device = ib_sim_query_device,
	.query_port = ib_sim_query_port,
	.query_gid = ib_sim_query_gid,
	.query_pkey = ib_sim_query_pkey,
	.get_port_immutable = ib_sim_get_port_immutable,
	.get_link_layer = ib_sim_get_link_layer,
	.alloc_ucontext = ib_sim_alloc_ucontext,
	.dealloc_ucontext = ib_sim_dealloc_ucontext,
	.disassociate_ucontext = ib_sim_disassociate_ucontext,
	.alloc_pd = ib_sim_alloc_pd,
	.dealloc_pd = ib_sim_dealloc_pd,
	.create_cq = ib_sim_create_cq,
	.destroy_cq = ib_sim_destroy_cq,
	.poll_cq = ib_sim_poll_cq,
	.req_notify_cq = ib_sim_req_notify_cq,
	.create_qp = ib_sim_create_qp,
	.modify_qp = ib_sim_modify_qp,
	.destroy_qp = ib_sim_destroy_qp,
	.post_send = ib_sim_post_send,
	.post_recv = ib_sim_post_recv,
	.get_dma_mr = ib_sim_get_dma_mr,
	.reg_user_mr = ib_sim_reg_user_mr,
	.dereg_mr = ib_sim_dereg_mr,
	INIT_RDMA_OBJ_SIZE(ib_cq, ib_sim_cq, ib),
	INIT_RDMA_OBJ_SIZE(ib_pd, ib_sim_pd, ib),
#if KERNEL_FROM(5, 15)
	INIT_RDMA_OBJ_SIZE(ib_qp, ib_sim_qp, ib),
#endif
	INIT_RDMA_OBJ_SIZE(ib_ucontext, ib_sim_ucontext, ib),
};

struct ib_sim_device {
	struct ib_device ib; /* first, as ib_alloc_device() demands */
};

static struct device *parent;
static struct ib_sim_device *sim;

static int __init ib_sim_init(void)
{
	int err = -ENOMEM;

	parent = function ? bus_find_device_by_name(&pci_bus_type, NULL, function) : NULL;
	if (!parent)
		return -ENODEV;
	sim = ib_alloc_device(ib_sim_device, ib);
	if (!sim)
		goto put_parent;
	sim->ib.dev.parent = parent;
	sim->ib.node_type = RDMA_NODE_IB_CA;
	sim->ib.node_guid = cpu_to_be64(NODE_GUID);
	sim->ib.phys_port_cnt = 1;
	sim->ib.num_comp_vectors = 1;
	strscpy(sim->ib.node_desc, "ib_sim", sizeof(sim->ib.node_desc));
	ib_set_device_ops(&sim->ib, &ib_sim_ops);
	err = ib_register_device(&sim->ib, "mlx5_%d", NULL);
	if (!err)
		return 0;

	ib_dealloc_device(&sim->ib);
put_parent:
	put_device(parent);
	return err;
}

static void __exit ib_sim_exit(void)
{
	ib_unregister_device(&sim->ib);
	ib_dealloc_device(&sim->ib);
	put_device(parent);
}

module_init(ib_sim_init);
module_exit(ib_sim_exit);

MODULE_DESCRIPTION("An RDMA device with an InfiniBand port");
MODULE_LICENSE("GPL");
