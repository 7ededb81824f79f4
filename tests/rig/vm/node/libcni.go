// libcni-run runs a list of plugins through the real libcni, as a container runtime does:
//
//	libcni-run add|check|del CONFIG BINDIR[:BINDIR] CONTAINERID NETNS IFNAME [CAPABILITIES]
//
// CONFIG is a list of plugins; a file that ends with ".conf" is a single plugin, run as such (AddNetwork, not
// AddNetworkList).
// CAPABILITIES is JSON as in {"deviceID":"0000:01:10.0"}. CNI_ARGS and CNI_CACHE_DIR are taken from the
// environment. The result, or the error, goes to standard output as JSON; an error makes the exit status 1.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func run(args []string) (types.Result, error) {
	runtime := &libcni.RuntimeConf{ContainerID: args[3], NetNS: args[4], IfName: args[5]}
	if len(args) > 6 {
		if err := json.Unmarshal([]byte(args[6]), &runtime.CapabilityArgs); err != nil {
			return nil, err
		}
	}
	for _, pair := range strings.FieldsFunc(os.Getenv("CNI_ARGS"), func(r rune) bool { return r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		runtime.Args = append(runtime.Args, [2]string{key, value})
	}
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(args[2]), os.Getenv("CNI_CACHE_DIR"), nil)
	if strings.HasSuffix(args[1], ".conf") {
		return runPlugin(cni, args[0], args[1], runtime)
	}
	list, err := libcni.ConfListFromFile(args[1])
	if err != nil {
		return nil, err
	}
	switch args[0] {
	case "add":
		return cni.AddNetworkList(context.Background(), list, runtime)
	case "check":
		return nil, cni.CheckNetworkList(context.Background(), list, runtime)
	case "del":
		return nil, cni.DelNetworkList(context.Background(), list, runtime)
	}
	return nil, fmt.Errorf("unknown command %q", args[0])
}

func runPlugin(cni libcni.CNI, command, file string, runtime *libcni.RuntimeConf) (types.Result, error) {
	config, err := libcni.ConfFromFile(file)
	if err != nil {
		return nil, err
	}
	switch command {
	case "add":
		return cni.AddNetwork(context.Background(), config, runtime)
	case "check":
		return nil, cni.CheckNetwork(context.Background(), config, runtime)
	case "del":
		return nil, cni.DelNetwork(context.Background(), config, runtime)
	}
	return nil, fmt.Errorf("unknown command %q", command)
}

func main() {
	if len(os.Args) < 7 {
		fmt.Fprintln(os.Stderr, "usage: libcni-run add|check|del CONFIG BINDIR CONTAINERID NETNS IFNAME [CAPABILITIES]")
		os.Exit(2)
	}
	result, err := run(os.Args[1:])
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
