/**
 * The form of the path of a device information file: below the directory that the specification gives, in one of its two
 * spellings, and nowhere else (k8snetworkplumbingwg/device-info-spec 1.1.0, section 4). Empty is as good as absent.
 * A function, since V8 reads an expression through where it stands, and most calls have no such path.
 */
export function deviceInfoPathForm(): RegExp {
  return /^(?:\/(?:var\/)?run\/k8s\.cni\.cncf\.io\/devinfo(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+)?$/;
}

export const DEVICE_INFO_PATH_RULE = "must be a file below /var/run/k8s.cni.cncf.io/devinfo";
