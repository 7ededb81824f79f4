/** Numbers every netlink family shares: uapi linux/netlink.h. */

export const NETLINK_ROUTE = 0;
export const NETLINK_RDMA = 20;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
/** In a reply of type NLMSG_ERROR: the original request was left out, all but its header. */
export const NLM_F_CAPPED = 0x100;
/** In a reply of type NLMSG_ERROR: attributes NLMSGERR_ATTR_* follow. */
export const NLM_F_ACK_TLVS = 0x200;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLMSGERR_ATTR_MSG = 1;

/** Takes the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER off an attribute's type. */
export const NLA_TYPE_MASK = 0x3fff;

/** Every structure and attribute starts on a multiple of this many bytes. */
export const NLMSG_ALIGNTO = 4;
/** sizeof(struct nlmsghdr). */
export const NLMSG_HDRLEN = 16;
/** sizeof(struct nlattr). */
export const NLA_HDRLEN = 4;
