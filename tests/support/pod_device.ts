import type { PodDevice } from "../../src/node/pods.ts";

/** A device of a pod, of which all is known that `pods` tells. */
export const DEVICE: PodDevice = {
  record: "net-container1-net1",
  namespace: "team-a",
  pod: "trainer-0",
  containerId: "container1",
  interface: "net1",
  network: "net",
  deviceId: "0000:3b:00.2",
  device: "mlx5_0",
  hostDevice: "mlx5_2",
  status: "present",
  createdAt: 1_700_000_000_500,
  resources: { qp: 3, mr: 4 },
  ports: [{
    number: 1,
    state: "4: ACTIVE",
    bitsPerSecond: 1e11,
    gid: { index: 3, gid: "0000:0000:0000:0000:0000:ffff:0a00:0002" },
    traffic: { rxBytes: 400, txBytes: 800, rxPackets: 1, txPackets: 2 },
    counters: { out_of_sequence: 7, rx_write_requests: 2 ** 53 },
  }],
};
