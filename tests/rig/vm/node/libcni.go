// libcni-run runs a list of plugins through the real libcni, as a container runtime does:
//
//	libcni-run add|check|del CONFLIST BINDIR[:BINDIR] CONTAINERID NETNS IFNAME CAPABILITIES
//
// CAPABILITIES is JSON as in {"deviceID":"0000:01:10.0"}. CNI_ARGS is taken from the environment. The result, or the
// error, goes to standard output as JSON; an error makes the exit status 1.
package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func run(command, file, directories string, capabilities string, runtime *libcni.RuntimeConf) (types.Result, error) {
	if err := json.Unmarshal([]byte(capabilities), &runtime.CapabilityArgs); err != nil {
		return nil, err
	}
	for _, pair := range strings.FieldsFunc(os.Getenv("CNI_ARGS"), func(r rune) bool { return r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		runtime.Args = append(runtime.Args, [2]string{key, value})
	}
	list, err := libcni.ConfListFromFile(file)
	if err != nil {
		return nil, err
	}
	cni := libcni.NewCNIConfig(filepath.SplitList(directories), nil)
	switch command {
	case "add":
		return cni.AddNetworkList(context.Background(), list, runtime)
	case "check":
		return nil, cni.CheckNetworkList(context.Background(), list, runtime)
	default:
		return nil, cni.DelNetworkList(context.Background(), list, runtime)
	}
}

func main() {
	args := os.Args
	runtime := &libcni.RuntimeConf{ContainerID: args[4], NetNS: args[5], IfName: args[6]}
	result, err := run(args[1], args[2], args[3], args[7], runtime)
	if err != nil {
		cniError, ok := err.(*types.Error)
		if !ok {
			cniError = types.NewError(types.ErrInternal, err.Error(), "")
		}
		cniError.Print()
		os.Exit(1)
	}
	if result != nil {
		result.Print()
	}
}
